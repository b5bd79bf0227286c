"""Files that are written atomically, and survive a power failure."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence

from train.errors import writing


def flush_to_disk(path: str) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_writable_folder(folder: str) -> None:
    """Creates a folder if need be. Raises OSError if it cannot be written to."""
    os.makedirs(folder or ".", exist_ok=True)
    with tempfile.TemporaryFile(dir=folder or "."):
        pass


def check_writable_file(argument: str, path: str) -> None:
    """Creates the folder of a file that is to be written.

    Raises:
      UserError: if the folder cannot be written to, or the file is a folder.
    """
    with writing(f"--{argument}={path}"):
        if os.path.isdir(path):
            raise IsADirectoryError(None, "it is a folder")
        make_writable_folder(os.path.dirname(path))


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
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


def move_into_place(prefix: str, final_prefix: str, endings: Sequence[str]) -> None:
    """Renames the files `prefix` + ending, flushed to the disk, in the order of `endings`.

    For a thing that several files make up and that is not there without the last of them.

    Raises:
      OSError: if they cannot be written.
    """
    for ending in endings:
        flush_to_disk(prefix + ending)
    for ending in endings:
        os.replace(prefix + ending, final_prefix + ending)
    flush_to_disk(os.path.dirname(final_prefix) or ".")


def write_text(path: str, text: str) -> None:
    """Writes a text file atomically. Raises OSError if it cannot be written."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: str, value: object) -> None:
    """Writes `value` as JSON atomically. Raises OSError if it cannot be written."""
    write_text(path, json.dumps(value, indent=2) + "\n")
