"""Data sets from arrays: the built-in digits, and `.npz` files."""

import os
import zipfile
import zlib

import numpy as np

from pixelcnn_tf.levels import MAX_NUM_LEVELS
from train.data.dataset import Dataset
from train.data.splits import ArraySplit
from train.errors import UserError

NPY_MAGIC = b"\x93NUMPY"  # the first bytes of an .npy file
MAX_LABEL = 2**20  # a label is one of as many classes; more than this is no label
DIGITS_TRAIN = 1497  # of 1,797; the rest, in the order of the file, is the test split


def load_digits() -> Dataset:
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


def load_npz(path: str) -> Dataset:
    """An `.npz` file with `x_train`, `x_test` and, optionally, `y_train`, `y_test`.

    Images are uint8, of 256 levels. Maps of codes are any other integers, 0 ... K - 1. K is the
    array `num_levels` of the file (which holds for uint8 too), or else the largest code plus 1.

    Raises:
      UserError: if it is not such a file, naming what is wrong.
    """
    if not os.path.exists(path):
        raise UserError(f"--dataset={path}: no such file")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with open(path, "rb") as raw:
            if raw.read(6) == NPY_MAGIC:
                raise ValueError(
                    "it is one array, an .npy file; write np.savez(path, x_train=..., x_test=...)"
                )
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as file:
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
        if images.dtype.kind not in "iu" or images.ndim != 4 or not images.size:
            raise UserError(
                f"--dataset={path}: x_{split} is {images.dtype} {images.shape}, must be integers "
                "[N, H, W] or [N, H, W, C], not empty"
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
    num_levels = _npz_levels(path, arrays)
    if num_levels > 256 or train.images.dtype != np.uint8:
        small = np.uint8 if num_levels <= 256 else np.uint16
        train, test = (split.map_images(lambda x: x.astype(small)) for split in (train, test))
    only = [name for name in ("y_train", "y_test") if name in arrays]
    missing_labels = f"it has {only[0]} alone of y_train and y_test" if len(only) == 1 else ""
    return Dataset(
        path,
        train.image_shape,
        num_levels,
        num_classes,
        train,
        test,
        missing_labels=missing_labels,
    )


def _npz_levels(path, arrays):
    """The number of levels of an `.npz` file's images; refuses values outside them."""
    images = arrays["x_train"], arrays["x_test"]
    lowest, highest = min(int(x.min()) for x in images), max(int(x.max()) for x in images)
    eight_bit = all(x.dtype == np.uint8 for x in images)
    num_levels = arrays.get("num_levels", 256 if eight_bit else max(highest + 1, 2))
    is_integer = np.ndim(num_levels) == 0 and np.asarray(num_levels).dtype.kind in "iu"
    if not is_integer or not 2 <= num_levels <= MAX_NUM_LEVELS:
        raise UserError(
            f"--dataset={path}: num_levels is {num_levels}, must be one integer from 2 to "
            f"{MAX_NUM_LEVELS} (it is the largest code plus 1 if the file has none)"
        )
    if lowest < 0 or highest >= num_levels:
        raise UserError(
            f"--dataset={path}: x_train and x_test hold {lowest} to {highest}, must be 0 to "
            f"{int(num_levels) - 1}"
        )
    return int(num_levels)
