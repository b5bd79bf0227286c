import numpy as np
import pytest
import tensorflow as tf

from pixelcnn_tf.levels import input_to_levels, level_values, levels_to_input, round_to_level
from pixelcnn_tf.random import as_seed, example_seeds, uniform_per_example


@pytest.mark.parametrize("num_levels", [2, 3, 17, 32, 256, 65536])
def test_levels_are_exactly_invertible(num_levels):
    levels = np.arange(num_levels)
    values = levels_to_input(levels, num_levels)
    np.testing.assert_array_equal(input_to_levels(values, num_levels), levels)
    assert values[0] == -1 and values[-1] == 1
    np.testing.assert_array_equal(round_to_level(values, num_levels), values)
    nearby = values + 0.4 / (num_levels - 1)
    np.testing.assert_array_equal(input_to_levels(nearby, num_levels), levels)


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
