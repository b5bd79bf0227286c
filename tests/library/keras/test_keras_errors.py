"""Errors of Keras users name the argument; images in another range cause one warning."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from small import ONE_STAGE, random_levels

from pixelcnn_tf import PixelCNN, PixelCNNPlusPlus
from pixelcnn_tf.input_range import range_warning
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


def test_fit_names_the_invalid_input(model, conditional):
    labels = np.zeros([4], np.int32)
    for fitted, x, y, message in [
        (model, LEVELS, IMAGES, "images of dtype uint8"),
        (model, IMAGES, LEVELS, "y_true of dtype uint8"),
        (model, IMAGES, None, "y is missing"),
        (model, IMAGES[:, :3], IMAGES[:, :3], r"images of shape .*\[B, 4, 4, 1\]"),
        (model, np.repeat(IMAGES, 3, -1), IMAGES, r"images of shape .*\[B, 4, 4, 1\]"),
        (model, (IMAGES, labels), IMAGES, "labels: .*num_classes=None"),
        (conditional, IMAGES, IMAGES, "labels: .*num_classes=3"),
        (conditional, {"images": IMAGES, "label": labels}, IMAGES, "inputs named images, label"),
        (conditional, {"labels": labels}, IMAGES, "inputs named labels"),
    ]:
        with pytest.raises(ValueError, match=message.removeprefix("--")):
            fitted.fit(x, y, verbose=0)


def test_fit_rejects_labels_out_of_range(conditional):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels: .*0 \.\.\. 2"):
        conditional.fit((IMAGES, np.full([4], 7)), IMAGES, verbose=0)


UNIT, BYTES = LEVELS / np.float32(255.0), LEVELS.astype(np.float32)


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda model: model.fit(UNIT, IMAGES, verbose=0), r"images in \[0, 1\]"),
        (lambda model: model.predict(UNIT, verbose=0), r"images in \[0, 1\]"),
        (lambda model: model(BYTES), "values from 0 to 25"),
        (lambda model: model.evaluate(BYTES, IMAGES, verbose=0), "values from 0 to 25"),
        (lambda model: model.initialize(UNIT), r"images in \[0, 1\]"),
        (lambda model: model.complete(UNIT, np.ones([4, 4]), seed=1), r"images in \[0, 1\]"),
    ],
    ids=["fit", "predict", "call", "evaluate", "initialize", "complete"],
)
def test_images_in_another_range_cause_one_warning(model, use, message):
    model.range_check.warned = False
    model.optimizer.iterations.assign(0)
    with pytest.warns(UserWarning, match=message.removeprefix("--")) as caught:
        use(model)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(model)


def test_valid_images_cause_no_warning():
    bright = levels_to_input(random_levels(4, 4, 4, 1) // 2 + 128)  # all above 0
    assert np.min(bright) > 0
    for images in (IMAGES, bright, np.zeros([2, 4, 4, 1]), np.ones([2, 4, 4, 1])):
        assert range_warning(images, 256) is None
    assert range_warning(np.array([0.0, 1.0]).reshape([2, 1, 1, 1]), 2)  # binary, in [0, 1]
    assert range_warning(np.array([-1.0, 1.0]).reshape([2, 1, 1, 1]), 2) is None


def test_compile_rejects_the_loss_of_another_likelihood():
    """It would compute a wrong number without an error."""
    mixture = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_levels=17)
    right = DiscretizedMixLogisticLoss(17)
    message = r"loss=DiscretizedMixLogisticLoss\(num_levels=256\): .*num_levels=17"
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", DiscretizedMixLogisticLoss())
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", right, metrics=[BitsPerDim()])
    with pytest.raises(ValueError, match=message.removeprefix("--")):
        mixture.compile("sgd", right, weighted_metrics=[BitsPerDim()])
    mixture.compile("sgd", right, metrics=[BitsPerDim(right)])
    softmax = PixelCNN((4, 4, 1), nr_resnet=1, nr_filters=4, num_head_filters=4, num_levels=30)
    with pytest.raises(ValueError, match=r"CategoricalLoss\(num_levels=30\)"):
        softmax.compile("sgd", DiscretizedMixLogisticLoss(30))
    softmax.compile("sgd", loss_of(softmax.likelihood))


def test_a_loss_keeps_its_dtype():
    loss = DiscretizedMixLogisticLoss(dtype="float64")
    assert type(loss).from_config(loss.get_config()).dtype == "float64"
