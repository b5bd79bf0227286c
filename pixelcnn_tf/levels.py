"""Integer intensity levels <-> the values in [-1, 1] that the network sees.

An image has `num_levels` grey levels per channel, 0 ... num_levels - 1 (256 for 8-bit
images). Level k stands at `(k - half) / half` with `half = (num_levels - 1) / 2`; for 256
levels this is the official `(x - 127.5) / 127.5` (`train.py`). Both directions are exact:
`input_to_levels(levels_to_input(k)) == k` for every level.
"""

import numbers

import numpy as np
import tensorflow as tf

# What arithmetic leaves at most of float levels that are whole: in float32, in half precision.
NOT_QUITE_WHOLE, NOT_QUITE_WHOLE_IN_HALF = 0.01, 0.25
MAX_NUM_LEVELS = 65536  # 16-bit images; beyond it float32 cannot tell neighbours apart


def check_num_levels(num_levels: int) -> int:
    """Returns `num_levels` as an int. Raises ValueError unless it lies in 2 ... 65536."""
    integer = isinstance(num_levels, numbers.Integral) and not isinstance(num_levels, bool)
    if not integer or not 2 <= num_levels <= MAX_NUM_LEVELS:
        raise ValueError(f"num_levels={num_levels!r}: must be an integer, 2 to {MAX_NUM_LEVELS}")
    return int(num_levels)


def quantize_levels(
    levels: np.ndarray | tf.Tensor, num_levels: int, to_levels: int
) -> np.ndarray | tf.Tensor:
    """Maps levels 0 ... num_levels - 1 to 0 ... to_levels - 1: `floor(x * n / m)`, exactly.

    Args:
      levels: integers, an array or tensor of any shape and integer dtype, which is kept.
      num_levels: m.
      to_levels: n, at most m.
    """
    if isinstance(levels, tf.Tensor):
        wide = tf.cast(levels, tf.int64) * to_levels // num_levels
        return tf.cast(wide, levels.dtype)
    return (levels.astype(np.int64) * to_levels // num_levels).astype(levels.dtype)


def half_bin(num_levels: int) -> float:
    """Half the width of one level's bin in [-1, 1]: `1 / (num_levels - 1)` (1/255 for 8 bit)."""
    return 1.0 / (num_levels - 1)


def level_values(num_levels: int = 256) -> np.ndarray:
    """The value of every level, float32 `[num_levels]`, ascending from -1 to 1.

    Computed in float64 and rounded once, as the official `train.py` does in numpy.
    """
    half = (num_levels - 1) / 2
    return ((np.arange(num_levels) - half) / half).astype(np.float32)


def require_values(images: np.ndarray | tf.Tensor, name: str = "images") -> tf.Tensor:
    """Returns `images` as a tensor of the dtype that they have.

    Raises:
      ValueError: naming the argument, unless they are floats.
    """
    images = tf.convert_to_tensor(images)
    if not images.dtype.is_floating:
        raise ValueError(
            f"{name} of dtype {images.dtype.name}: must be floats in [-1, 1]; "
            "pixelcnn_tf.levels.levels_to_input converts integer levels"
        )
    return images


def levels_to_input(levels: np.ndarray | tf.Tensor, num_levels: int = 256) -> tf.Tensor:
    """Maps levels 0 ... num_levels - 1 (any shape) to float32 values in [-1, 1].

    Floats are rounded, as levels that were computed are not quite whole.

    Raises:
      ValueError: when executing eagerly, as `require_levels`. In a graph nothing is looked at.
    """
    levels = tf.convert_to_tensor(levels)
    if tf.executing_eagerly():
        require_levels(levels, num_levels)
    levels = tf.round(levels) if levels.dtype.is_floating else levels
    return tf.gather(tf.constant(level_values(num_levels)), tf.cast(levels, tf.int32))


def _are_levels(levels, num_levels):
    """For each of `levels` whether it is one (NaN is none)."""
    whole = tf.round(levels) if levels.dtype.is_floating else levels
    right = tf.cast(whole, tf.float64) < num_levels
    right &= tf.cast(whole, tf.float64) >= 0
    if levels.dtype.is_floating:
        half = levels.dtype.size < tf.float32.size
        right &= tf.abs(levels - whole) <= (NOT_QUITE_WHOLE_IN_HALF if half else NOT_QUITE_WHOLE)
    return right


def require_levels(levels: np.ndarray | tf.Tensor, num_levels: int) -> tf.Tensor:
    """Returns `levels` as a tensor.

    Raises:
      ValueError: when executing eagerly, for what is no level 0 ... num_levels - 1.
      InvalidArgumentError: inside a `tf.function`, when it runs, likewise.
    """
    levels = tf.convert_to_tensor(levels)
    right, allowed = _are_levels(levels, num_levels), f"whole numbers, 0 to {num_levels - 1}"
    if not tf.executing_eagerly():
        message = f"levels: must be {allowed}"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(right), [message])]):
            return tf.identity(levels)
    if not tf.reduce_all(right):
        wrong = levels.numpy()[~right.numpy()].ravel()[0]
        raise ValueError(f"levels: {float(wrong):g} is none; levels must be {allowed}")
    return levels


def refuse_other_range(values: tf.Tensor, what: str) -> None:
    """Raises ValueError, which begins with `what`, unless all values lie in [-1, 1]."""
    wrong = tf.boolean_mask(values, ~(tf.abs(values) <= 1.0))  # NaN too
    if len(wrong):
        raise ValueError(
            f"{what} is {wrong[0].numpy()}, must lie in [-1, 1]; "
            "pixelcnn_tf.levels.levels_to_input converts integer levels"
        )


def input_to_levels(x: tf.Tensor, num_levels: int = 256) -> tf.Tensor:
    """Maps values in [-1, 1] (any float shape) to the nearest level, int32, clipped to range.

    Raises:
      ValueError: for integers.
    """
    x = require_values(x, "x")
    if x.dtype.size < tf.float32.size:
        x = tf.cast(x, tf.float32)  # bfloat16 cannot tell 512 levels apart
    half = (num_levels - 1) / 2
    return tf.cast(tf.clip_by_value(tf.round(x * half + half), 0, num_levels - 1), tf.int32)


def round_to_level(x: tf.Tensor, num_levels: int = 256) -> tf.Tensor:
    """Rounds values in [-1, 1] to the nearest level's value, keeping shape and dtype."""
    return tf.cast(levels_to_input(input_to_levels(x, num_levels), num_levels), x.dtype)
