"""No output sees its own pixel or a later one in raster order, by gradient at every position."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from small import with_encoder

from pixelcnn_tf import PixelCNNPlusPlus, data_dependent_init

HEIGHT, WIDTH = 8, 4


def dependencies(model, label):
    """Boolean `[H * W, H * W]`: whether the output at pixel i depends on the pixel j.

    Image i of a batch of equal ones is asked for the gradient of its pixel i alone.
    """
    size = HEIGHT * WIDTH
    image = tf.random.stateless_uniform([1, *model.image_shape], [1, 2], -1.0, 1.0)
    noise = tf.random.stateless_uniform([10, 1, HEIGHT, WIDTH, 4], [3, 4], -1.0, 1.0)
    images, noise = tf.repeat(image, size, axis=0), tf.repeat(noise, size, axis=1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        given = None if label is None else tf.repeat(tf.constant(label)[None], size, axis=0)
        outputs = model(images, given, noise=noise)
        if model.energy_distance:
            outputs = tf.transpose(outputs, [1, 2, 3, 0, 4])  # [B, H, W, K, C]
        outputs = tf.reshape(outputs, [size, size, -1])
        # Weights of both signs, so that a dependence cannot cancel out.
        weights = tf.random.stateless_normal(outputs.shape[1:], [5, 6])
        asked = tf.reduce_sum(tf.eye(size)[:, :, None] * outputs * weights)
    gradient = tf.abs(tape.gradient(asked, images))
    return tf.reduce_max(gradient, axis=-1).numpy().reshape(size, size) > 0


# Every two of these meet in one of the quick ones.
CASES = list(itertools.product([1, 3], [None, 3], ["concat_elu", "elu", "relu"]))
QUICK = [(1, None, "concat_elu"), (3, 3, "concat_elu"), (3, None, "elu"), (1, 3, "elu")]
QUICK += [(1, None, "relu"), (3, 3, "relu")]


@pytest.mark.parametrize(
    "channels, num_classes, nonlinearity",
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_only_earlier_pixels_are_seen(channels, num_classes, nonlinearity):
    model = PixelCNNPlusPlus(
        (HEIGHT, WIDTH, channels),
        nr_resnet=1,
        nr_filters=6,
        nr_logistic_mix=2,
        resnet_nonlinearity=nonlinearity,
        num_classes=num_classes,
    )
    label = 1 if num_classes else None
    images = tf.random.stateless_uniform([8, *model.image_shape], [7, 8], -1.0, 1.0)
    data_dependent_init(model, images, [label] * 8 if num_classes else None)
    seen = dependencies(model, label)
    assert not np.triu(seen).any()
    # The test can fail: a pixel does see the one to its left and the one above it.
    at = np.arange(HEIGHT * WIDTH)
    inner = at[(at % WIDTH > 0) & (at >= WIDTH)]
    assert seen[inner, inner - 1].all() and seen[inner, inner - WIDTH].all()


@pytest.mark.parametrize("condition", ["small:2", "vector"])
def test_conditions_do_not_change_the_receptive_field(condition):
    """Only earlier pixels of the image; the condition at the pixel itself is visible."""
    arguments = with_encoder(image_shape=(HEIGHT, WIDTH, 3), condition=condition)
    model = PixelCNNPlusPlus(nr_resnet=1, nr_filters=6, nr_logistic_mix=2, **arguments)
    images = tf.random.stateless_uniform([8, *model.image_shape], [7, 8], -1.0, 1.0)
    model.initialize(images)
    given = model.compute_condition(images)
    seen = dependencies(model, given[0])
    assert not np.triu(seen).any() and seen[5, 4]
    with tf.GradientTape() as tape:
        tape.watch(given)
        first = model(images, given)[:, 0, 0]
    gradient = tape.gradient(first, given)
    reached = gradient[:, 0, 0] if gradient.shape.rank == 4 else gradient
    assert tf.reduce_max(tf.abs(reached)) > 0


def test_energy_model_sees_only_earlier_pixels():
    model = PixelCNNPlusPlus((HEIGHT, WIDTH, 3), nr_resnet=1, nr_filters=4, energy_distance=True)
    seen = dependencies(model, None)
    assert not np.triu(seen).any() and seen.any()
