"""Integer intensity levels <-> the network's input values in [-1, 1].

An image has `num_levels` intensity levels per channel, 0 ... num_levels - 1 (256 for 8-bit
images). Level k has the value `(k - half) / half` with `half = (num_levels - 1) / 2`; for 256
levels this is the official `(x - 127.5) / 127.5` (`train.py`). Both directions are exact:
`input_to_levels(levels_to_input(k)) == k` for every level.
"""

import numbers

import numpy as np
import tensorflow as tf

# Largest rounding error of float levels that arithmetic should have left integral: in float32, in
# half precision.
ROUNDING, ROUNDING_IN_HALF = 0.01, 0.25
MAX_NUM_LEVELS = 65536  # 16-bit images; float32 cannot distinguish neighbouring levels beyond it


def check_num_levels(num_levels: int) -> int:
    """Returns `num_levels` as an int. Raises ValueError unless it is in 2 ... 65536."""
    integer = isinstance(num_levels, numbers.Integral) and not isinstance(num_levels, bool)
    if not integer or not 2 <= num_levels <= MAX_NUM_LEVELS:
        raise ValueError(f"num_levels={num_levels!r}: must be an integer, 2 to {MAX_NUM_LEVELS}")
    return int(num_levels)


def dtype_of_levels(num_levels: int) -> np.dtype:
    """The dtype that stores levels: uint8 up to 256 levels, else uint16."""
    return np.dtype(np.uint8 if num_levels <= 256 else np.uint16)


def quantize_levels(
    levels: np.ndarray | tf.Tensor, num_levels: int, to_levels: int
) -> np.ndarray | tf.Tensor:
    """Maps levels 0 ... num_levels - 1 to 0 ... to_levels - 1: `floor(x * n / m)`, exactly.

    Args:
      levels: integers, an array or tensor of any shape; the result has the same dtype.
      num_levels: m.
      to_levels: n, at most m.
    """
    if isinstance(levels, tf.Tensor):
        wide = tf.cast(levels, tf.int64) * to_levels // num_levels
        return tf.cast(wide, levels.dtype)
    return (levels.astype(np.int64) * to_levels // num_levels).astype(levels.dtype)


def half_bin(num_levels: int) -> float:
    """Half the width of a level's bin in [-1, 1]: `1 / (num_levels - 1)` (1/255 for 8 bits)."""
    return 1.0 / (num_levels - 1)


def level_values(num_levels: int = 256) -> np.ndarray:
    """The values of all levels, float32 `[num_levels]`, ascending from -1 to 1.

    Computed in float64 and rounded once, as in the official `train.py`.
    """
    half = (num_levels - 1) / 2
    return ((np.arange(num_levels) - half) / half).astype(np.float32)


def require_values(images: np.ndarray | tf.Tensor, name: str = "images") -> tf.Tensor:
    """Returns `images` as a tensor of their own dtype.

    Raises:
      ValueError: unless they are floats; it begins with `name`.
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

    Floats are rounded: computed levels may have rounding errors.

    Raises:
      ValueError: when executing eagerly, see `require_levels`. Not checked in a graph.
    """
    levels = tf.convert_to_tensor(levels)
    if tf.executing_eagerly():
        require_levels(levels, num_levels)
    levels = tf.round(levels) if levels.dtype.is_floating else levels
    return tf.gather(tf.constant(level_values(num_levels)), tf.cast(levels, tf.int32))


def _are_levels(levels, num_levels):
    """For each element, whether it is a valid level (NaN is not)."""
    whole = tf.round(levels) if levels.dtype.is_floating else levels
    right = tf.cast(whole, tf.float64) < num_levels
    right &= tf.cast(whole, tf.float64) >= 0
    if levels.dtype.is_floating:
        half = levels.dtype.size < tf.float32.size
        right &= tf.abs(levels - whole) <= (ROUNDING_IN_HALF if half else ROUNDING)
    return right


def require_levels(levels: np.ndarray | tf.Tensor, num_levels: int) -> tf.Tensor:
    """Returns `levels` as a tensor.

    Raises:
      ValueError: when executing eagerly, unless all are integers in [0, num_levels - 1].
      InvalidArgumentError: for the same reason, when a `tf.function` runs.
    """
    levels = tf.convert_to_tensor(levels)
    right, message = _are_levels(levels, num_levels), f"levels: must be in 0 ... {num_levels - 1}"
    if not tf.executing_eagerly():
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(right), [message])]):
            return tf.identity(levels)
    if not tf.reduce_all(right):
        wrong = levels.numpy()[~right.numpy()].ravel()[0]
        raise ValueError(f"{message}, integers, got {float(wrong):g}")
    return levels


def require_in_range(values: tf.Tensor, name: str) -> None:
    """Raises ValueError, which begins with `name`, unless all values are in [-1, 1]."""
    wrong = tf.boolean_mask(values, ~(tf.abs(values) <= 1.0))  # NaN too
    if len(wrong):
        raise ValueError(
            f"{name}: must be in [-1, 1], got {wrong[0].numpy()}; "
            "pixelcnn_tf.levels.levels_to_input converts integer levels"
        )


def input_to_levels(x: tf.Tensor, num_levels: int = 256) -> tf.Tensor:
    """Maps values in [-1, 1] (any float shape) to the nearest level, int32, clipped to range.

    Raises:
      ValueError: for integers.
    """
    x = require_values(x, "x")
    if x.dtype.size < tf.float32.size:
        x = tf.cast(x, tf.float32)  # bfloat16 cannot distinguish 512 levels
    half = (num_levels - 1) / 2
    return tf.cast(tf.clip_by_value(tf.round(x * half + half), 0, num_levels - 1), tf.int32)


def round_to_level(x: tf.Tensor, num_levels: int = 256) -> tf.Tensor:
    """Rounds values in [-1, 1] to the nearest level's value, keeping shape and dtype."""
    return tf.cast(levels_to_input(input_to_levels(x, num_levels), num_levels), x.dtype)
