"""Stateless random numbers with one key for each example.

A draw depends on its example's key alone, never on the batch around it: the same image gets
the same dropout mask on one device or eight, and sample i is the same in a batch of 8 or 64.
Seeds are int32 tensors of shape `[2]` as for `tf.random.stateless_uniform`.
"""

import numbers

import tensorflow as tf


def as_seed(seed):
    """Returns `seed` (an int, or two ints) as an int32 tensor `[2]`.

    Raises:
      ValueError: if `seed` is neither one integer nor a pair of them.
    """
    if isinstance(seed, numbers.Integral):
        # A Python int of up to 64 bits fills both halves, so that no two of them collide.
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed={seed}: must lie in 0 ... 2**64 - 1")
        low, high = seed & 0xFFFFFFFF, seed >> 32
        seed = [part - 2**32 if part >= 2**31 else part for part in (low, high)]
    seed = tf.cast(tf.convert_to_tensor(seed), tf.int32)
    if seed.shape.rank == 0:
        seed = tf.stack([seed, 0])
    if seed.shape.rank != 1 or seed.shape[0] != 2:
        raise ValueError(f"seed of shape {seed.shape}: must be one integer or a pair, shape [2]")
    return seed


def example_seeds(seed, num):
    """One seed per example, `[num, 2]` int32; the first n do not depend on `num`."""
    return tf.random.split(as_seed(seed), num=num)


def fold_in(seeds, number):
    """Mixes `number` (an integer, scalar) into every seed of `[B, 2]`; returns `[B, 2]`."""
    return tf.map_fn(lambda seed: tf.random.fold_in(seed, number), seeds)


def uniform_per_example(seeds, shape, minval=0.0, maxval=1.0, number=None):
    """Uniform float32 noise `[B, *shape]`; row i depends on `seeds[i]` (`[B, 2]` int32) only.

    With `number`, it is that of `fold_in(seeds, number)`, in one loop instead of two.
    """

    def draw(seed):
        seed = seed if number is None else tf.random.fold_in(seed, number)
        return tf.random.stateless_uniform(shape, seed, minval, maxval)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)
