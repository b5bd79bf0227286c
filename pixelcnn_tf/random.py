"""Stateless random numbers, a function of seeds.

A draw depends on its example's seed, or on the batch's seed and its place in the batch, and not on
the other examples: an image gets the same dropout mask on one device or eight, and sample i is the
same in a batch of 8 or 64. A seed is an int32 tensor of shape `[2]`, as for
`tf.random.stateless_uniform`.
"""

import math
import numbers
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

PHILOX_BYTES = 16  # random bytes per value of Philox's counter

# A seed: an int, two int32 numbers, or (for arguments documented so) two per example.
Seed = int | Sequence[int] | np.ndarray | tf.Tensor


def as_seed(seed: Seed) -> tf.Tensor:
    """Returns `seed` (an int, or two ints) as an int32 tensor `[2]`.

    Raises:
      ValueError: unless `seed` is one integer in 0 ... 2**64 - 1 or a pair of 32-bit integers.
    """
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        seed = int(seed)  # NumPy's integers may have fewer bits
        # A Python int of up to 64 bits fills both halves, so different ints do not collide.
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed={seed}: must be in 0 ... 2**64 - 1")
        low, high = seed & 0xFFFFFFFF, seed >> 32
        seed = [part - 2**32 if part >= 2**31 else part for part in (low, high)]
    seed = _as_integers(seed)
    if seed.shape.rank == 0:
        wide = seed.dtype.size == tf.int64.size  # split into halves, like a Python int
        seed = tf.bitcast(seed, tf.int32) if wide else tf.stack([tf.cast(seed, tf.int32), 0])
    seed = _as_32_bits(seed)
    if seed.shape.rank != 1 or seed.shape[0] != 2:
        raise ValueError(f"seed of shape {seed.shape}: must be one integer or a pair, shape [2]")
    return seed


def _as_integers(seed):
    try:
        tensor = None if isinstance(seed, bool) else tf.convert_to_tensor(seed)
    except (TypeError, ValueError, OverflowError):
        tensor = None
    if tensor is None or not tensor.dtype.is_integer:
        raise ValueError(f"seed={seed!r}: must be one integer or a pair of integers")
    return tensor


def _as_32_bits(seeds):
    """Integers as int32. Raises ValueError for known values of more than 32 bits."""
    found = tf.get_static_value(seeds)
    if found is not None and found.size and not -(2**31) <= found.min() <= found.max() < 2**32:
        raise ValueError(f"seed={found.tolist()}: must be two integers of 32 bits or one of 64")
    return tf.cast(seeds, tf.int32)


def example_seeds(seed: Seed, num: int | tf.Tensor) -> tf.Tensor:
    """One seed for each example, int32 `[num, 2]`.

    Args:
      seed: int or `[2]`: example i's seed is a function of (seed, i), independent of `num`; or
        `[num, 2]`, returned as they are.
      num: number of examples.

    Raises:
      ValueError: for any other seed.
    """
    if not isinstance(seed, numbers.Integral):
        seeds = _as_integers(seed)
        if seeds.shape.rank == 2:
            if seeds.shape[1] != 2 or (isinstance(num, int) and seeds.shape[0] not in (num, None)):
                raise ValueError(f"seed of shape {seeds.shape}: must be [2] or [{num}, 2]")
            return _as_32_bits(seeds)
    return tf.random.split(as_seed(seed), num=num)


def uniform_per_example(
    seeds: tf.Tensor, shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0
) -> tf.Tensor:
    """Uniform float32 noise `[B, *shape]`; row i depends only on `seeds[i]` (int32 `[B, 2]`)."""
    return _uniform_per_example(seeds, tuple(shape), minval, maxval)


@tf.function(autograph=False, reduce_retracing=True)  # outside a graph the loop is 10 times slower
def _uniform_per_example(seeds, shape, minval, maxval):
    def draw(seed):
        return tf.random.stateless_uniform(shape, seed, minval, maxval)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)


def batch_places(seed: Seed, num: int | tf.Tensor) -> tf.Tensor:
    """The places of a batch's examples: int32 `[num, 3]`, rows of (seed, seed, place).

    The draw of `RandomBits` for a place is a function of (seed, place). So a replica that holds
    consecutive rows draws the same noise for its examples as for the whole batch.

    Args:
      seed: int or `[2]`, the batch's seed.
      num: number of examples.
    """
    seed = tf.repeat(as_seed(seed)[None], num, axis=0)
    return tf.concat([seed, tf.range(num)[:, None]], axis=1)


def noise_seeds(seed: Seed, num: int | tf.Tensor) -> tf.Tensor:
    """The seeds of `RandomBits` for a batch of `num` examples.

    Args:
      seed: int or `[2]`, the batch's seed, see `batch_places`; or seeds of `RandomBits`.
      num: number of examples.

    Raises:
      ValueError: for any other seed.
    """
    if isinstance(seed, numbers.Integral) or _as_integers(seed).shape.rank != 2:
        return batch_places(seed, num)
    seeds = _as_32_bits(_as_integers(seed))
    return seeds if seeds.shape[1] == 3 else example_seeds(seeds, num)


class RandomBits:
    """Random integers for a batch; every draw has a number.

    Philox maps a key and a counter to 128 random bits. The key is the seed; the counter's upper
    half is the number of the draw, its lower half is the place of the example in the batch.

    Args:
      seeds: int32 `[B, 3]`, consecutive rows of `batch_places`: all examples are drawn in one
        operation. Or `[B, 2]`, one seed per example: row i depends only on `seeds[i]`, as in a
        batch of one; one operation per example.
    """

    def __init__(self, seeds: tf.Tensor):
        self.seeds = seeds
        if seeds.shape[1] == 3:
            first = tf.pad(seeds[:1], [[0, 1], [0, 0]])[0]  # zeros if there is no example
            self.first, self.num = tf.cast(first[2], tf.int64), tf.shape(seeds)[0]
            self.key = self._key(first[:2])

    def __call__(self, shape: Sequence[int], number: int, dtype: tf.DType = tf.uint32) -> tf.Tensor:
        """Random integers over the full range of `dtype`, `[B, *shape]`.

        Args:
          shape: static shape of one example.
          number: number of the draw, 0 ... 2**63 - 1; draws with different numbers differ.
          dtype: `tf.uint32`, `tf.uint16` or `tf.uint8`.
        """
        if self.seeds.shape[1] == 3:
            return self._draw(self.key, self.first, self.num, shape, number, dtype)

        def of_one(seed):
            first = tf.zeros([], tf.int64)
            return self._draw(self._key(seed), first, 1, shape, number, dtype)[0]

        return tf.map_fn(of_one, self.seeds, fn_output_signature=dtype)

    @staticmethod
    def _key(seed):
        return tf.bitcast(seed, tf.uint64)[None]

    @staticmethod
    def _draw(key, first, num, shape, number, dtype):
        size = math.prod(shape)
        counters = -(-size * dtype.size // PHILOX_BYTES)  # per example
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=tf.stack([num, counters * PHILOX_BYTES // tf.uint32.size]),
            key=key,
            counter=tf.bitcast(tf.stack([first * counters, number]), tf.uint64),
            dtype=tf.uint32,
            alg=tf.random.Algorithm.PHILOX.value,
        )
        if dtype != tf.uint32:
            bits = tf.reshape(tf.bitcast(bits, dtype), [-1, counters * PHILOX_BYTES // dtype.size])
        return tf.reshape(bits if bits.shape[1] == size else bits[:, :size], [-1, *shape])


def random_uniforms(seeds: tf.Tensor, shape: Sequence[int], number: int) -> tf.Tensor:
    """Uniform float32 numbers in [0, 1), `[B, *shape]`; arguments as of `RandomBits`."""
    bits = tf.bitcast(RandomBits(seeds)(shape, number), tf.int32)
    bits = tf.bitwise.bitwise_and(bits, 2**24 - 1)  # float32 has 24 bits
    return tf.cast(bits, tf.float32) * 2.0**-24
