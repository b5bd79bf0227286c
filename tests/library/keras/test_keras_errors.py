"""What a Keras user gets wrong is told apart; a wrong range is warned of once."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from small import ONE_STAGE, random_levels

from pixelcnn_tf import PixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.input_range import range_fault
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.losses import DiscretizedMixLogisticLoss, loss_of
from pixelcnn_tf.metrics import BitsPerDim

LEVELS = random_levels(4, 4, 4, 1)
IMAGES = levels_to_input(LEVELS).numpy()


def compiled(loss=None, **options):
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, **options)
    model.compile("sgd", loss or DiscretizedMixLogisticLoss(), metrics=[BitsPerDim()])
    return model


@pytest.fixture(scope="module")
def model():
    return compiled()


@pytest.fixture(scope="module")
def conditional():
    return compiled(num_classes=3)


def test_errors_of_inputs_are_told_apart(model, conditional):
    labels = np.zeros([4], np.int32)
    for fitted, x, y, message in [
        (model, LEVELS, IMAGES, "images of dtype uint8: must be floats.*levels_to_input converts"),
        (model, IMAGES, LEVELS, r"y_true of dtype uint8: .*Loss\(targets='levels'\)"),
        (model, IMAGES, None, "y missing: the targets are the images themselves"),
        (model, IMAGES[:, :3], IMAGES[:, :3], r"this model takes \[B, 4, 4, 1\]"),
        (model, np.repeat(IMAGES, 3, -1), IMAGES, r"this model takes \[B, 4, 4, 1\]"),
        (model, (IMAGES, labels), IMAGES, "labels given, but the model was built with num_classes"),
        (conditional, IMAGES, IMAGES, "labels missing: the model has num_classes=3"),
        (conditional, {"images": IMAGES, "label": labels}, IMAGES, "inputs named images, label"),
        (conditional, {"labels": labels}, IMAGES, "inputs named labels: must be images"),
    ]:
        with pytest.raises(ValueError, match=message.removeprefix("--")):
            fitted.fit(x, y, verbose=0)


def test_labels_out_of_range_are_refused_in_fit(conditional):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels: must lie in 0 \.\.\. 2"):
        conditional.fit((IMAGES, np.full([4], 7)), IMAGES, verbose=0)


UNIT, BYTES = LEVELS / np.float32(255.0), LEVELS.astype(np.float32)


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda model: model.fit(UNIT, IMAGES, verbose=0), r"images in \[0, 1\]"),
        (lambda model: model.predict(UNIT, verbose=0), r"images in \[0, 1\]"),
        (lambda model: model(BYTES), "values of 0 to 25"),
        (lambda model: model.evaluate(BYTES, IMAGES, verbose=0), "values of 0 to 25"),
        (lambda model: model.initialize(UNIT), r"images in \[0, 1\]"),
        (lambda model: model.complete(UNIT, np.ones([4, 4]), seed=1), r"images in \[0, 1\]"),
    ],
    ids=["fit", "predict", "call", "evaluate", "initialize", "complete"],
)
def test_a_wrong_range_is_warned_of_once(model, use, message):
    model.range_watch.warned = False
    model.optimizer.iterations.assign(0)
    with pytest.warns(UserWarning, match=message.removeprefix("--")) as caught:
        use(model)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(model)


def test_right_images_are_not_warned_of():
    bright = levels_to_input(random_levels(4, 4, 4, 1) // 2 + 128)  # all above 0
    assert np.min(bright) > 0
    for images in (IMAGES, bright, np.zeros([2, 4, 4, 1]), np.ones([2, 4, 4, 1])):
        assert range_fault(images, 256) is None
    assert range_fault(np.array([0.0, 1.0]).reshape([2, 1, 1, 1]), 2)  # binary, in [0, 1]
    assert range_fault(np.array([-1.0, 1.0]).reshape([2, 1, 1, 1]), 2) is None


def test_formats_are_refused_with_the_way_that_works(model, tmp_path):
    with pytest.raises(ValueError, match="must end in .keras"):
        model.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="use model.export"):
        tf.saved_model.save(model, str(tmp_path / "model"))


def test_a_loss_of_another_likelihood_is_refused():
    """It would give a number all the same."""
    mixture = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_levels=17)
    right = DiscretizedMixLogisticLoss(17)
    message = "DiscretizedMixLogisticLoss of 256 levels: the model's is .* of 17; loss_of"
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", DiscretizedMixLogisticLoss())
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", right, metrics=[BitsPerDim()])
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", right, weighted_metrics=[BitsPerDim()])
    mixture.compile("sgd", right, metrics=[BitsPerDim(right)])
    softmax = PixelCNN((4, 4, 1), nr_resnet=1, nr_filters=4, nr_output_filters=4, num_levels=30)
    with pytest.raises(ValueError, match="the model's is CategoricalLoss of 30"):
        softmax.compile("sgd", DiscretizedMixLogisticLoss(30))
    softmax.compile("sgd", loss_of(softmax.likelihood))


def test_a_loss_keeps_its_dtype():
    loss = DiscretizedMixLogisticLoss(dtype="float64")
    assert type(loss).from_config(loss.get_config()).dtype == "float64"
