"""Many image files: found in a folder, read in several threads, made alike."""

import concurrent.futures
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from pixelcnn_tf.levels import dtype_of_levels
from train.data.decode import EXTENSIONS, read_image, resize
from train.errors import UserError

IN_MEMORY_BYTES = 4 * 2**30  # what is more is read from the files when it is needed
MANY = 10_000  # reading more files is announced, since it takes long
CHUNK = 256  # files that are read at a time
THREADS = min(16, os.cpu_count() or 1)


class Image(NamedTuple):
    """An image that was read.

    Attributes:
      path: its file.
      levels: uint8 or uint16 `[H, W, C]`, or None if there was no room for it.
      shape: `(H, W, C)`.
      num_levels: that of its kind of file.
      value_range: lowest and highest level, of `num_levels`.
      frames: number of pictures in the file.
    """

    path: str
    levels: np.ndarray | None
    shape: tuple
    num_levels: int
    value_range: tuple[int, int]
    frames: int


class Images(NamedTuple):
    """The readable images of some files, all with as many channels and levels.

    Attributes:
      paths: list of the files, in order.
      levels: list of uint8 or uint16 `[H, W, C]`, or None if they are too large for memory.
      shapes: list of `(H, W, C)`.
      num_levels: of all.
      value_ranges: list of lowest and highest level.
      read: function `path -> levels`.
      warnings: sentences on what was left out or made alike.
    """

    paths: list
    levels: list | None
    shapes: list
    num_levels: int
    value_ranges: list
    read: Callable[[str], np.ndarray]
    warnings: tuple


def list_images(root: str) -> tuple[list[str], list[str]]:
    """The image files under a folder, relative to it and sorted, and the other files there.

    Links to folders are followed; hidden files are passed over.

    Raises:
      UserError: if a link leads back to a folder around it, or a folder cannot be read.
    """
    images, others = [], []

    def walk(folder, around):
        real = os.path.realpath(folder)
        if real in around:
            raise UserError(f"{folder}: a link that leads back to a folder around it")
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                walk(entry.path, around | {real})
            else:
                found = images if entry.name.lower().endswith(EXTENSIONS) else others
                found.append(os.path.relpath(entry.path, root))

    walk(root, frozenset())
    return sorted(images), sorted(others)


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it fails later
        return False


def read_images(
    paths: list[str],
    what: str,
    alpha: str = "",
    size: tuple[int, int] | None = None,
    skip_broken: bool = False,
) -> Images:
    """Reads image files and makes channels and levels alike: of grey and colour all become RGB,
    of several depths all get the levels of the deepest, where that is exact.

    Args:
      paths: of the files, at least one.
      what: where they come from, such as "--dataset=folder:x", which errors begin with.
      alpha: see `read_image`.
      size: `(H, W)` to resize them to, or None.
      skip_broken: leave out files that cannot be read, instead of raising.

    Raises:
      UserError: if files cannot be read, naming the first and how many they are.
    """
    read_one = partial(_read, alpha=alpha, size=size)
    found, errors, in_memory, num_bytes = [], [], True, 0
    if len(paths) > MANY:
        print(f"reading {len(paths):,} files ...", flush=True)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for begin in range(0, len(paths), CHUNK):
            for result in threads.map(partial(_try, read_one), paths[begin : begin + CHUNK]):
                if isinstance(result, UserError):
                    errors.append(result)
                    continue
                num_bytes += result.levels.nbytes
                if num_bytes > IN_MEMORY_BYTES and in_memory:
                    in_memory = False
                    found = [image._replace(levels=None) for image in found]
                found.append(result if in_memory else result._replace(levels=None))
    if errors and not (skip_broken and found):
        hint = "; --skip_broken leaves such files out" if found else ""
        raise UserError(
            f"{what}: {len(errors):,} of {len(paths):,} files cannot be taken, {errors[0]}{hint}"
        )
    channels = max(image.shape[-1] for image in found)
    deepest = max(found, key=lambda image: image.num_levels)
    num_levels = deepest.num_levels
    for image in found:
        if (num_levels - 1) % (image.num_levels - 1):
            raise UserError(
                f"{what}: {image.path} has {image.num_levels} levels, {deepest.path} has "
                f"{num_levels}, and the ones cannot be made the others exactly; convert one kind"
            )

    def factor(image):
        return (num_levels - 1) // (image.num_levels - 1)

    def alike(image):
        levels = image.levels
        if image.num_levels != num_levels:
            dtype = dtype_of_levels(num_levels)
            levels = levels.astype(dtype) * dtype.type(factor(image))
        return np.broadcast_to(levels, [*levels.shape[:2], channels])

    return Images(
        [image.path for image in found],
        [alike(image) for image in found] if in_memory else None,
        [(*image.shape[:2], channels) for image in found],
        num_levels,
        [tuple(level * factor(image) for level in image.value_range) for image in found],
        lambda path: alike(read_one(path)),
        tuple(_warnings(what, found, errors, channels, deepest)),
    )


def _try(function, path):
    try:
        return function(path)
    except UserError as error:
        return error


def _read(path, alpha, size):
    levels, num_levels, frames = read_image(path, alpha)
    if size is not None:
        levels = resize(levels, size, num_levels)
    value_range = int(levels.min()), int(levels.max())
    return Image(path, levels, levels.shape, num_levels, value_range, frames)


def _warnings(what, images, errors, channels, deepest):
    """Sentences on what was left out or made alike."""
    if errors:
        yield f"{what}: {len(errors):,} broken file(s) are left out, such as {errors[0]}"
    grey = [image for image in images if image.shape[-1] < channels]
    if grey:
        yield (
            f"{what}: {len(grey):,} grey image(s), such as {grey[0].path}, are taken as RGB, since "
            f"{len(images) - len(grey):,} have colours"
        )
    shallow = [image for image in images if image.num_levels < deepest.num_levels]
    if shallow:
        yield (
            f"{what}: {len(shallow):,} image(s) of fewer levels, such as {shallow[0].path} with "
            f"{shallow[0].num_levels}, are spread over the {deepest.num_levels} of {deepest.path}"
        )
    moving = [image for image in images if image.frames > 1]
    if moving:
        yield (
            f"{what}: of {len(moving):,} file(s) with several pictures, such as {moving[0].path}, "
            "the first is taken"
        )
