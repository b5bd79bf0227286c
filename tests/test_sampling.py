import itertools

import numpy as np
import pytest
import tensorflow as tf

from pixelcnn_tf import PixelCNNPlusPlus, discretized_mix_logistic_loss, sampling
from pixelcnn_tf.levels import level_values

TINY = dict(nr_resnet=1, nr_filters=4, nr_logistic_mix=2)


@pytest.fixture(scope="module")
def model():
    return PixelCNNPlusPlus((8, 4, 3), **TINY)


def test_image_does_not_depend_on_the_number_or_the_batch_size(model):
    eight = sampling.sample(model, 8, seed=3, batch_size=5)
    three = sampling.sample(model, 3, seed=3)
    np.testing.assert_array_equal(eight[:3], three)
    assert np.abs(eight - sampling.sample(model, 8, seed=4)).max() > 0


def test_samples_are_levels(model):
    assert np.isin(sampling.sample(model, 2, seed=3), level_values()).all()


def test_completion_keeps_given_pixels_and_samples_the_rest(model):
    images = sampling.sample(model, 2, seed=3)
    given = tf.random.stateless_uniform([2, 8, 4, 3], [1, 1], -1.0, 1.0)
    mask = np.zeros([8, 4], np.uint8)
    mask[:4] = 1
    completed = sampling.complete(model, given, mask, seed=3)
    np.testing.assert_array_equal(completed[:, :4], given[:, :4])
    assert np.abs(completed[:, 4:] - given[:, 4:]).max() > 0
    nothing_given = sampling.complete(model, given, 0 * mask, seed=3)
    np.testing.assert_array_equal(nothing_given, images)
    # Given what was sampled under the same seed, the rest is as sampled.
    again = sampling.complete(model, images, mask, seed=3)
    np.testing.assert_array_equal(again, images)


def test_progress_counts_rows(model):
    rows = []
    sampling.sample(model, 3, seed=1, batch_size=2, progress=rows.append)
    assert sum(rows) == 2 * 8


def test_conditional_model_follows_its_labels():
    model = PixelCNNPlusPlus((4, 4, 1), **TINY, num_classes=3)
    for block in model.ul_up[0]:
        block.hw.assign(block.hw * 200.0)
    same = sampling.sample(model, 2, seed=1, labels=[1, 1])
    mixed = sampling.sample(model, 2, seed=1, labels=[1, 2])
    np.testing.assert_array_equal(same[0], mixed[0])
    assert np.abs(same[1] - mixed[1]).max() > 0


def test_energy_model_samples():
    model = PixelCNNPlusPlus((4, 4, 3), **TINY, energy_distance=True)
    images = sampling.sample(model, 3, seed=1)
    assert images.shape == [3, 4, 4, 3] and np.isin(images, level_values()).all()
    np.testing.assert_array_equal(images[:2], sampling.sample(model, 2, seed=1))
    with pytest.raises(ValueError, match="temperature=0.5"):
        sampling.sample(model, 3, seed=1, temperature=0.5)


@pytest.mark.parametrize("shape", [(4, 4, 1)])
def test_sampled_images_follow_the_exact_probabilities(shape):
    """Chi-square over all 2^16 images of 4x4 with 2 levels, grouped by the last 5 pixels."""
    model = PixelCNNPlusPlus(shape, **TINY, num_levels=2)
    for variable in model.trainable_variables:  # a model with strong dependences
        if variable.name == "g":
            variable.assign(variable * 1.5)
    free = 5
    mask = np.ones(16, bool)
    mask[-free:] = False
    mask = mask.reshape(4, 4)
    start = np.random.default_rng(0).choice([-1.0, 1.0], size=[1, *shape]).astype(np.float32)
    endings = np.array(list(itertools.product([-1.0, 1.0], repeat=free)), np.float32)
    images = np.repeat(start.reshape(1, 16), len(endings), axis=0)
    images[:, -free:] = endings
    nats = discretized_mix_logistic_loss(
        images.reshape(-1, *shape), model(images.reshape(-1, *shape)), False, num_levels=2
    )
    probabilities = tf.nn.softmax(-nats).numpy()  # given the first pixels

    count = 4000
    given = np.repeat(start, count, axis=0)
    sampled = sampling.complete(model, given, mask, seed=9, batch_size=count).numpy()
    place = ((sampled.reshape(count, 16)[:, -free:] + 1) / 2) @ 2 ** np.arange(free)[::-1]
    observed = np.bincount(place.astype(int), minlength=len(endings))
    expected = count * probabilities
    chi_square = np.sum((observed - expected) ** 2 / expected)
    assert chi_square < (len(expected) - 1) + 5 * np.sqrt(2 * (len(expected) - 1))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(num_samples=0), "num_samples=0"),
        (dict(temperature=0.0), "temperature=0"),
        (dict(method="fast"), "method='fast'"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(labels=[1]), "num_classes=None"),
        (dict(seed=[1, 2, 3]), "seed of shape"),
    ],
)
def test_bad_arguments_are_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, **(dict(num_samples=1, seed=1) | options))


def test_bad_mask_is_named(model):
    with pytest.raises(ValueError, match="mask of shape"):
        sampling.complete(model, tf.zeros([2, 8, 4, 3]), tf.zeros([4, 4]), seed=1)
