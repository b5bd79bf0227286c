"""The names of images as few bytes: numbered ones cost next to nothing."""

import re
import zlib
from collections.abc import Iterable

LAST_NUMBER = re.compile(r"(\d+)(\D*)$", re.ASCII)


def after(name: str) -> str:
    """The name whose last number is one more: `a/007.png` -> `a/008.png`; "" if it has none."""
    found = LAST_NUMBER.search(name)
    if found is None:
        return ""
    digits, rest = found.groups()
    return f"{name[: found.start()]}{int(digits) + 1:0{len(digits)}d}{rest}"


def pack(names: Iterable[str]) -> bytes:
    """Names without NUL as bytes."""
    parts, before = [], ""
    for name in names:
        parts.append("" if name == after(before) else name)
        before = name
    return zlib.compress("\0".join(parts).encode("utf-8", "surrogateescape"), 9)


def unpack(data: bytes) -> list[str]:
    """The inverse of `pack`."""
    names = []
    for part in zlib.decompress(data).decode("utf-8", "surrogateescape").split("\0"):
        names.append(part or after(names[-1] if names else ""))
    return names
