import numpy as np
import pytest
import tensorflow as tf

from pixelcnn_tf.levels import (
    dtype_of_levels,
    input_to_levels,
    level_values,
    levels_to_input,
    require_levels,
    round_to_level,
)
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import discretized_mix_logistic_loss
from pixelcnn_tf.likelihoods.energy import energy_distance
from pixelcnn_tf.random import (
    RandomBits,
    as_seed,
    batch_places,
    example_seeds,
    uniform_per_example,
)


@pytest.mark.parametrize("num_levels", [2, 3, 17, 32, 256, 65536])
def test_levels_are_exactly_invertible(num_levels):
    levels = np.arange(num_levels)
    values = levels_to_input(levels, num_levels)
    np.testing.assert_array_equal(input_to_levels(values, num_levels), levels)
    assert values[0] == -1 and values[-1] == 1
    np.testing.assert_array_equal(round_to_level(values, num_levels), values)
    nearby = values + 0.4 / (num_levels - 1)
    np.testing.assert_array_equal(input_to_levels(nearby, num_levels), levels)


@pytest.mark.parametrize("num_levels, dtype", [(2, "uint8"), (256, "uint8"), (257, "uint16")])
def test_dtype_of_levels(num_levels, dtype):
    assert dtype_of_levels(num_levels) == np.dtype(dtype)


def test_eight_bit_values_are_the_official_ones():
    official = ((np.arange(256) - 127.5) / 127.5).astype(np.float32)
    np.testing.assert_array_equal(level_values(256), official)


def test_seeds():
    np.testing.assert_array_equal(as_seed(7), [7, 0])
    np.testing.assert_array_equal(as_seed(np.int64(7)), [7, 0])
    assert as_seed(2**40).shape == [2] and as_seed(2**40)[1] == 2**8
    np.testing.assert_array_equal(example_seeds(7, 64)[:8], example_seeds(7, 8))
    assert len(np.unique(example_seeds(7, 64), axis=0)) == 64


def test_noise_of_an_example_does_not_depend_on_the_batch():
    seeds = example_seeds(1, 5)
    noise = uniform_per_example(seeds, [4, 3], 2.0, 3.0)
    assert noise.shape == [5, 4, 3] and noise.numpy().min() >= 2 and noise.numpy().max() < 3
    np.testing.assert_array_equal(noise[3:], uniform_per_example(seeds[3:], [4, 3], 2.0, 3.0))
    assert len(tf.unique(tf.reshape(noise, [-1]))[0]) == 60


def test_computed_levels_are_rounded():
    levels = np.arange(256)
    computed = (levels_to_input(levels) + 1.0) * np.float32(127.5)
    assert (tf.cast(computed, tf.int32) != levels).numpy().any()
    np.testing.assert_array_equal(levels_to_input(computed), levels_to_input(levels))


@pytest.mark.parametrize(
    "levels, value",
    [
        (np.array([0.0, 0.5, 1.0]), "0.5"),
        (np.array([0.0, np.nan]), "nan"),
        (np.array([3, 256]), "256"),
        (np.array([-1], np.int8), "-1"),
        (np.array([-1.0, 1.0]), "-1"),
        (256, "256"),
    ],
)
def test_invalid_levels_are_rejected(levels, value):
    with pytest.raises(ValueError, match=rf"levels: .*0 \.\.\. 255.* got {value}$"):
        levels_to_input(levels)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"levels: .*0 \.\.\. 255"):
        tf.function(lambda: require_levels(levels, 256))()


def test_single_levels_and_levels_in_half_precision():
    assert levels_to_input(255) == 1.0 and round_to_level(tf.constant(0.999)) == 1.0
    values = tf.cast(levels_to_input(np.arange(256)), tf.float16)
    computed = (values + 1) * 127.5  # not whole by up to an eighth
    np.testing.assert_array_equal(levels_to_input(computed), levels_to_input(np.arange(256)))


def test_integers_are_rejected_as_values():
    parameters = tf.zeros([1, 2, 2, 6])
    levels = np.full([1, 2, 2, 1], 200, np.uint8)
    for function in (
        input_to_levels,
        lambda x: discretized_mix_logistic_loss(x, parameters),
        lambda x: energy_distance(x, tf.zeros([2, 1, 2, 2, 1])),
        lambda x: Categorical(1, 6).loss(x, parameters),
    ):
        with pytest.raises(ValueError, match="x of dtype uint8"):
            function(levels)


def test_half_precision_levels_stay_in_range():
    values = tf.cast(levels_to_input(np.arange(512), 512), tf.bfloat16)
    levels = input_to_levels(values, 512).numpy()
    assert levels.min() == 0 and levels.max() == 511


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.int64, np.uint64])
def test_seeds_of_any_integer_type(kind):
    np.testing.assert_array_equal(as_seed(kind(5)), as_seed(5))


def test_all_bits_of_a_seed_are_used():
    wide = 2**40 + 3
    for seed in (np.array(wide), tf.constant(wide, tf.int64), tf.constant(wide, tf.uint64)):
        np.testing.assert_array_equal(as_seed(seed), as_seed(wide))
    traced = tf.function(as_seed)(tf.constant(wide, tf.int64))
    np.testing.assert_array_equal(traced, as_seed(wide))
    for seed in ([wide, 1], np.array([1, wide])):
        with pytest.raises(ValueError, match=r"seed=\[.*32 bits"):
            as_seed(seed)
    with pytest.raises(ValueError, match=r"seed=\[.*32 bits"):
        example_seeds(np.array([[wide, 1]]), 1)


def test_bits_of_no_examples():
    """A replica's share of a last batch may be empty."""
    draw = tf.function(lambda seeds: RandomBits(seeds)([4, 3], 1))
    assert draw(tf.zeros([0, 3], tf.int32)).shape == [0, 4, 3]
    places = batch_places(1, 3)
    np.testing.assert_array_equal(draw(places)[1:], draw(places[1:]))
