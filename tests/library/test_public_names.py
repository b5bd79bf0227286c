"""The public names of `pixelcnn_tf`, and errors for invalid arguments."""

import inspect
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import ONE_STAGE

import pixelcnn_tf
from pixelcnn_tf import PixelCNNPlusPlus, sampling
from pixelcnn_tf.optimization.loss_scale import LossScale


@pytest.fixture(scope="module")
def model():
    return PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE)


@pytest.fixture(scope="module")
def conditional():
    return PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE, num_classes=3)


def public_functions(thing):
    """The functions that a public name stands for, those of a class and module included."""
    if isinstance(thing, types.ModuleType):
        for name in getattr(thing, "__all__", vars(thing)):
            if not name.startswith("_") and getattr(vars(thing)[name], "__module__", "") == (
                thing.__name__
            ):
                yield from public_functions(vars(thing)[name])
    elif inspect.isclass(thing):
        for name, function in vars(thing).items():
            if inspect.isfunction(function) and not name.startswith("_"):
                yield function
    elif inspect.isfunction(thing):
        yield thing


@pytest.mark.parametrize("name", [n for n in pixelcnn_tf.__all__ if n != "__version__"])
def test_public_name_has_a_docstring(name):
    assert inspect.getdoc(getattr(pixelcnn_tf, name))


def test_public_functions_have_type_hints():
    things = [getattr(pixelcnn_tf, name) for name in pixelcnn_tf.__all__]
    functions = [function for thing in things for function in public_functions(thing)]
    assert len(functions) > 30
    inherited = {"build", "call", "get_config", "walk", "apply", "update_step"}  # Keras' own
    inherited |= {"predict_step", "update_state", "from_config"}
    inherited |= {"on_train_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end"}
    bare = [
        function.__qualname__
        for function in functions
        if function.__name__ not in inherited
        and len(function.__annotations__)
        < sum(
            parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and name not in ("self", "model", "progress")
            for name, parameter in inspect.signature(function).parameters.items()
        )
    ]
    assert not bare


def test_methods_equal_functions(model):
    images = model.sample(2, seed=3)
    np.testing.assert_array_equal(images, sampling.sample(model, 2, seed=3))
    mask = np.zeros([4, 4])
    mask[:2] = 1
    completed = model.complete(images, mask, seed=4)
    np.testing.assert_array_equal(completed, sampling.complete(model, images, mask, seed=4))
    loss = pixelcnn_tf.discretized_mix_logistic_loss(images, model(images), sum_all=False)
    np.testing.assert_allclose(model.log_prob(images), -loss, rtol=1e-6)


def test_seed_per_image(model):
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    three = model.sample(3, seed=seeds)
    reversed_seeds = model.sample(3, seed=tf.reverse(seeds, [0]))
    np.testing.assert_array_equal(reversed_seeds[0], three[2])
    np.testing.assert_array_equal(model.sample(3, seed=seeds, method="naive"), three)
    # The seeds of one number are those of its images.
    split = pixelcnn_tf.sampling.pixel_uniforms(model, tf.random.split([7, 0], 3))
    np.testing.assert_array_equal(model.sample(3, noise=split), model.sample(3, seed=7))


def test_progress_does_not_retrace(model):
    plain = model.sample(2, seed=3)
    before = sum(f.experimental_get_tracing_count() for f in traced(model))
    np.testing.assert_array_equal(model.sample(2, seed=3, progress=lambda rows: None), plain)
    assert sum(f.experimental_get_tracing_count() for f in traced(model)) == before > 0


def traced(model):
    functions = vars(model.sampling_functions).values()
    return [f for f in functions if hasattr(f, "experimental_get_tracing_count")]


def test_compiled_model_that_was_sampled_can_be_saved(tmp_path):
    """The compiled functions of its sampler are not in the file."""
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE)
    before = model.sample(1, seed=1)
    with pytest.raises(ValueError, match="compile"):
        model.fit(before, before)
    model.compile(loss="mse", optimizer="sgd")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(1, seed=1), before)


@pytest.mark.parametrize("value", [255.0, float("nan"), -1.01])
def test_complete_rejects_given_pixels_out_of_range(model, value):
    images, mask = np.zeros([1, 4, 4, 1], np.float32), np.zeros([4, 4])
    images[0, 3, 3] = value
    assert np.isfinite(model.complete(images, mask, seed=1)).all()  # not given, so not used
    mask[3, 3] = 1
    with pytest.raises(ValueError, match=r"images .given pixels.: .*\[-1, 1\]"):
        model.complete(images, mask, seed=1)


def test_empty_batches_are_rejected(model):
    images = tf.zeros([0, 4, 4, 1])
    for use in (model, model.log_prob, lambda x: model.complete(x, np.zeros([4, 4]), seed=1)):
        with pytest.raises(ValueError, match="images: the batch is empty"):
            use(images)


@pytest.mark.parametrize("number", [1, 2])
def test_number_of_labels_is_checked(conditional, number):
    images, labels = tf.zeros([4, 4, 4, 1]), tf.zeros([number], tf.int32)
    with pytest.raises(ValueError, match=f"labels: .*got {number} for 4 images"):
        conditional(images, labels)
    with pytest.raises(ValueError, match=f"labels: .*got {number} for 4 images"):
        conditional.sample(4, seed=1, labels=labels)


def test_labels_out_of_range_are_rejected_in_a_graph(conditional):
    compiled = tf.function(lambda labels: conditional(tf.zeros([2, 4, 4, 1]), labels))
    assert compiled(tf.constant([0, 2])).shape == [2, 4, 4, 6]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels: .*0 \.\.\. 2"):
        compiled(tf.constant([0, 7]))


def test_unsupported_formats_are_rejected(model, tmp_path):
    with pytest.raises(ValueError, match="filepath=.*model.h5"):
        model.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="pixelcnn_tf.export.export_saved_model"):
        tf.saved_model.save(model, str(tmp_path / "model"))


def test_loss_scale_is_documented():
    assert LossScale.__doc__ and LossScale.update.__annotations__
