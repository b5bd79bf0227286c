"""Runs a model's cached sampler, which computes each value of the network once.

`AutoregressiveModel.make_cached_sampler` returns a cached sampler, an object with

- `period`: rows are sampled in groups of this many;
- `normalized_weights()`: precomputed weights, a nest of tensors;
- `conditions(h)`: the condition's projections in the layers, a nest of tensors;
- `start(batch)`: the state before the first row;
- `fill_rows(weights, conditions, state, images, mask, uniforms, rows, options)`: samples some rows,
  see `pixelcnn_pp/cached_sampler.py`.
"""

from collections.abc import Callable

import tensorflow as tf

from pixelcnn_tf.sampling.compiled import cached_sampler, compiled

# A `tf.function` precomputes the weights in a tenth of the time, but tracing it takes as long as 20
# calls without: the first calls are not traced.
CALLS_BEFORE_TRACING = 2


class NormalizedWeights:
    """`normalized_weights` of a cached sampler, a `tf.function` from the third call on."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.traced = tf.function(sampler.normalized_weights, autograph=False)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        often = self.calls > CALLS_BEFORE_TRACING
        return self.traced() if often else self.sampler.normalized_weights()


def cached_run(model, quantize: bool, temperature: tf.Tensor, jit_compile: bool) -> Callable:
    """The function that samples a batch of images, see `naive_run`; weights are precomputed once.

    Args:
      model: an `AutoregressiveModel` with a cached sampler.
      quantize, temperature, jit_compile: see `pixelcnn_tf.sampling.complete`.
    """
    sampler = cached_sampler(model)

    def make_fill():
        def fill(weights, conditions, state, images, mask, uniforms, rows, temperature):
            options = (quantize, temperature, False)
            images, _, state = sampler.fill_rows(
                weights, conditions, state, images, mask, uniforms, rows, options
            )
            return images, state

        # Autograph has nothing to convert, and takes time to find that out.
        return tf.function(fill, autograph=False, jit_compile=jit_compile)

    fill = compiled(model, ("cached", quantize, jit_compile), make_fill)
    weights = compiled(model, "weights", lambda: NormalizedWeights(sampler))()

    def run(images, mask, h, uniforms, progress):
        conditions = sampler.conditions(h)
        state = sampler.start(tf.shape(images)[0])
        # [B, H, W, C] -> [H, W, B, C]: a row, and a pixel in it, is a contiguous slice.
        images, mask, uniforms = (
            tf.transpose(x, [1, 2, 0, 3])
            for x in (images, tf.cast(mask[..., None], images.dtype), uniforms)
        )
        height = images.shape[0]
        rows_per_call = height if progress is None else sampler.period
        for begin in range(0, height, rows_per_call):
            end = min(begin + rows_per_call, height)
            rows = tf.constant([begin, end])
            images, state = fill(
                weights, conditions, state, images, mask, uniforms, rows, temperature
            )
            if progress is not None:
                progress(end - begin)
        return tf.transpose(images, [2, 0, 1, 3])

    return run
