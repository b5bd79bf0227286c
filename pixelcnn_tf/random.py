"""Stateless random numbers with one key for each example.

A draw depends on its example's key alone, never on the batch around it: the same image gets
the same dropout mask on one device or eight, and sample i is the same in a batch of 8 or 64.
Seeds are int32 tensors of shape `[2]` as for `tf.random.stateless_uniform`.
"""

import numbers
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# A seed: an int, two int32 numbers, or (where an argument says so) two for each example.
Seed = int | Sequence[int] | np.ndarray | tf.Tensor


def as_seed(seed: Seed) -> tf.Tensor:
    """Returns `seed` (an int, or two ints) as an int32 tensor `[2]`.

    Raises:
      ValueError: if `seed` is neither one integer in 0 ... 2**64 - 1 nor a pair of them.
    """
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        # A Python int of up to 64 bits fills both halves, so that no two of them collide.
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed={seed}: must lie in 0 ... 2**64 - 1")
        low, high = seed & 0xFFFFFFFF, seed >> 32
        seed = [part - 2**32 if part >= 2**31 else part for part in (low, high)]
    seed = _as_integers(seed)
    if seed.shape.rank == 0:
        seed = tf.stack([seed, 0])
    if seed.shape.rank != 1 or seed.shape[0] != 2:
        raise ValueError(f"seed of shape {seed.shape}: must be one integer or a pair, shape [2]")
    return seed


def _as_integers(seed):
    try:
        tensor = None if isinstance(seed, bool) else tf.convert_to_tensor(seed)
    except (TypeError, ValueError, OverflowError):
        tensor = None
    if tensor is None or not tensor.dtype.is_integer:
        raise ValueError(f"seed={seed!r}: must be one integer or a pair of them")
    return tf.cast(tensor, tf.int32)


def example_seeds(seed: Seed, num: int | tf.Tensor) -> tf.Tensor:
    """One seed for each example, int32 `[num, 2]`.

    Args:
      seed: int, or `[2]`: example i's is a function of (seed, i), whatever `num`; or already one
        for each example, `[num, 2]`, used as they are.
      num: number of examples.

    Raises:
      ValueError: if `seed` is none of these.
    """
    if not isinstance(seed, numbers.Integral):
        seeds = _as_integers(seed)
        if seeds.shape.rank == 2:
            if seeds.shape[1] != 2 or (isinstance(num, int) and seeds.shape[0] not in (num, None)):
                raise ValueError(
                    f"seed of shape {seeds.shape}: one for each of {num} is [{num}, 2]"
                )
            return seeds
    return tf.random.split(as_seed(seed), num=num)


def fold_in(seeds: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Mixes `number` (an integer, scalar) into every seed of `[B, 2]`; returns `[B, 2]`."""
    return tf.map_fn(lambda seed: tf.random.fold_in(seed, number), seeds)


def uniform_per_example(
    seeds: tf.Tensor,
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    number: int | None = None,
) -> tf.Tensor:
    """Uniform float32 noise `[B, *shape]`; row i depends on `seeds[i]` (`[B, 2]` int32) only.

    With `number`, it is that of `fold_in(seeds, number)`, in one loop instead of two.
    """

    def draw(seed):
        seed = seed if number is None else tf.random.fold_in(seed, number)
        return tf.random.stateless_uniform(shape, seed, minval, maxval)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)
