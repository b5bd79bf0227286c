"""The codec's distributions: exact marginals, exact counts, corrections."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from pixelcnn_tf.codec.categorical import CategoricalPixels
from pixelcnn_tf.codec.coder import Decoder, Encoder
from pixelcnn_tf.codec.container import CodecError
from pixelcnn_tf.codec.engine import Corrections
from pixelcnn_tf.codec.mixture import MixturePixels
from pixelcnn_tf.codec.tree import OFFSET, Descent, decisions, depth, frequency_bits
from pixelcnn_tf.levels import level_values, levels_to_input
from pixelcnn_tf.likelihoods.categorical import Categorical
from pixelcnn_tf.likelihoods.discretized_mix_logistic import DiscretizedMixLogistic


def normal(*shape, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def masses(pixels, num_levels):
    """The probability of every level `[N, num_levels]` of the selected channel."""
    num = len(pixels.below(np.ones(1, int))) if num_levels > 1 else 1
    inner = [pixels.below(np.full(num, b)) for b in range(1, num_levels)]
    cumulative = np.stack([np.zeros(num), *inner, np.ones(num)], axis=-1)
    return np.diff(cumulative, axis=-1)


@pytest.mark.parametrize("num_levels", [2, 7])
def test_the_marginals_of_the_mixture_sum_to_one_and_are_its_likelihood(num_levels):
    """Over all colours: P(R) P(G | R) P(B | R, G) is the paper's probability of the pixel."""
    likelihood = DiscretizedMixLogistic(3, 3, num_levels)
    colours = np.stack(np.meshgrid(*[np.arange(num_levels)] * 3, indexing="ij"), -1).reshape(-1, 3)
    one = normal(1, 30)
    pixels = MixturePixels(likelihood, np.repeat(one, len(colours), axis=0))
    values, total = level_values(num_levels), np.ones(len(colours))
    for channel in range(3):
        pixels.select(channel)
        mass = masses(pixels, num_levels)
        assert (mass > 0).all()
        np.testing.assert_allclose(mass.sum(axis=-1), 1.0, rtol=1e-14)
        total *= np.take_along_axis(mass, colours[:, channel : channel + 1], axis=-1)[:, 0]
        pixels.set(colours[:, channel], values[colours[:, channel]])
    np.testing.assert_allclose(total.sum(), 1.0, rtol=1e-13)
    images = levels_to_input(colours, num_levels)[None, None]
    parameters = tf.constant(np.repeat(one, len(colours), axis=0))[None, None]
    reported = np.exp(likelihood.log_prob(images, parameters).numpy().reshape(-1))
    likely = total > 1e-4  # below it the official likelihood takes the density
    assert likely.any()
    np.testing.assert_allclose(total[likely], reported[likely], rtol=1e-3)


def test_the_categorical_is_its_likelihood():
    likelihood = Categorical(3, 5)
    parameters = normal(4, 15)
    pixels = CategoricalPixels(likelihood, parameters)
    for channel in range(3):
        pixels.select(channel)
        expected = tf.nn.softmax(parameters.reshape(4, 3, 5)[:, channel]).numpy()
        np.testing.assert_allclose(masses(pixels, 5), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e14])
def test_extreme_parameters_give_every_level_a_count(scale):
    """Down to components far off and of no width: all levels can be coded, all bits are finite."""
    num_levels = 256
    likelihood = DiscretizedMixLogistic(2, 3, num_levels)
    parameters = normal(num_levels, 20, scale=scale)
    levels = np.arange(num_levels)
    pixels = MixturePixels(likelihood, parameters, uncertainty=1e-13)
    for channel in range(3):
        pixels.select(channel)
        cost = 0.0
        for upper, probabilities, *_ in decisions(pixels, levels):
            assert ((probabilities > 0) & (probabilities < 1)).all()
            cost -= np.log2(np.where(upper, probabilities, 1 - probabilities))
        assert (cost <= frequency_bits(num_levels) + 1e-6).all()
        pixels.set(levels, level_values(num_levels))


class OneDistribution:
    """Fixed probabilities of the levels below each, instead of a model's."""

    def __init__(self, cumulative, error=0.0):
        self.cumulative, self.error = np.asarray(cumulative), error
        self.num_levels = len(cumulative) + 1

    def below(self, boundaries):
        return self.cumulative[boundaries - 1]

    def below_with_error(self, boundaries):
        return self.below(boundaries), np.full(len(boundaries), self.error)


@pytest.mark.parametrize("num_levels", [2, 3, 5, 256, 1000, 65536])
def test_counts_are_exact_and_at_least_one(num_levels):
    """The costs are those of integers that sum to 2^bits."""
    weights = np.random.default_rng(0).exponential(size=num_levels) ** 4
    weights[num_levels // 2 :] = 0.0  # no probability at all, and one count even so
    cumulative = np.cumsum(weights / weights.sum())[:-1]
    levels = np.arange(num_levels)
    chance, number = np.ones(num_levels), 0
    for upper, probabilities, is_open, _, _ in decisions(OneDistribution(cumulative), levels):
        chance *= np.where(is_open, np.where(upper, probabilities, 1 - probabilities), 1.0)
        number += 1
    assert number == depth(num_levels)
    counts = chance * 2 ** frequency_bits(num_levels)
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-6)
    assert counts.min() > 0.999 and np.rint(counts).sum() == 2 ** frequency_bits(num_levels)


def test_sums_that_fall_by_rounding_leave_every_level_a_count():
    falling = [0.5, 0.5 - 1e-16, 0.5 - 2e-16, 0.5 - 1e-3, 0.2]  # worse than rounding
    for _, probabilities, is_open, *_ in decisions(OneDistribution(falling), np.arange(6)):
        assert ((probabilities > 0) & (probabilities < 1))[is_open].all()


def coded(distribution, levels):
    """`(stream, corrections, number of decisions)` of levels."""
    encoder, corrections, number = Encoder(), [], 0
    for upper, probabilities, is_open, doubtful, lower in decisions(distribution, levels):
        encoder.bits(upper[is_open], probabilities[is_open])
        places = np.flatnonzero(doubtful)
        corrections += [(place + number, lower[place]) for place in places]
        number += len(levels)
    return encoder.bytes(), np.array(corrections, np.int64).reshape(-1, 2), number


def decoded(distribution, num, stream, corrections):
    descent, decoder = Descent(num, distribution.num_levels), Decoder(stream)
    corrections = Corrections(corrections)
    for _ in range(depth(distribution.num_levels)):
        counts = corrections.rounded(descent.scaled(distribution.below(descent.middle)))
        upper = np.zeros(num, bool)
        upper[descent.open] = decoder.bits(descent.probabilities(counts)[descent.open])
        descent.decide(upper)
    return descent.low


@pytest.mark.parametrize("num_levels", [2, 3, 256, 300])
def test_another_order_of_sums_is_corrected(num_levels):
    """All counts are at a jump of the rounding, with large errors: each decision is corrected."""
    rng = np.random.default_rng(1)
    free = 2 ** frequency_bits(num_levels) - num_levels
    jumps = np.rint(np.cumsum(rng.dirichlet(np.ones(num_levels)))[:-1] * free) - OFFSET
    cumulative = (jumps + rng.uniform(-0.1, 0.1, num_levels - 1)) / free
    levels = rng.integers(0, num_levels, 4000)
    stream, corrections, number = coded(OneDistribution(cumulative, 0.2 / free), levels)
    assert number / 2 < len(corrections) <= number
    for seed in range(3):
        moved = np.random.default_rng(seed).uniform(-0.2, 0.2, num_levels - 1) / free
        other = OneDistribution(cumulative + moved)
        np.testing.assert_array_equal(decoded(other, 4000, stream, corrections), levels)
    if num_levels < 256:
        return
    none = corrections[:0]  # without them it decodes other levels
    with contextlib.suppress(CodecError):
        assert (decoded(other, 4000, stream, none) != levels).any()


def test_errors_are_bounds():
    """`below_with_error` bounds what parameters that are moved by the uncertainty do."""
    likelihood, uncertainty = DiscretizedMixLogistic(4, 3, 256), 1e-9
    parameters = normal(300, 40, scale=2.0)
    levels = np.random.default_rng(0).integers(0, 256, (300, 3))
    boundaries = np.random.default_rng(1).integers(1, 256, 300)
    signs = np.random.default_rng(2).choice([-1.0, 1.0], parameters.shape)
    moved = parameters + signs * uncertainty * (1 + np.abs(parameters))
    here, there = (
        MixturePixels(likelihood, p, u) for p, u in ((parameters, uncertainty), (moved, 0.0))
    )
    for channel in range(3):
        here.select(channel), there.select(channel)
        below, error = here.below_with_error(boundaries)
        difference = np.abs(there.below(boundaries) - below)
        assert (difference <= error * (1 + 1e-4)).all()
        for pixels in (here, there):
            pixels.set(levels[:, channel], level_values(256)[levels[:, channel]])


def test_coder_bytes_are_stable():
    """Later versions of the range coder must read existing files."""
    encoder = Encoder()
    encoder.uniform(np.array([3, 1, 9]), 10)
    chances = np.array([1, 2**21, 2**22 - 1, 12345]) / 2**22
    encoder.bits(np.array([False, True, True, False]), chances)
    assert encoder.bytes().hex() == "74beca51"
    decoder = Decoder(encoder.bytes())
    assert decoder.uniform(3, 10).tolist() == [3, 1, 9]
    assert decoder.bits(chances).tolist() == [False, True, True, False]
