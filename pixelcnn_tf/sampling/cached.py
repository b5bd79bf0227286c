"""Runs a model's cached sampler, in which each value of the network is computed once.

A cached sampler is what `AutoregressiveModel.make_cached_sampler` gives: an object with

- `period`: rows are filled in groups of so many;
- `fold()`: the weights as it uses them, a nest of tensors, computed once;
- `conditions(h)`: what the conditioning vector adds in the layers, a nest of tensors;
- `start(batch)`: the state before the first row;
- `fill(weights, conditions, state, images, mask, uniforms, rows, options)`: fills in some rows,
  see `pixelcnn_pp/cached_sampler.py`.
"""

from collections.abc import Callable

import tensorflow as tf

from pixelcnn_tf.sampling.compiled import cached_sampler, compiled

# Folding is a tenth as long as a `tf.function`, whose tracing is as long as 20 folds without: the
# first calls, which users wait for, do without.
FOLDS_BEFORE_TRACING = 2


class Fold:
    """`fold` of a cached sampler, which becomes a `tf.function` at the third call."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.traced = tf.function(sampler.fold, autograph=False)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        often = self.calls > FOLDS_BEFORE_TRACING
        return self.traced() if often else self.sampler.fold()


def cached_run(model, quantize: bool, temperature: tf.Tensor, jit_compile: bool) -> Callable:
    """The function that fills in a batch of images, as `naive_run`; weights are folded once.

    Args:
      model: an `AutoregressiveModel` with a cached sampler.
      quantize, temperature, jit_compile: see `pixelcnn_tf.sampling.complete`.
    """
    sampler = cached_sampler(model)

    def make_fill():
        def fill(weights, conditions, state, images, mask, uniforms, rows, temperature):
            options = (quantize, temperature, False)
            images, _, state = sampler.fill(
                weights, conditions, state, images, mask, uniforms, rows, options
            )
            return images, state

        # Autograph has nothing to convert, and takes its time to find out.
        return tf.function(fill, autograph=False, jit_compile=jit_compile)

    fill = compiled(model, ("cached", quantize, jit_compile), make_fill)
    weights = compiled(model, "fold", lambda: Fold(sampler))()

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
