"""Sampling from a model, and completing images, pixel by pixel in raster order.

The plain sampler runs the whole network once for every pixel, as the official
`sample_from_model` (`train.py`) does.
"""

import weakref

import tensorflow as tf

from pixelcnn_tf.discretized_mix_logistic import UNIFORM_MARGIN
from pixelcnn_tf.random import example_seeds, uniform_per_example

METHODS = ("naive",)
_COMPILED = weakref.WeakKeyDictionary()  # model -> {quantize: its compiled row function}


def pixel_uniforms(model, seeds):
    """The uniform noise that each image's sample consumes.

    Args:
      model: an `AutoregressiveModel`.
      seeds: int32 `[B, 2]`, one an image.

    Returns:
      float32 `[B, H, W, likelihood.num_uniforms]` in [1e-5, 1 - 1e-5]; image i's depends on
      `seeds[i]` alone.
    """
    height, width, _ = model.image_shape
    shape = [height, width, model.likelihood.num_uniforms]
    return uniform_per_example(seeds, shape, UNIFORM_MARGIN, 1.0 - UNIFORM_MARGIN)


def _naive_row_function(model, quantize):
    """Compiles: fill one row of a batch of images, one full pass of the network a pixel."""

    @tf.function(reduce_retracing=True)
    def fill_row(images, mask, labels, uniforms, temperature, row):
        _, height, width, _ = images.shape
        here_row = tf.reshape(tf.range(height) == row, [1, height, 1, 1])
        for column in tf.range(width):
            here = here_row & tf.reshape(tf.range(width) == column, [1, 1, width, 1])
            proposal = model.sample_pixels(images, labels, uniforms, quantize, temperature)
            proposal = tf.cast(proposal, images.dtype)
            images = tf.where(here & ~mask, proposal, images)
        return images

    return fill_row


def _check_method(method):
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")


def _check_temperature(temperature, model):
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: must be above 0")
    if temperature != 1.0 and not model.likelihood.has_temperature:
        raise ValueError(f"temperature={temperature}: this model has none, only 1 is allowed")
    return tf.constant(temperature, tf.float32)


def _run(model, images, mask, labels, uniforms, quantize, temperature, progress):
    """Fills in the pixels where `mask` `[B, H, W]` is False; see `complete`."""
    compiled = _COMPILED.setdefault(model, {})
    if quantize not in compiled:
        compiled[quantize] = _naive_row_function(weakref.proxy(model), quantize)
    fill_row = compiled[quantize]
    mask = mask[..., None]
    images = tf.where(mask, images, tf.zeros_like(images))
    for row in range(model.image_shape[0]):
        images = fill_row(images, mask, labels, uniforms, temperature, tf.constant(row))
        if progress is not None:
            progress(1)
    return images


def complete(
    model,
    images,
    mask,
    seed,
    labels=None,
    temperature=1.0,
    quantize=True,
    method="naive",
    batch_size=64,
    noise=None,
    progress=None,
):
    """Completes images: keeps the given pixels, samples all others in raster order.

    Each sampled pixel is drawn given all pixels before it (not given those after it).

    Args:
      model: an `AutoregressiveModel`.
      images: `[N, H, W, C]`, floats in [-1, 1]; used only where `mask` is 1.
      mask: `[N, H, W]` or `[H, W]`, 1 (or True) where the pixel is given.
      seed: int or int32 `[2]`; image i depends on (seed, i) alone, not on N or `batch_size`.
      labels: classes `[N]` of a conditional model.
      temperature: > 0; 1 is the model.
      quantize: round to the nearest level (False: the official unrounded values).
      method: "naive".
      batch_size: images sampled at a time; bounds the memory.
      noise: instead of `seed`: uniforms `[N, H, W, likelihood.num_uniforms]`, or the pair
        `(u_mix, u_logistic)` of the official sampler.
      progress: called with 1 for each finished row of each batch.

    Returns:
      float32 `[N, H, W, C]` in [-1, 1].

    Raises:
      ValueError: for arguments that do not fit the model or each other.
    """
    _check_method(method)
    temperature = _check_temperature(temperature, model)
    images = tf.cast(model.check_images(images), tf.float32)
    num = images.shape[0]
    mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    if mask.shape.rank == 2:
        mask = tf.repeat(mask[None], num, axis=0)
    if mask.shape != images.shape[:3]:
        raise ValueError(f"mask of shape {mask.shape}: must be {list(images.shape[:3])}")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be at least 1")
    h = model.conditioning(labels)
    if h is not None and h.shape[0] != num:
        raise ValueError(f"labels: {h.shape[0]} given for {num} images")
    if noise is None:
        seeds = example_seeds(seed, num)
    elif isinstance(noise, (tuple, list)):
        noise = tf.concat(noise, axis=-1)

    finished = []
    for begin in range(0, num, batch_size):
        part = slice(begin, begin + batch_size)
        uniforms = pixel_uniforms(model, seeds[part]) if noise is None else noise[part]
        finished.append(
            _run(
                model,
                images[part],
                mask[part],
                None if h is None else h[part],
                uniforms,
                quantize,
                temperature,
                progress,
            )
        )
    return tf.concat(finished, axis=0)


def sample(model, num_samples, seed, labels=None, **options):
    """Samples new images.

    Args:
      model: an `AutoregressiveModel`.
      num_samples: N >= 1.
      seed: int or int32 `[2]`; image i depends on (seed, i) alone.
      labels: classes `[N]` of a conditional model.
      **options: `temperature`, `quantize`, `method`, `batch_size`, `noise`, `progress` of
        `complete`.

    Returns:
      float32 `[N, H, W, C]` in [-1, 1].

    Raises:
      ValueError: for arguments that do not fit the model or each other.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples}: must be at least 1")
    images = tf.zeros([num_samples, *model.image_shape])
    mask = tf.zeros([num_samples, *model.image_shape[:2]], tf.bool)
    return complete(model, images, mask, seed, labels, **options)
