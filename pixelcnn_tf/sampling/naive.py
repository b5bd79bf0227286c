"""The naive sampler: runs the whole network once per pixel, as the official `sample_from_model`
(`train.py`), or once per channel. It is the reference for the cached samplers.
"""

from collections.abc import Callable

import tensorflow as tf

from pixelcnn_tf.sampling.compiled import compiled


def naive_run(model, quantize: bool, temperature: tf.Tensor) -> Callable:
    """The function that samples a batch of images.

    Args:
      model: an `AutoregressiveModel`.
      quantize, temperature: see `pixelcnn_tf.sampling.complete`.

    Returns:
      `run(images [B, H, W, C], mask [B, H, W], h, uniforms [B, H, W, num_uniforms], progress)`,
      which returns `[B, H, W, C]`.
    """
    fill_row = compiled(model, ("naive", quantize), lambda: _fill_row_function(model, quantize))

    def run(images, mask, h, uniforms, progress):
        mask = mask[..., None]
        images = tf.where(mask, images, tf.zeros_like(images))
        for row in range(images.shape[1]):
            images = fill_row(images, mask, h, uniforms, temperature, tf.constant(row))
            if progress is not None:
                progress(1)
        return images

    return run


def _fill_row_function(model, quantize):
    """A compiled function that samples one row of a batch of images, with `model.passes_per_pixel`
    passes of the whole network per pixel."""
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

    # Autograph would keep a reference to the model, and has nothing to convert.
    return tf.function(fill_row, autograph=False)
