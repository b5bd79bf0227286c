"""Images to be scored, from wherever they are: a file, a folder, an `.npz`, a data set's split."""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from train.data.codes import read_fingerprint
from train.data.dataset import Dataset
from train.data.decode import EXTENSIONS, read_image
from train.data.folder_reader import list_images
from train.data.load import load
from train.data.options import DataOptions
from train.errors import ArgumentError, UserError

# Arrays of an .npz that are taken, by rank -> those of its labels.
ARRAYS = {"images": ("labels", "y"), "x_test": ("y_test",), "x_train": ("y_train",)}
SPLIT = re.compile(r"(.+):((?:test|train|validation)[^:]*(?:\[.*\])?)")  # "mnist:train[:10%]"
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
      fingerprint: of the VQ-VAE whose codes they are, or "".
      from_arrays: they are of an `.npz`, which may hold codes without saying so.
    """

    flag: str
    about: str
    count: int
    read: Callable[[], Iterator[Image]]
    folder: str | None = None
    fingerprint: str = ""
    from_arrays: bool = False


def open_images(
    flag: str, what: str, data_dir: str = "", limit: int = 0, alpha: str = ""
) -> Images:
    """Finds images; those of a folder are read later, one by one.

    Args:
      flag: name of the flag that names them, without the dashes.
      what: a folder (with all below it), an image file, an `.npz` with `images`, `x_test` or
        `x_train`, or a `--dataset`, with a split such as `:validation` or `:train[:10%]` behind it
        (default: its test split).
      data_dir: where tfds data sets are prepared.
      limit: take so many, the first; 0: all.
      alpha: what to do with the transparency of files, see `read_image`.

    Raises:
      UserError: if there are none, or what was found cannot be read.
    """
    flag = f"--{flag}={what}"
    path = os.path.expanduser(what)
    if path.endswith(".npz"):
        images = _of_npz(flag, path)
    elif os.path.isdir(path):
        images = _of_files(flag, path, list_images(path)[0], alpha)
    elif os.path.isfile(path):
        images = _of_files(flag, os.path.dirname(path) or ".", [os.path.basename(path)], alpha)
    elif not _is_split_of_npz(path) and (
        path.lower().endswith(EXTENSIONS) or path.startswith(("/", "./", "../"))
    ):
        raise UserError(f"{flag}: no such file or folder")
    else:
        images = _of_split(flag, path, data_dir, alpha)
    if not images.count:
        raise UserError(f"{flag}: no images here ({', '.join(EXTENSIONS)})")
    if 0 < limit < images.count:
        about = f"the first {limit:,} of {images.about}"
        read = images.read
        images = images._replace(about=about, count=limit, read=lambda: islice(read(), limit))
    return images


def _is_split_of_npz(path):
    match = SPLIT.fullmatch(path)
    return match is not None and match[1].endswith(".npz")


def _of_files(flag, folder, names, alpha):
    def read():
        for name in names:
            picture = read_image(os.path.join(folder, name), alpha)
            yield Image(name, picture.levels, picture.num_levels)

    return Images(flag, flag.partition("=")[2], len(names), read, folder)


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
            fingerprint = str(file["fingerprint"]) if "fingerprint" in found else ""
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

    count = len(images) if images.size else 0
    about = f"{key} of {path}"
    return Images(flag, about, count, read, fingerprint=fingerprint, from_arrays=True)


def _of_split(flag, what, data_dir, alpha):
    match = SPLIT.fullmatch(what)
    name, split = match.groups() if match else (what, "")
    alpha = alpha if name.startswith("folder:") else ""  # of files alone
    try:
        dataset = load(name, data_dir, DataOptions(eval_split=split, alpha=alpha))
    except ArgumentError as error:
        part = f"split {error.value}: " if error.argument == "eval_split" else ""
        text = f"not a file or folder, and as a data set: {part}{error.args[0]}"
        raise UserError(f"{flag}: {text}") from None
    about = f"{name}:{dataset.eval_name}"
    count, read = dataset.eval.num_examples, lambda: scored_images(dataset)
    from_arrays = name.endswith(".npz")
    fingerprint = read_fingerprint(name) if from_arrays else dataset.fingerprint
    return Images(flag, about, count, read, fingerprint=fingerprint, from_arrays=from_arrays)


def scored_images(dataset: Dataset) -> Iterator[Image]:
    """The images of the split that is scored, in order, named `test/0` and so on."""
    number, examples = 0, dataset.eval
    for batch in examples.in_order(min(CHUNK, examples.num_examples)):
        batch = {key: value.numpy() for key, value in batch.items()}
        for place in np.flatnonzero(batch["weights"]):
            label = int(batch["labels"][place]) if "labels" in batch else None
            name = f"{dataset.eval_name}/{number}"
            yield Image(name, batch["images"][place], dataset.num_levels, label)
            number += 1
