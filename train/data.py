"""Data sets: the built-in digits, anything in tensorflow-datasets, folders, `.npz` files."""

import os
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from train.errors import UserError
from train.splits import ArraySplit

MAX_LABEL = 2**20  # a label is one of as many classes; more than this is no label
DIGITS_TRAIN = 1497  # of 1,797; the rest, in the order of the file, is the test split


class Dataset(NamedTuple):
    """A data set ready for training.

    Attributes:
      name: the value of `--dataset`.
      image_shape: `(H, W, C)`.
      num_levels: number of levels per channel; images hold 0 ... num_levels - 1.
      num_classes: number of classes, or None without labels.
      train, test: splits (see `train/splits.py`).
      note: what a reader of the test score should know, or "".
    """

    name: str
    image_shape: tuple
    num_levels: int
    num_classes: int | None
    train: object
    test: object
    note: str = ""


def load(name, data_dir=""):
    """Loads a data set.

    Args:
      name: "digits", "folder:/path", a path ending in ".npz", or a tfds name.
      data_dir: where tfds data sets are prepared; "" for tfds' default.

    Returns:
      `Dataset`.

    Raises:
      UserError: if it cannot be had, or its images are unfit.
    """
    if name == "digits":
        dataset = load_digits()
    elif name.startswith("folder:"):
        from train.folder import load_folder

        dataset = load_folder(name)
    elif name.endswith(".npz"):
        dataset = load_npz(name)
    else:
        from train.tfds_data import load_tfds

        dataset = load_tfds(name, data_dir)
    height, width, channels = dataset.image_shape
    if channels not in (1, 3):
        raise UserError(f"--dataset={name}: images have {channels} channels, must be 1 or 3")
    if height % 4 or width % 4:
        raise UserError(
            f"--dataset={name}: images are {height}x{width}; height and width must be divisible "
            "by 4, because the network halves the image twice"
        )
    return dataset


def load_digits():
    """The 1,797 handwritten 8x8 digits with 17 grey levels that scikit-learn carries."""
    from sklearn.datasets import load_digits as read

    digits = read()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int32)
    return Dataset(
        "digits",
        (8, 8, 1),
        num_levels=17,
        num_classes=10,
        train=ArraySplit(images[:DIGITS_TRAIN], labels[:DIGITS_TRAIN]),
        test=ArraySplit(images[DIGITS_TRAIN:], labels[DIGITS_TRAIN:]),
        note="17 grey levels: not comparable with 8-bit results",
    )


def load_npz(path):
    """An `.npz` file with `x_train`, `x_test` (uint8) and, optionally, `y_train`, `y_test`."""
    if not os.path.exists(path):
        raise UserError(f"--dataset={path}: no such file")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"--dataset={path}: not a readable .npz file ({error})") from None
    splits = {}
    for split in ("train", "test"):
        images = arrays.get(f"x_{split}")
        if images is None:
            raise UserError(f"--dataset={path}: has no array x_{split}, only {sorted(arrays)}")
        if images.ndim == 3:
            images = images[..., None]
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise UserError(
                f"--dataset={path}: x_{split} is {images.dtype} {images.shape}, must be uint8 "
                "[N, H, W] or [N, H, W, C] with N at least 1"
            )
        labels = arrays.get(f"y_{split}")
        if labels is not None:
            if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
                raise UserError(
                    f"--dataset={path}: y_{split} is {labels.dtype} {labels.shape}, must be "
                    f"integers [{len(images)}]"
                )
            if labels.min() < 0 or labels.max() > MAX_LABEL:
                raise UserError(
                    f"--dataset={path}: y_{split} holds {labels.min()} to {labels.max()}, must be "
                    f"0 to {MAX_LABEL}"
                )
            labels = labels.astype(np.int32)
        splits[split] = ArraySplit(images, labels)
    train, test = splits["train"], splits["test"]
    if train.image_shape != test.image_shape:
        raise UserError(
            f"--dataset={path}: x_train images are {train.image_shape}, x_test {test.image_shape}"
        )
    num_classes = None
    if train.labels is not None and test.labels is not None:
        num_classes = int(max(train.labels.max(), test.labels.max())) + 1
    return Dataset(path, train.image_shape, 256, num_classes, train, test)
