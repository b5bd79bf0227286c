"""A model one pixel at a time, for callers that choose the pixels' values outside TensorFlow: the
decoder of `pixelcnn_tf.codec`, which runs several batches in parallel.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.sampling.compiled import cached_sampler, compiled

METHODS = ("cached", "naive")


def pixel_steps(model, method: str | None = None, jit_compile: bool = False) -> Callable:
    """Computes a likelihood's parameters pixel by pixel.

    Args:
      model: an `AutoregressiveModel`.
      method: "cached" (each value of the network is computed once), "naive" (the whole network for
        each pixel), or None for the fastest that the model supports.
      jit_compile: compile with XLA.

    Returns:
      A function `begin(h, batch)`, which returns for a batch of B images with the conditions `h` a
      function `parameters(images, row, column, channel)`. Call it in raster order, for each channel
      below `model.passes_per_pixel`, with float32 `[B, H, W, C]` (NumPy) in which all earlier
      sub-pixels are set; it returns the parameters of this pixel, `[B, P]`. The method "cached"
      keeps the model's weights of its first call.

    Raises:
      ValueError: if the model does not support the method.
    """
    sampler = cached_sampler(model)
    has_steps = hasattr(sampler, "steps")
    if method is None:
        method = "cached" if has_steps else "naive"
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}, or None")
    if method == "cached":
        if not has_steps:
            raise ValueError(f"method='cached': {type(model).__name__} has no cached sampler")
        return compiled(model, ("steps", jit_compile), lambda: sampler.steps(jit_compile))

    def make():
        def parameters(images, h, row, column):
            return model(images, h)[:, row, column]

        return tf.function(parameters, autograph=False, jit_compile=jit_compile)

    function = compiled(model, ("naive steps", jit_compile), make)

    def begin(h, batch):
        def parameters(images: np.ndarray, row: int, column: int, channel: int) -> tf.Tensor:
            return function(tf.constant(images), h, tf.constant(row), tf.constant(column))

        return parameters

    return begin
