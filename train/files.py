"""Files that are there whole or not at all, and stay there through a power failure."""

import contextlib
import json
import os
from collections.abc import Iterator


def flush_to_disk(path: str) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
    """Gives the name of a temporary file, which takes the place of `path` once it is written.

    If the block raises, nothing is left of it and `path` stays as it was.

    Raises:
      OSError: if it cannot be written.
    """
    temporary = path + ".tmp"
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    flush_to_disk(os.path.dirname(path) or ".")


def write_text(path: str, text: str) -> None:
    """Writes a text file, whole or not at all. Raises OSError if it cannot."""
    with whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: str, value: object) -> None:
    """Writes `value` as JSON, whole or not at all. Raises OSError if it cannot."""
    write_text(path, json.dumps(value, indent=2) + "\n")
