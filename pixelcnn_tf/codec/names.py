"""Compact encoding of image names; consecutive numbers take almost no bytes."""

import re
import zlib
from collections.abc import Iterable

LAST_NUMBER = re.compile(r"(\d+)(\D*)$", re.ASCII)


def after(name: str) -> str:
    """The name with its last number plus one: `a/007.png` -> `a/008.png`; "" without a number."""
    found = LAST_NUMBER.search(name)
    if found is None:
        return ""
    digits, rest = found.groups()
    return f"{name[: found.start()]}{int(digits) + 1:0{len(digits)}d}{rest}"


def pack(names: Iterable[str]) -> bytes:
    """Encodes names, which must not contain NUL."""
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
