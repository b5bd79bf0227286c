"""Images to be scored, from wherever they are: a file, a folder, an `.npz`, a data set's split."""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from train.data.load import load
from train.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
# Arrays of an .npz that are taken, by rank -> those of its labels.
ARRAYS = {"images": ("labels", "y"), "x_test": ("y_test",), "x_train": ("y_train",)}
SPLITS = ("test", "train")  # that may be named behind a colon; the first is the default
CHUNK = 256  # images of a split that are read at a time


class Image(NamedTuple):
    """An image as it was found.

    Attributes:
      name: the path below the folder, or the split or array and the number in it.
      levels: integers `[H, W, C]`, C 1 or 3.
      num_levels: how many levels there are; None: the source does not say.
      label: its class, or None.
    """

    name: str
    levels: np.ndarray
    num_levels: int | None
    label: int | None = None


class Images(NamedTuple):
    """Where images come from.

    Attributes:
      flag: flag and value that name them, for messages.
      about: what was taken, in words.
      count: how many there are.
      read: function that gives them one by one, in order; raises UserError for one that cannot
        be read.
      folder: the one that the files lie in, or None.
    """

    flag: str
    about: str
    count: int
    read: Callable[[], Iterator[Image]]
    folder: str | None = None


def open_images(flag: str, what: str, data_dir: str = "", limit: int = 0) -> Images:
    """Finds images; those of a folder are read later, one by one.

    Args:
      flag: name of the flag that names them, without the dashes.
      what: a folder (with all below it), an image file, an `.npz` with `images`, `x_test` or
        `x_train`, or a `--dataset`, with `:test` (default) or `:train` behind it.
      data_dir: where tfds data sets are prepared.
      limit: take so many, the first; 0: all.

    Raises:
      UserError: if there are none, or what was found cannot be read.
    """
    flag = f"--{flag}={what}"
    path = os.path.expanduser(what)
    if path.endswith(".npz"):
        images = _of_npz(flag, path)
    elif os.path.isdir(path):
        images = _of_files(flag, path, _names_below(path))
    elif os.path.isfile(path):
        images = _of_files(flag, os.path.dirname(path) or ".", [os.path.basename(path)])
    elif path.lower().endswith(ENDINGS) or path.startswith(("/", "./", "../")):
        raise UserError(f"{flag}: no such file or folder")
    else:
        images = _of_split(flag, what, data_dir)
    if not images.count:
        raise UserError(f"{flag}: no images here ({', '.join(ENDINGS)})")
    if 0 < limit < images.count:
        about = f"the first {limit:,} of {images.about}"
        read = images.read
        images = images._replace(about=about, count=limit, read=lambda: islice(read(), limit))
    return images


def _names_below(folder):
    """The images in a folder and those below it, as paths from there, in order."""
    names = []
    for root, _, files in os.walk(folder):
        paths = [os.path.relpath(os.path.join(root, file), folder) for file in files]
        names += [path for path in paths if path.lower().endswith(ENDINGS)]
    return sorted(name for name in names if not os.path.basename(name).startswith("."))


def _of_files(flag, folder, names):
    def read():
        for name in names:
            yield Image(name, *_decode(os.path.join(folder, name)))

    return Images(flag, flag.partition("=")[2], len(names), read, folder)


def _decode(path):
    """`(levels [H, W, C], num_levels)` of a file, upright as its EXIF data says; the first image
    of several."""
    try:
        with Pillow.open(path) as image:
            image = ImageOps.exif_transpose(image)
            mode = image.mode
            if "A" in mode or "transparency" in image.info:
                raise ValueError("it has an alpha channel, which the model knows nothing of")
            if mode.startswith("I;16") or mode == "I":
                levels, num_levels = np.asarray(image).astype(np.int32), 65536
            elif mode in ("1", "L", "P", "RGB"):
                target = {"1": "L", "P": "RGB"}.get(mode, mode)
                levels, num_levels = np.asarray(image.convert(target)), 256
            else:
                raise ValueError(f"its colours are {mode}, must be grey or RGB")
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises anything from OSError to its own types
        raise UserError(f"{path}: not a readable image ({error})") from None
    return np.atleast_3d(levels), num_levels


def _of_npz(flag, path):
    if not os.path.exists(path):
        raise UserError(f"{flag}: no such file")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = list(file.files)
            key = next((key for key in ARRAYS if key in found), None)
            if key is None:
                raise UserError(f"{flag}: has none of {', '.join(ARRAYS)}, only {sorted(found)}")
            images = file[key]
            label_key = next((name for name in ARRAYS[key] if name in found), None)
            labels = file[label_key] if label_key else None
            num_levels = file["num_levels"] if "num_levels" in found else None
    except UserError:
        raise
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{flag}: not a readable .npz file ({error})") from None
    channels = 1 if images.ndim == 3 else images.shape[-1] if images.ndim == 4 else 0
    if images.dtype.kind not in "iu" or channels not in (1, 3):
        raise UserError(
            f"{flag}: {key} is {images.dtype} {images.shape}, must be integers [N, H, W] or "
            "[N, H, W, C] with C 1 or 3"
        )
    images = images.reshape(*images.shape[:3], channels)
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iu"):
        raise UserError(
            f"{flag}: {label_key} is {labels.dtype} {labels.shape}, must be integers "
            f"[{len(images)}]"
        )
    if num_levels is not None:
        if num_levels.ndim or num_levels.dtype.kind not in "iu":
            raise UserError(f"{flag}: num_levels is {num_levels}, must be one integer")
        num_levels = int(num_levels)
    elif images.dtype == np.uint8:
        num_levels = 256

    def read():
        for number, levels in enumerate(images):
            label = None if labels is None else int(labels[number])
            yield Image(f"{key}/{number}", levels, num_levels, label)

    return Images(flag, f"{key} of {path}", len(images) if images.size else 0, read)


def _of_split(flag, what, data_dir):
    name, _, split = what.rpartition(":")
    if split not in SPLITS or not name:
        name, split = what, SPLITS[0]
    try:
        dataset = load(name, data_dir)
    except UserError as error:
        text = str(error).replace(f"--dataset={name}: ", "")
        raise UserError(f"{flag}: no file or folder, and as a data set: {text}") from None
    examples = getattr(dataset, split)

    def read():
        number = 0
        for batch in examples.in_order(min(CHUNK, examples.num_examples)):
            batch = {key: value.numpy() for key, value in batch.items()}
            for place in np.flatnonzero(batch["weights"]):
                label = int(batch["labels"][place]) if "labels" in batch else None
                yield Image(f"{split}/{number}", batch["images"][place], dataset.num_levels, label)
                number += 1

    return Images(flag, f"{name}:{split}", examples.num_examples, read)
