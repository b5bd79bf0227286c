"""Sampling from a model, and completing images, pixel by pixel in raster order.

Two samplers return the same images for the same seed, up to float rounding:

- "cached" computes every value of the network once (`cached.py`, and the model's own sampler:
  `pixelcnn_pp/`, `gated_pixelcnn.py`);
- "naive" runs the whole network for every pixel (`naive.py`).
"""

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from pixelcnn_tf.checks import require_bool, require_integer
from pixelcnn_tf.levels import require_in_range
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.likelihoods.discretized_mix_logistic import UNIFORM_MARGIN
from pixelcnn_tf.random import Seed, example_seeds, uniform_per_example
from pixelcnn_tf.sampling.cached import cached_run
from pixelcnn_tf.sampling.compiled import cached_sampler
from pixelcnn_tf.sampling.naive import naive_run

METHODS = ("cached", "naive")
# Compiling the cached sampler with XLA takes about half a minute. On a CPU it saves about 1 ms per
# pixel and batch, and only in narrow networks, whose time depends on the number of operations
# (benchmarks/sampling.py). On a GPU it was not measured, so XLA is off by default.
XLA_PAYS_FROM_PIXELS = 40_000
XLA_PAYS_TO_FILTERS = 64


def pixel_uniforms(model, seeds: tf.Tensor) -> tf.Tensor:
    """The uniform noise that sampling each image uses.

    Args:
      model: an `AutoregressiveModel`.
      seeds: int32 `[B, 2]`, one per image.

    Returns:
      float32 `[B, H, W, likelihood.num_uniforms]` in [1e-5, 1 - 1e-5]; row i depends only on
      `seeds[i]`.
    """
    height, width, _ = model.image_shape
    shape = [height, width, model.likelihood.num_uniforms]
    return uniform_per_example(seeds, shape, UNIFORM_MARGIN, 1.0 - UNIFORM_MARGIN)


def xla_pays(model, num_batches: int) -> bool:
    """Whether compiling the cached sampler with XLA saves time for this many batches: measured on a
    CPU; always False on a GPU."""
    if tf.config.list_logical_devices("GPU"):
        return False
    height, width, _ = model.image_shape
    narrow = getattr(model, "nr_filters", 0) <= XLA_PAYS_TO_FILTERS
    return narrow and num_batches * height * width >= XLA_PAYS_FROM_PIXELS


def _make_run(model, method, num_batches, jit_compile, quantize, temperature):
    """The function that samples a batch, see `naive_run`.

    Raises:
      ValueError: if the model does not have this sampler.
    """
    if method is None:
        method = "cached" if cached_sampler(model) is not None else "naive"
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}, or None")
    if method == "naive":
        return naive_run(model, quantize, temperature)
    if cached_sampler(model) is None:
        raise ValueError(f"method='cached': {type(model).__name__} has no cached sampler")
    if jit_compile is None:
        jit_compile = xla_pays(model, num_batches)
    return cached_run(model, quantize, temperature, bool(jit_compile))


def _check_temperature(temperature, model):
    if isinstance(temperature, (str, bool)) or not 0 < temperature < float("inf"):
        raise ValueError(f"temperature={temperature!r}: must be a number above 0")
    if temperature != 1.0 and not isinstance(model.likelihood, Likelihood):
        raise ValueError(f"temperature={temperature}: must be 1 for a model without a likelihood")
    return tf.constant(temperature, tf.float32)


def _check_mask(mask, num, image_shape):
    """`mask` as bool `[N, H, W]`."""
    mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    if mask.shape.rank == 2:
        mask = tf.repeat(mask[None], num, axis=0)
    if mask.shape != [num, *image_shape[:2]]:
        raise ValueError(f"mask of shape {mask.shape}: must be {[num, *image_shape[:2]]}")
    return mask


def _check_noise(noise, num, model):
    """`noise` as `[N, H, W, num_uniforms]`."""
    if isinstance(noise, (tuple, list)):
        noise = tf.concat(noise, axis=-1)
    expected = [num, *model.image_shape[:2], model.likelihood.num_uniforms]
    if list(noise.shape) != expected:
        raise ValueError(f"noise of shape {list(noise.shape)}: must be {expected}")
    return noise


def complete_unchecked(
    model,
    images: tf.Tensor,
    mask: tf.Tensor,
    uniforms: tf.Tensor,
    labels: tf.Tensor | None = None,
) -> tf.Tensor:
    """`complete` without its checks, for use inside a graph and with unknown batch size (export).

    Args:
      model: an `AutoregressiveModel`; its fastest sampler is used, without XLA.
      images: `[B, H, W, C]`, floats in [-1, 1].
      mask: bool `[B, H, W]`, True where the pixel is given.
      uniforms: noise of `pixel_uniforms`.
      labels: classes `[B]` of a conditional model.

    Returns:
      float32 `[B, H, W, C]` in [-1, 1].
    """
    run = _make_run(model, None, 1, False, quantize=True, temperature=tf.constant(1.0))
    return run(images, mask, model.conditioning(labels), uniforms, None)


def complete(
    model,
    images: tf.Tensor,
    mask: tf.Tensor,
    seed: Seed | None = None,
    labels: tf.Tensor | None = None,
    temperature: float = 1.0,
    quantize: bool = True,
    method: str | None = None,
    jit_compile: bool | None = None,
    batch_size: int = 64,
    noise: tf.Tensor | tuple[tf.Tensor, tf.Tensor] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tf.Tensor:
    """Completes images: keeps the given pixels, samples all others in raster order.

    Each pixel is sampled conditionally on all pixels before it, not on given pixels after it.

    Args:
      model: an `AutoregressiveModel`.
      images: `[N, H, W, C]`, floats in [-1, 1]; used only where `mask` is 1.
      mask: `[N, H, W]` or `[H, W]`, 1 (or True) where the pixel is given.
      seed: int or int32 `[2]`: image i depends only on (seed, i), not on N or `batch_size`. Or
        int32 `[N, 2]`: image i depends only on `seed[i]`. Give either this or `noise`.
      labels: classes `[N]`, vectors or maps of a conditional model, see `ImageModel.conditioning`.
      temperature: > 0; 1 is the model.
      quantize: round to the nearest level (False: the official unrounded values).
      method: "cached", "naive", or None for the fastest that the model supports.
      jit_compile: compile the cached sampler with XLA, which takes about half a minute and makes
        narrow networks several times faster. None chooses by the amount of work; the naive sampler
        is never compiled with XLA.
      batch_size: images sampled at a time; bounds the memory.
      noise: instead of `seed`: uniforms `[N, H, W, likelihood.num_uniforms]`, or the pair
        `(u_mix, u_logistic)` of the official sampler.
      progress: called with the number of rows just finished in a batch.

    Returns:
      float32 `[N, H, W, C]` in [-1, 1] (float64 from a float64 model); given pixels are exactly as
      in `images`.

    Raises:
      ValueError: for arguments that do not fit the model or each other.
    """
    temperature = _check_temperature(temperature, model)
    require_bool("quantize", quantize)
    batch_size = require_integer("batch_size", batch_size, 1)
    images = model.check_images(images)
    images = tf.cast(images, tf.float64 if model.compute_dtype == "float64" else tf.float32)
    num = images.shape[0]
    mask = _check_mask(mask, num, model.image_shape)
    given = tf.boolean_mask(images, mask)
    require_in_range(given, "images (given pixels)")
    model.warn_if_unnormalized(given[None, None])
    h = model.conditioning(labels, num)
    if (seed is None) == (noise is None):
        raise ValueError("seed, noise: give exactly one of them")
    if noise is None:
        seeds, uniforms_of = example_seeds(seed, num), partial(pixel_uniforms, model)
    else:
        seeds, uniforms_of = _check_noise(noise, num, model), tf.identity

    batch_size = min(batch_size, num)
    num_batches = -(-num // batch_size)
    run = _make_run(model, method, num_batches, jit_compile, quantize, temperature)
    finished = []
    for begin in range(0, num, batch_size):
        # The last batch is padded: another size would be compiled again.
        indices = tf.minimum(tf.range(begin, begin + batch_size), num - 1)

        def part(tensor, indices=indices):
            return None if tensor is None else tf.gather(tensor, indices)

        batch = run(part(images), part(mask), part(h), uniforms_of(part(seeds)), progress)
        finished.append(batch[: num - begin])
    return tf.concat(finished, axis=0)


def sample(
    model,
    num_samples: int,
    seed: Seed | None = None,
    labels: tf.Tensor | None = None,
    **options,
) -> tf.Tensor:
    """Samples new images.

    Args:
      model: an `AutoregressiveModel`.
      num_samples: N >= 1.
      seed: int or int32 `[2]`, image i depends only on (seed, i); or int32 `[N, 2]`, one per image.
      labels: classes `[N]`, vectors or maps of a conditional model.
      **options: `temperature`, `quantize`, `method`, `jit_compile`, `batch_size`, `noise`,
        `progress` of `complete`.

    Returns:
      float32 `[N, H, W, C]` in [-1, 1].

    Raises:
      ValueError: for arguments that do not fit the model or each other.
    """
    num_samples = require_integer("num_samples", num_samples, 1)
    images = tf.zeros([num_samples, *model.image_shape])
    mask = tf.zeros([num_samples, *model.image_shape[:2]], tf.bool)
    return complete(model, images, mask, seed, labels, **options)
