"""The mixture of discretized logistics against independent constructions."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from pixelcnn_tf import discretized_mix_logistic_loss, sample_from_discretized_mix_logistic
from pixelcnn_tf.levels import level_values
from pixelcnn_tf.likelihoods.discretized_mix_logistic import mixture_log_prob, split_parameters
from pixelcnn_tf.likelihoods.tfp_distribution import DiscretizedMixLogisticPixel

tfd = tfp.distributions
K = 3


def random_output(shape, channels, scale=1.0, seed=0):
    size = (10 if channels == 3 else 3) * K
    return tf.random.stateless_normal([*shape, size], [seed, 1]) * scale


def by_tfp(x, l, num_levels):  # noqa: E741
    """log p of one pixel `x` [C] from tfp's QuantizedDistribution, in float64."""
    channels = len(x)
    l = np.asarray(l, np.float64)  # noqa: E741
    parts = l[K:].reshape(channels, -1)
    means, log_scales = parts[:, :K].copy(), np.maximum(parts[:, K : 2 * K], -7)
    if channels == 3:
        coeffs = np.tanh(parts[:, 2 * K :])
        means[1] += coeffs[0] * x[0]
        means[2] += coeffs[1] * x[0] + coeffs[2] * x[1]
    half = (num_levels - 1) / 2  # on the scale of levels 0 ... num_levels - 1
    logistic = tfd.Logistic(means * half + half, np.exp(log_scales) * half)
    # tfp's bins end at the integer: a level's bin reaches half a level to both sides.
    shifted = tfp.bijectors.Shift(np.float64(-0.5))(logistic)
    quantized = tfd.QuantizedDistribution(shifted, low=0.0, high=num_levels - 1.0)
    levels = np.round(np.asarray(x, np.float64) * half + half)
    per_channel = quantized.log_prob(levels[:, None])
    weights = tf.nn.log_softmax(l[:K])
    return tf.reduce_logsumexp(tf.reduce_sum(per_channel, axis=0) + weights).numpy()


@pytest.mark.parametrize("num_levels", [2, 17, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_tfp(channels, num_levels):
    values = level_values(num_levels)
    rng = np.random.default_rng(0)
    x = rng.choice(values, size=[12, channels])
    x[:3] = values[[0, -1, 1]][:, None]  # the edges
    l = random_output([12], channels)  # noqa: E741
    actual = mixture_log_prob(tf.constant(x), split_parameters(l, K), num_levels)
    expected = [by_tfp(pixel, output, num_levels) for pixel, output in zip(x, l, strict=True)]
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "num_levels, scale", [(2, 1.0), (17, 1.0), (17, 2.0), (256, 1.0), (4096, 0.3)]
)
def test_probabilities_sum_to_one_for_one_channel(num_levels, scale):
    l = random_output([20], 1, scale)  # noqa: E741
    x = tf.constant(level_values(num_levels))[:, None, None]  # [levels, 1, 1]
    split = split_parameters(l, K)
    total = tf.reduce_logsumexp(mixture_log_prob(tf.tile(x, [1, 20, 1]), split, num_levels), axis=0)
    np.testing.assert_allclose(total, 0.0, atol=1e-4)


@pytest.mark.parametrize("num_levels", [2, 17])
def test_probabilities_sum_to_one_for_three_channels(num_levels):
    l = random_output([], 3)  # noqa: E741
    x = np.array(list(itertools.product(level_values(num_levels), repeat=3)))
    total = tf.reduce_logsumexp(mixture_log_prob(x, split_parameters(l, K), num_levels))
    np.testing.assert_allclose(total, 0.0, atol=1e-4)


def test_probabilities_sum_to_one_for_three_channels_of_256_levels():
    # 16.7 million colours, one red plane at a time, of one component; of several: above.
    l = tf.random.stateless_normal([10], [0, 1])  # noqa: E741
    split, values = split_parameters(l, 1), level_values(256)
    green, blue = np.meshgrid(values, values)

    @tf.function(autograph=False)
    def plane(red):
        x = tf.stack([tf.fill(green.shape, red), green, blue], axis=-1)
        return tf.reduce_logsumexp(mixture_log_prob(x, split))

    total = np.logaddexp.reduce([plane(tf.constant(red)).numpy() for red in values])
    np.testing.assert_allclose(total, 0.0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1.0, 100.0, 1e4, 1e10, 1e20, 3e38])
def test_finite_for_any_finite_output(channels, size):
    shape = [2, 4, 4]
    rng = np.random.default_rng(1)
    outputs = 10 * K if channels == 3 else 3 * K
    l = tf.constant(rng.choice([-size, size, 0.0, size / 3], size=[*shape, outputs]), tf.float32)  # noqa: E741
    x = tf.constant(rng.choice(level_values(), size=[*shape, channels]))
    with tf.GradientTape() as tape:
        tape.watch(l)
        loss = discretized_mix_logistic_loss(x, l)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, l)).all()
    sample = sample_from_discretized_mix_logistic(l, K, seed=1)
    assert np.isfinite(sample).all() and np.abs(sample).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_follow_the_probabilities(channels):
    num_levels, count = 3, 200_000
    l = random_output([], channels)  # noqa: E741
    many = tf.repeat(l[None], count, axis=0)
    sample = sample_from_discretized_mix_logistic(many, K, seed=5, num_levels=num_levels)
    x = np.array(list(itertools.product(level_values(num_levels), repeat=channels)))
    probabilities = np.exp(mixture_log_prob(x, split_parameters(l, K), num_levels))
    place = (np.round(sample.numpy()) + 1) @ num_levels ** np.arange(channels)[::-1]
    observed = np.bincount(place.astype(int), minlength=len(x))
    chi_square = np.sum((observed - count * probabilities) ** 2 / (count * probabilities))
    # The statistic has mean n - 1 and variance 2 (n - 1).
    assert chi_square < (len(x) - 1) + 5 * np.sqrt(2 * (len(x) - 1))


def test_samples_are_levels_unless_unquantized():
    l = random_output([50], 3)  # noqa: E741
    for num_levels in (2, 17, 256):
        sample = sample_from_discretized_mix_logistic(l, K, seed=2, num_levels=num_levels)
        assert np.isin(sample, level_values(num_levels)).all()
    raw = sample_from_discretized_mix_logistic(l, K, seed=2, quantize=False)
    assert not np.isin(raw, level_values(256)).all()


def test_samples_are_a_function_of_the_seed():
    l = random_output([50], 3)  # noqa: E741
    first = sample_from_discretized_mix_logistic(l, K, seed=2)
    np.testing.assert_array_equal(first, sample_from_discretized_mix_logistic(l, K, seed=[2, 0]))
    assert np.any(first != sample_from_discretized_mix_logistic(l, K, seed=3))


def test_low_temperature_gives_the_mean_of_the_likeliest_component():
    l = random_output([50], 1)  # noqa: E741
    sample = sample_from_discretized_mix_logistic(l, K, seed=1, quantize=False, temperature=1e-6)
    split = split_parameters(l, K)
    likeliest = tf.argmax(split.logit_probs, axis=-1)
    mean = tf.gather(split.means[:, 0], likeliest, batch_dims=1)
    np.testing.assert_allclose(sample[:, 0], tf.clip_by_value(mean, -1, 1), atol=1e-4)


def test_likelihood_is_float32_under_bfloat16():
    l = tf.cast(random_output([2, 4, 4], 3), tf.bfloat16)  # noqa: E741
    x = tf.zeros([2, 4, 4, 3], tf.bfloat16)
    assert discretized_mix_logistic_loss(x, l).dtype == tf.float32


def test_invalid_arguments_are_named():
    x, l = tf.zeros([1, 4, 4, 3]), tf.zeros([1, 4, 4, 30])  # noqa: E741
    with pytest.raises(ValueError, match="x of shape"):
        discretized_mix_logistic_loss(x, l[..., :29])
    with pytest.raises(ValueError, match="x of shape .* must agree"):
        discretized_mix_logistic_loss(x[:, :3], l)
    with pytest.raises(ValueError, match="num_levels=1"):
        discretized_mix_logistic_loss(x, l, num_levels=1)
    with pytest.raises(ValueError, match="seed, noise"):
        sample_from_discretized_mix_logistic(l, 3)
    with pytest.raises(ValueError, match="nr_logistic_mix=4"):
        sample_from_discretized_mix_logistic(l, 4, seed=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_tfp_distribution(channels):
    l = random_output([2, 4, 4], channels)  # noqa: E741
    pixel = DiscretizedMixLogisticPixel(l, nr_mix=K)
    assert pixel.batch_shape == [2, 4, 4] and pixel.event_shape == [channels]
    sample = pixel.sample(5, seed=[1, 2])
    assert sample.shape == [5, 2, 4, 4, channels]
    image = tfd.Independent(pixel, reinterpreted_batch_ndims=2)
    expected = -discretized_mix_logistic_loss(sample[3], l, sum_all=False)
    np.testing.assert_allclose(image.log_prob(sample)[3], expected, rtol=1e-6)
