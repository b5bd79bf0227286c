"""Sizes of images as flags give them: "32x48" is 32 high and 48 wide."""

import re

MAX_SIZE = 8192
TEXT = f"HxW such as 32x48, each from 1 to {MAX_SIZE}"


def parse_size(text: str) -> tuple[int, int] | None:
    """`(height, width)` of "HxW"; None of "".

    Raises:
      ValueError: if it is none.
    """
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    size = tuple(int(number) for number in match.groups()) if match else (0, 0)
    if not all(1 <= number <= MAX_SIZE for number in size):
        raise ValueError(f"{text!r}: must be {TEXT}")
    return size


def is_size(text: str) -> bool:
    """Whether `parse_size` takes it."""
    try:
        parse_size(text)
    except ValueError:
        return False
    return True
