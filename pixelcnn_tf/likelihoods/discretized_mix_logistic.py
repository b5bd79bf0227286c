"""The mixture of discretized logistics: parameters, likelihood and samples of each pixel.

Paper section 2.1 (equations 1 and 2) and 2.2 (the linear dependence between the colours);
official `nn.discretized_mix_logistic_loss` and `nn.sample_from_discretized_mix_logistic`.

A component is one logistic distribution per channel. The real line is divided into one bin per
level: `half_bin` to both sides of the level's value, the outermost bins reaching to infinity.
The probability of a level is the mass of its bin.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_tf.levels import check_num_levels, half_bin, require_values, round_to_level
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.random import Seed, as_seed

LOG_SCALE_MIN = -7.0  # official nn.py: log_scales = tf.maximum(..., -7.)
EDGE = 0.999  # official nn.py: x < -0.999 is the lowest level, x > 0.999 the highest ...
# ... for up to 1,000 levels; with more, half a bin below the highest.
DENSITY_BELOW = 1e-5  # official nn.py: below this probability, density times bin width
UNIFORM_MARGIN = 1e-5  # official nn.py: uniforms are drawn from [1e-5, 1 - 1e-5]
# Not official: network outputs are clipped to this before use, so that squares and sums over an
# image stay finite in float32. Official values differ only beyond it, where the official loss is
# infinite or NaN.
OUTPUT_LIMIT = 1e15


class MixtureParameters(NamedTuple):
    """The parameters of the mixture at every pixel; K = nr_logistic_mix, C = channels."""

    logit_probs: tf.Tensor  # [..., K], unnormalised log weights of the components
    means: tf.Tensor  # [..., C, K], in the image's units (levels lie in [-1, 1])
    log_scales: tf.Tensor  # [..., C, K], >= -7
    coeffs: tf.Tensor | None  # [..., 3, K] in [-1, 1]: G on R, B on R, B on G; None for C = 1


# Official model_spec: outputs per component. RGB: a weight, 3 means, 3 log_scales, 3 coeffs; one
# channel: a weight, a mean, a log_scale.
OUTPUTS_PER_MIX = {3: 10, 1: 3}


def num_channels(num_outputs: int, nr_logistic_mix: int) -> int:
    """Channels of the images that `num_outputs` = 10 K (RGB) or 3 K (one channel) describe.

    Raises:
      ValueError: if `num_outputs` is neither.
    """
    for channels, outputs_per_mix in OUTPUTS_PER_MIX.items():
        if num_outputs == outputs_per_mix * nr_logistic_mix:
            return channels
    raise ValueError(
        f"l: the last axis is {num_outputs}; with nr_logistic_mix={nr_logistic_mix} it must be "
        f"{10 * nr_logistic_mix} (3 channels) or {3 * nr_logistic_mix} (1 channel)"
    )


def split_parameters(
    l: tf.Tensor,  # noqa: E741 (the official name)
    nr_logistic_mix: int,
) -> MixtureParameters:
    """Splits the network's output into named parts.

    Args:
      l: float tensor `[..., 10 * K]` (RGB) or `[..., 3 * K]` (one channel).
      nr_logistic_mix: K.

    Returns:
      `MixtureParameters` in float32 (float64 if `l` is).

    Raises:
      ValueError: if the last axis fits neither.
    """
    k = nr_logistic_mix
    channels = num_channels(l.shape[-1], k)
    if l.dtype != tf.float64:
        l = tf.cast(l, tf.float32)  # noqa: E741
    l = tf.clip_by_value(l, -OUTPUT_LIMIT, OUTPUT_LIMIT)  # noqa: E741
    # Splits, not slices: the gradient of a split is one concatenation.
    parts = 3 if channels == 3 else 2
    logit_probs, rest = tf.split(l, [k, channels * parts * k], axis=-1)
    leading = [tf.shape(l)[i] if n is None else n for i, n in enumerate(l.shape[:-1])]
    rest = tf.reshape(rest, [*leading, channels, parts * k])
    means, log_scales, *coeffs = tf.split(rest, parts, axis=-1)
    return MixtureParameters(
        logit_probs=logit_probs,
        means=means,
        log_scales=tf.maximum(log_scales, LOG_SCALE_MIN),
        coeffs=tf.tanh(coeffs[0]) if coeffs else None,
    )


def conditional_means(x: tf.Tensor, parameters: MixtureParameters) -> tf.Tensor:
    """Means of each channel given the channels before it (paper equation 3), `[..., C, K]`.

    Args:
      x: the pixels, `[..., C]`.
      parameters: `MixtureParameters`.
    """
    means, coeffs = parameters.means, parameters.coeffs
    if coeffs is None:
        return means
    red_on_green, red_on_blue, green_on_blue = tf.unstack(
        coeffs * tf.gather(x, [0, 0, 1], axis=-1)[..., None], axis=-2
    )  # [..., K]
    added = [tf.zeros_like(red_on_green), red_on_green, red_on_blue + green_on_blue]
    return means + tf.stack(added, axis=-2)


def mixture_log_prob(
    x: tf.Tensor, parameters: MixtureParameters, num_levels: int = 256
) -> tf.Tensor:
    """Log-probability of each pixel, all channels together.

    Args:
      x: pixels `[..., C]`, level values in [-1, 1].
      parameters: `MixtureParameters` with the same leading axes.
      num_levels: number of levels per channel.

    Returns:
      `[...]`, nats, <= 0 (up to rounding), finite for any finite network output.
    """
    x = tf.cast(require_values(x, "x"), parameters.means.dtype)
    half = half_bin(num_levels)
    log_scales = parameters.log_scales
    centered_x = x[..., None] - conditional_means(x, parameters)  # [..., C, K]
    inv_stdv = tf.exp(-log_scales)
    mid_in, half_width = inv_stdv * centered_x, inv_stdv * half
    plus_in, min_in = mid_in + half_width, mid_in - half_width

    log_cdf_plus = -tf.nn.softplus(-plus_in)  # lowest level: all below its upper edge
    log_one_minus_cdf_min = -tf.nn.softplus(min_in)  # highest level: all above its lower edge
    # Between: log(sigmoid(plus_in) - sigmoid(min_in)), written as
    # log(sigmoid(plus_in) sigmoid(-min_in) (1 - exp(-width))), which does not cancel.
    # The outermost bins have only one edge: the term of the other is left out.
    edge = max(EDGE, 1.0 - half)
    not_lowest, not_highest = x >= -edge, x <= edge  # [..., C]
    between = not_lowest & not_highest

    def where(condition, value):
        return value * tf.cast(condition, x.dtype)[..., None]

    width = tf.maximum(2.0 * half_width, DENSITY_BELOW)
    log_mass = (
        where(not_highest, log_cdf_plus)
        + where(not_lowest, log_one_minus_cdf_min)
        + where(between, tf.math.log(-tf.math.expm1(-width)))
    )
    # Very improbable levels, as in the official code: density times bin width.
    log_bin_width = tf.math.log(tf.constant(2.0 * half, x.dtype))
    log_pdf_mid = mid_in - log_scales - 2.0 * tf.nn.softplus(mid_in) + log_bin_width

    improbable = (log_mass <= math.log(DENSITY_BELOW)) & between[..., None]
    log_probs = tf.where(improbable, log_pdf_mid, log_mass)

    log_weights = tf.nn.log_softmax(parameters.logit_probs)
    return tf.reduce_logsumexp(tf.reduce_sum(log_probs, axis=-2) + log_weights, axis=-1)


def discretized_mix_logistic_loss(
    x: tf.Tensor,
    l: tf.Tensor,  # noqa: E741
    sum_all: bool = True,
    num_levels: int = 256,
) -> tf.Tensor:
    """Negative log-likelihood of images (official `nn.discretized_mix_logistic_loss`).

    Args:
      x: images `[B, H, W, 3]` or `[B, H, W, 1]`, level values in [-1, 1].
      l: the network's output, `[B, H, W, 10 * K]` for 3 channels, `[B, H, W, 3 * K]` for 1.
      sum_all: sum over the batch too.
      num_levels: number of levels per channel.

    Returns:
      Nats, float32: a scalar, or with `sum_all=False` one value per image, `[B]`.

    Raises:
      ValueError: if the shapes of `x` and `l` do not fit each other, or `x` holds integers.
    """
    x, l = tf.convert_to_tensor(x), tf.convert_to_tensor(l)  # noqa: E741
    outputs_per_mix = OUTPUTS_PER_MIX.get(x.shape[-1])
    if outputs_per_mix is None or l.shape[-1] % outputs_per_mix or x.shape.rank != 4:
        raise ValueError(
            f"x of shape {x.shape} with l of shape {l.shape}: must be [B, H, W, 3] with "
            "[B, H, W, 10 * nr_mix] or [B, H, W, 1] with [B, H, W, 3 * nr_mix]"
        )
    if not x.shape[:-1].is_compatible_with(l.shape[:-1]):
        raise ValueError(f"x of shape {x.shape} and l of shape {l.shape}: B, H, W must agree")
    parameters = split_parameters(l, l.shape[-1] // outputs_per_mix)
    nats = -mixture_log_prob(x, parameters, check_num_levels(num_levels))
    nats = tf.reduce_sum(nats, axis=[1, 2])
    return tf.reduce_sum(nats) if sum_all else nats


def sample_from_discretized_mix_logistic(
    l: tf.Tensor,  # noqa: E741
    nr_mix: int,
    seed: Seed | None = None,
    noise: tuple[tf.Tensor, tf.Tensor] | None = None,
    quantize: bool = True,
    num_levels: int = 256,
    temperature: float = 1.0,
) -> tf.Tensor:
    """Samples every pixel from its mixture (official `nn.sample_from_discretized_mix_logistic`).

    Args:
      l: the network's output, `[..., 10 * nr_mix]` or `[..., 3 * nr_mix]`.
      nr_mix: number of mixture components.
      seed: int, or int32 `[2]`; give either this or `noise`.
      noise: `(u_mix, u_logistic)`, uniform in [1e-5, 1 - 1e-5], of shapes `[..., nr_mix]`
        (chooses the component by the Gumbel trick) and `[..., C]` (through the inverse CDF).
      quantize: round each channel to the nearest level before the next channel depends on it;
        False gives the official, unrounded values.
      num_levels: number of levels per channel.
      temperature: divides the component logits and multiplies the scales; 1 is the model.

    Returns:
      `[..., C]`, values in [-1, 1], float32 (float64 if `l` is).

    Raises:
      ValueError: unless exactly one of `seed` and `noise` is given, or if the last axis of `l`
        does not fit `nr_mix`.
    """
    l = tf.convert_to_tensor(l)  # noqa: E741
    if (seed is None) == (noise is None):
        raise ValueError("seed, noise: give exactly one of seed and noise=(u_mix, u_logistic)")
    p = split_parameters(l, nr_mix)
    dtype = p.means.dtype
    if noise is None:
        shape = tf.concat([tf.shape(l)[:-1], [nr_mix + p.means.shape[-2]]], axis=0)
        uniform = tf.random.stateless_uniform(
            shape, as_seed(seed), UNIFORM_MARGIN, 1.0 - UNIFORM_MARGIN
        )
        noise = uniform[..., :nr_mix], uniform[..., nr_mix:]
    u_mix, u_logistic = (tf.cast(u, dtype) for u in noise)
    temperature = tf.cast(temperature, dtype)

    gumbel = -tf.math.log(-tf.math.log(u_mix))
    component = tf.argmax(p.logit_probs / temperature + gumbel, axis=-1)
    chosen = tf.one_hot(component, nr_mix, dtype=dtype)[..., None, :]  # [..., 1, K]
    means = tf.reduce_sum(p.means * chosen, axis=-1)  # [..., C]
    scales = tf.exp(tf.reduce_sum(p.log_scales * chosen, axis=-1)) * temperature
    logistic = means + scales * (tf.math.log(u_logistic) - tf.math.log(1.0 - u_logistic))

    def finish(x):
        x = tf.clip_by_value(x, -1.0, 1.0)
        return round_to_level(x, num_levels) if quantize else x

    first = finish(logistic[..., 0])
    if p.coeffs is None:
        return first[..., None]
    coeffs = tf.reduce_sum(p.coeffs * chosen, axis=-1)  # [..., 3]
    green = finish(logistic[..., 1] + coeffs[..., 0] * first)
    blue = finish(logistic[..., 2] + coeffs[..., 1] * first + coeffs[..., 2] * green)
    return tf.stack([first, green, blue], axis=-1)


class DiscretizedMixLogistic(Likelihood):
    """The mixture as the `Likelihood` of a model.

    Args:
      nr_logistic_mix: number of components.
      channels: 1 or 3.
      num_levels: number of levels per channel.
    """

    def __init__(self, nr_logistic_mix: int, channels: int, num_levels: int = 256):
        if channels not in OUTPUTS_PER_MIX:
            raise ValueError(f"channels={channels}: must be 1 or 3")
        self.nr_logistic_mix = nr_logistic_mix
        self.channels = channels
        self.num_levels = check_num_levels(num_levels)
        self.num_parameters = OUTPUTS_PER_MIX[channels] * nr_logistic_mix
        self.num_uniforms = nr_logistic_mix + channels

    def log_prob(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        split = split_parameters(parameters, self.nr_logistic_mix)
        return mixture_log_prob(images, split, self.num_levels)

    def sample(
        self,
        parameters: tf.Tensor,
        uniforms: tf.Tensor,
        quantize: bool = True,
        temperature: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        noise = uniforms[..., : self.nr_logistic_mix], uniforms[..., self.nr_logistic_mix :]
        return sample_from_discretized_mix_logistic(
            parameters,
            self.nr_logistic_mix,
            noise=noise,
            quantize=quantize,
            num_levels=self.num_levels,
            temperature=temperature,
        )
