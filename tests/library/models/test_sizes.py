"""Images of every height and width, and one model at several sizes."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import ONE_STAGE, SMALLEST, random_values

from pixelcnn_tf import PixelCNNPlusPlus, data_dependent_init, sampling
from pixelcnn_tf.levels import level_values
from pixelcnn_tf.models.image_pass import add_ones_channel, extend
from train.config.models import MODELS, make_model
from train.config.presets import from_values
from train.data.description import DataDescription

SIZES = [(1, 1), (2, 3), (5, 7), (9, 9), (30, 30), (33, 18)]


def initialized(image_shape, **arguments):
    model = PixelCNNPlusPlus(image_shape, **(SMALLEST | arguments))
    data_dependent_init(model, random_values(4, *image_shape))
    return model


def dependencies(model, positions):
    """Boolean `[len(positions), H * W]`: whether the output at each of these pixels depends on the
    pixel j. Image i of a batch of equal ones is asked for the gradient of one pixel alone."""
    height, width, _ = model.image_shape
    image = random_values(1, *model.image_shape)
    weights = tf.random.stateless_normal([height * width, model.likelihood.num_parameters], [5, 6])

    @tf.function(autograph=False)
    def gradient(positions):
        num = tf.shape(positions)[0]
        images = tf.repeat(image, num, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = tf.reshape(model(images), [num, *weights.shape])
            asked = tf.one_hot(positions, height * width)[..., None] * outputs * weights
            asked = tf.reduce_sum(asked)
        return tf.reduce_max(tf.abs(tape.gradient(asked, images)), axis=-1)

    parts = np.array_split(positions, -(-len(positions) // 100))
    run = gradient if len(parts) > 1 else gradient.python_function  # once: not worth tracing
    seen = [run(part) for part in parts]
    return np.concatenate(seen).reshape(len(positions), height * width) > 0


# One channel and three of every size; two of these here, all others among the slow tests.
CASES = [(size, channels) for size in SIZES for channels in (1, 3)]
QUICK = [((2, 3), 3), ((5, 7), 1)]


@pytest.mark.parametrize(
    "size, channels",
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
    ids=str,
)
def test_only_earlier_pixels_are_seen(size, channels):
    model = initialized((*size, channels))
    at = np.arange(size[0] * size[1])
    seen = dependencies(model, at)
    assert not (seen & (at[:, None] <= at)).any()
    # The test can fail: a pixel does see the one to its left and the one above it.
    left, above = at[at % size[1] > 0], at[at >= size[1]]
    assert seen[left, left - 1].all() and seen[above, above - size[1]].all()


@pytest.mark.parametrize("image_shape, num_levels", [((2, 2, 1), 3), ((1, 3, 3), 2)])
def test_probabilities_of_all_images_sum_to_one(image_shape, num_levels):
    model = initialized(image_shape, num_levels=num_levels)
    values = level_values(num_levels)
    every = np.array(list(itertools.product(values, repeat=int(np.prod(image_shape)))), np.float32)
    nats = model.log_prob(every.reshape(-1, *image_shape))
    # The official density-times-width below a probability of 1e-5 costs that much.
    np.testing.assert_allclose(np.exp(nats.numpy().astype(np.float64)).sum(), 1.0, atol=2e-4)
    assert np.ptp(nats) > 0.5  # not the uniform distribution


def test_multiples_of_4_are_not_extended():
    images = add_ones_channel(random_values(2, 8, 12, 3))
    assert extend(images, 4) is images


def test_extended_images_are_padded_with_zeros():
    """Also in the channel of ones."""
    images = extend(add_ones_channel(random_values(2, 6, 7, 3)), 4)
    assert images.shape == [2, 8, 8, 4]
    assert not images[:, 6:].numpy().any() and not images[:, :, 7:].numpy().any()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "vq_vae"])
def test_a_model_at_another_size_has_the_same_variables(name):
    config = from_values({"model": name, "config": "tiny", "nr_filters": 4, "nr_resnet": 1})
    model = make_model(config, DataDescription((5, 6, 1), 17, None))
    other = model.at_size(3, 9)
    assert type(other) is type(model) and other.image_shape == (3, 9, 1)
    assert model.image_shape == (5, 6, 1)
    assert model.at_size(5, 6) is model and other.at_size(5, 6) is model
    assert model.at_size(3, 9) is other
    assert [id(v) for v in other.variables] == [id(v) for v in model.variables]
    with pytest.raises(ValueError, match=r"must be \[B, 3, 9, 1\]"):
        other(random_values(2, 5, 6, 1))

    # A training step on one changes the other, and to what a model of that size would give.
    wide, small = random_values(2, 3, 9, 1), random_values(2, 5, 6, 1)
    before = model(small).numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(other.likelihood.loss(wide, other(wide)))
    for gradient, variable in zip(
        tape.gradient(loss, other.trainable_variables), model.trainable_variables, strict=True
    ):
        variable.assign_sub(1e-3 * gradient)
    assert np.abs(model(small) - before).max() > 0
    expected = make_model(config, DataDescription((3, 9, 1), 17, None))
    for variable, value in zip(expected.variables, model.variables, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(other.log_prob(wide), expected.log_prob(wide))


def test_sampling_and_completing_at_another_size(tmp_path):
    model = PixelCNNPlusPlus((8, 4, 1), **ONE_STAGE)
    data_dependent_init(model, random_values(4, 8, 4, 1))
    other = model.at_size(3, 6)
    assert sampling.sample(model, 2, seed=1).shape == [2, 8, 4, 1]
    images = other.sample(2, seed=1)
    expected = PixelCNNPlusPlus((3, 6, 1), **ONE_STAGE)
    expected.set_weights(model.get_weights())
    np.testing.assert_array_equal(images, expected.sample(2, seed=1))
    mask = np.arange(6) < 3
    completed = other.complete(images, np.tile(mask, (3, 1)), seed=2)
    np.testing.assert_array_equal(completed[:, :, :3], images[:, :, :3])

    # The saved model has its size.
    path = str(tmp_path / "model.keras")
    other.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.image_shape == (3, 6, 1)
    np.testing.assert_array_equal(loaded(images), other(images))


@pytest.mark.parametrize("height, width", [(0, 4), (4, 2.5), ("4", 4), (True, 4)])
def test_invalid_size_is_named(height, width):
    model = PixelCNNPlusPlus((4, 4, 1), **ONE_STAGE)
    with pytest.raises(ValueError, match="height|width"):
        model.at_size(height, width)
