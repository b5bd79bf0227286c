"""Sampling from a model, and completing images, pixel by pixel in raster order.

Two samplers give the same images for the same seed, up to float rounding:

- "cached" computes every value of the network once (`pixelcnn_tf/cached_sampler.py`,
  `gated_sampler.py`);
- "naive" runs the whole network once for every pixel, as the official `sample_from_model`
  (`train.py`) does, or once for every channel of it; it is the reference.
"""

import tensorflow as tf

from pixelcnn_tf.likelihoods.discretized_mix_logistic import UNIFORM_MARGIN
from pixelcnn_tf.random import example_seeds, uniform_per_example

METHODS = ("cached", "naive")
# Compiling the cached sampler with XLA takes about half a minute, and saves a CPU about a
# millisecond a pixel and batch, and only in networks so narrow that the time goes into the
# number of operations (benchmarks/sampling.py). The default counts on that.
XLA_PAYS_FROM_PIXELS = 40_000
XLA_PAYS_TO_FILTERS = 64


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
    """Compiles: fill one row of a batch of images, `model.passes_per_pixel` passes of the whole
    network a pixel."""
    passes = model.passes_per_pixel

    def fill_row(images, mask, labels, uniforms, temperature, row):
        _, height, width, channels = images.shape
        here_row = tf.reshape(tf.range(height) == row, [1, height, 1, 1])

        def fill(number, images):
            here = here_row & tf.reshape(tf.range(width) == number // passes, [1, 1, width, 1])
            if passes > 1:
                here = here & (tf.range(channels) == number % passes)
            proposal = model.sample_pixels(images, labels, uniforms, quantize, temperature)
            proposal = tf.cast(proposal, images.dtype)
            return number + 1, tf.where(here & ~mask, proposal, images)

        start = (tf.constant(0), images)
        return tf.while_loop(lambda number, _: number < width * passes, fill, start)[1]

    # Autograph would keep the model alive, and there is nothing for it to convert.
    return tf.function(fill_row, autograph=False)


class _NaiveRun:
    """Fills in a batch of images with the naive sampler."""

    def __init__(self, model, quantize, temperature, jit_compile):
        self.fill_row = _compiled(
            model, ("naive", quantize), lambda: _naive_row_function(model, quantize)
        )
        self.temperature = temperature

    def __call__(self, images, mask, h, uniforms, progress):
        mask = mask[..., None]
        images = tf.where(mask, images, tf.zeros_like(images))
        for row in range(images.shape[1]):
            images = self.fill_row(images, mask, h, uniforms, self.temperature, tf.constant(row))
            if progress is not None:
                progress(1)
        return images


class _CachedRun:
    """Fills in a batch of images with the cached sampler; its weights are folded once."""

    def __init__(self, model, quantize, temperature, jit_compile):
        self.sampler = sampler = _cached_sampler(model)

        def make_fill():
            def fill(weights, conditions, state, images, mask, uniforms, first_row, temperature):
                options = (quantize, temperature, False)
                rows, _, state = sampler.fill(
                    weights, conditions, state, images, mask, uniforms, first_row, options
                )
                return rows, state

            return tf.function(fill, jit_compile=jit_compile)

        self.fill = _compiled(model, ("cached", quantize, jit_compile), make_fill)
        self.temperature = temperature
        self.weights = _compiled(model, "fold", lambda: tf.function(sampler.fold))()

    def __call__(self, images, mask, h, uniforms, progress):
        conditions = self.sampler.conditions(h)
        state = self.sampler.start(tf.shape(images)[0])
        # [B, H, W, C] -> [H, W, B, C]: a row, and a pixel in it, is a contiguous slice.
        images, mask, uniforms = (
            tf.transpose(x, [1, 2, 0, 3])
            for x in (images, tf.cast(mask[..., None], images.dtype), uniforms)
        )
        height = images.shape[0]
        rows_per_call = height if progress is None else self.sampler.period
        finished = []
        for row in range(0, height, rows_per_call):
            part = slice(row, row + rows_per_call)
            rows, state = self.fill(
                self.weights,
                conditions,
                state,
                images[part],
                mask[part],
                uniforms[part],
                tf.constant(row),
                self.temperature,
            )
            finished.append(rows)
            if progress is not None:
                progress(rows_per_call)
        return tf.transpose(tf.concat(finished, axis=0), [2, 0, 1, 3])


def _compiled(model, key, make):
    """`make()`, made once for each model and key."""
    functions = model.compiled.functions
    if key not in functions:
        functions[key] = make()
    return functions[key]


def _cached_sampler(model):
    """The model's cached sampler, or None."""
    return _compiled(model, "sampler", model.make_cached_sampler)


def _choose_run(model, method, num_batches, jit_compile):
    """The sampler's class, and whether to compile with XLA."""
    if method is None:
        method = "cached" if _cached_sampler(model) is not None else "naive"
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}, or None")
    if method == "naive":
        return _NaiveRun, False
    if _cached_sampler(model) is None:
        raise ValueError(f"method='cached': {type(model).__name__} has no cached sampler")
    if jit_compile is None:
        height, width, _ = model.image_shape
        narrow = getattr(model, "nr_filters", 0) <= XLA_PAYS_TO_FILTERS
        jit_compile = narrow and num_batches * height * width >= XLA_PAYS_FROM_PIXELS
    return _CachedRun, bool(jit_compile)


def _check_temperature(temperature, model):
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: must be above 0")
    if temperature != 1.0 and not model.likelihood.has_temperature:
        raise ValueError(f"temperature={temperature}: this model has none, only 1 is allowed")
    return tf.constant(temperature, tf.float32)


def fill(model, images, mask, uniforms, labels=None):
    """`complete` without its checks, for use inside a graph and for any batch size (export).

    Args:
      model: an `AutoregressiveModel`; its fastest sampler is taken, without XLA.
      images: `[B, H, W, C]`, floats in [-1, 1].
      mask: bool `[B, H, W]`, True where the pixel is given.
      uniforms: of `pixel_uniforms`.
      labels: classes `[B]` of a conditional model.

    Returns:
      float32 `[B, H, W, C]` in [-1, 1].
    """
    run_class, _ = _choose_run(model, None, 1, jit_compile=False)
    run = run_class(model, True, tf.constant(1.0), False)
    return run(images, mask, model.conditioning(labels), uniforms, None)


def complete(
    model,
    images,
    mask,
    seed,
    labels=None,
    temperature=1.0,
    quantize=True,
    method=None,
    jit_compile=None,
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
      method: "cached", "naive", or None for the faster that the model has.
      jit_compile: compile the cached sampler with XLA: it takes about half a minute and then
        runs several times faster for narrow networks. None chooses by the work to do; the
        naive sampler is never compiled with XLA.
      batch_size: images sampled at a time; bounds the memory.
      noise: instead of `seed`: uniforms `[N, H, W, likelihood.num_uniforms]`, or the pair
        `(u_mix, u_logistic)` of the official sampler.
      progress: called with the number of rows just finished, of each batch.

    Returns:
      float32 `[N, H, W, C]` in [-1, 1] (float64 from a float64 model); given pixels are as in
      `images`, to the bit.

    Raises:
      ValueError: for arguments that do not fit the model or each other.
    """
    temperature = _check_temperature(temperature, model)
    images = model.check_images(images)
    images = tf.cast(images, tf.float64 if model.compute_dtype == "float64" else tf.float32)
    num = images.shape[0]
    if num < 1:
        raise ValueError("images: none given, at least 1 needed")
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
    else:
        if isinstance(noise, (tuple, list)):
            noise = tf.concat(noise, axis=-1)
        expected = [num, *model.image_shape[:2], model.likelihood.num_uniforms]
        if list(noise.shape) != expected:
            raise ValueError(f"noise of shape {list(noise.shape)}: must be {expected}")

    batch_size = min(batch_size, num)
    num_batches = -(-num // batch_size)
    run_class, jit_compile = _choose_run(model, method, num_batches, jit_compile)
    run = run_class(model, quantize, temperature, jit_compile)
    finished = []
    for begin in range(0, num, batch_size):
        # The last batch is filled up, since every other size would be compiled anew.
        indices = tf.minimum(tf.range(begin, begin + batch_size), num - 1)

        def part(tensor, indices=indices):
            return None if tensor is None else tf.gather(tensor, indices)

        uniforms = pixel_uniforms(model, part(seeds)) if noise is None else part(noise)
        batch = run(part(images), part(mask), part(h), uniforms, progress)
        finished.append(batch[: num - begin])
    return tf.concat(finished, axis=0)


def sample(model, num_samples, seed, labels=None, **options):
    """Samples new images.

    Args:
      model: an `AutoregressiveModel`.
      num_samples: N >= 1.
      seed: int or int32 `[2]`; image i depends on (seed, i) alone.
      labels: classes `[N]` of a conditional model.
      **options: `temperature`, `quantize`, `method`, `jit_compile`, `batch_size`, `noise`,
        `progress` of `complete`.

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
