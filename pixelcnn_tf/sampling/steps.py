"""A model a pixel at a time, for whoever chooses the pixels' values outside TensorFlow: the
decoder of `pixelcnn_tf.codec`, in which several batches go through the pixels side by side.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.sampling.compiled import cached_sampler, compiled

METHODS = ("cached", "naive")


def pixel_steps(model, method: str | None = None, jit_compile: bool = False) -> Callable:
    """How a model goes through the pixels.

    Args:
      model: an `AutoregressiveModel`.
      method: "cached" (each value of the network computed once), "naive" (the whole network for
        each pixel), or None for the faster that the model has.
      jit_compile: by XLA.

    Returns:
      A function `begin(h, batch)`, which gives for a batch of B images with the conditions `h` a
      function `parameters(images, row, column, channel)`. That is to be called in raster order,
      for each channel below `model.passes_per_pixel`, with float32 `[B, H, W, C]` (NumPy) in which
      all before is set, and gives the likelihood's parameters there, `[B, P]`. Of the method
      "cached" they are those of the weights that the model had at the first call for it.

    Raises:
      ValueError: if the model has no such method.
    """
    sampler = cached_sampler(model)
    has_steps = hasattr(sampler, "steps")
    if method is None:
        method = "cached" if has_steps else "naive"
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}, or None")
    if method == "cached":
        if not has_steps:
            raise ValueError(f"method='cached': {type(model).__name__} has no such sampler")
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
