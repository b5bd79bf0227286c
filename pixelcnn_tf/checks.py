"""Checks of arguments. An error names the argument, its value and what is allowed."""

import numbers
from collections.abc import Sequence


def require_integer(name: str, value: object, least: int, what: str = "") -> int:
    """Returns `value` as an int.

    Args:
      name: name of the argument.
      value: its value; NumPy's integers are accepted, floats and booleans are not.
      least: the smallest allowed value.
      what: a further restriction, for the message.

    Raises:
      ValueError: unless it is an integer of at least `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name}={value!r}: must be an integer of at least {least}{what}")
    return int(value)


def require_share(name: str, value: object) -> float:
    """Returns `value`. Raises ValueError unless it is a number, at least 0 and below 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 <= value < 1.0:
        raise ValueError(f"{name}={value!r}: must be a number, at least 0 and below 1")
    return value


def require_bool(name: str, value: object) -> bool:
    """Returns `value`. Raises ValueError unless it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: must be True or False")
    return value


def require_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns `image_shape` as `(H, W, C)`. Raises ValueError unless it is three sizes >= 1."""
    try:
        shape = tuple(require_integer("size", size, 1) for size in image_shape)
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 3:
        raise ValueError(f"image_shape={image_shape!r}: must be (H, W, C), integers of at least 1")
    return shape
