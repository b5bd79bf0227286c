"""Data sets from arrays: the built-in digits, and `.npz` files."""

import os
import zipfile
import zlib

import numpy as np

from pixelcnn_tf.levels import MAX_NUM_LEVELS, dtype_of_levels
from train.data.dataset import Dataset
from train.data.options import DataOptions
from train.data.split_names import choose
from train.data.splits import ArraySplit
from train.errors import ArgumentError

NPY_MAGIC = b"\x93NUMPY"  # the first bytes of an .npy file
MAX_LABEL = 2**20  # a label is one of as many classes; more than this is no label
DIGITS_TRAIN = 1497  # of 1,797; the rest, in the order of the file, is the test split
# Names of arrays, x_... and y_..., -> the split that they hold.
NAMES = {"train": "train", "test": "test"}
NAMES |= {"validation": "validation", "valid": "validation", "val": "validation"}


def load_digits(options: DataOptions) -> Dataset:
    """The 1,797 handwritten 8x8 digits with 17 grey levels that scikit-learn carries."""
    from sklearn.datasets import load_digits as read

    digits = read()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int32)
    parts = {"train": slice(DIGITS_TRAIN), "test": slice(DIGITS_TRAIN, None)}
    dataset = _dataset(
        "digits",
        {split: images[part] for split, part in parts.items()},
        {split: labels[part] for split, part in parts.items()},
        17,
        options,
    )
    return dataset.add_note("17 grey levels: not comparable with 8-bit results")


def load_npz(path: str, options: DataOptions) -> Dataset:
    """An `.npz` file with `x_train` and, optionally, `x_test`, `x_validation` (or `x_valid`), and
    `y_...` of each.

    Images are uint8, of 256 levels. Maps of codes are any other integers, 0 ... K - 1. K is the
    array `num_levels` of the file (which holds for uint8 too), or else the largest code plus 1.

    Raises:
      UserError: if it is not such a file, naming what is wrong.
    """
    arrays = _read(path)
    images, labels = {}, {}
    for suffix, split in NAMES.items():
        found = arrays.get(f"x_{suffix}")
        if found is None:
            continue
        if split in images:
            raise ArgumentError("dataset", path, f"has two arrays for the {split} split")
        images[split] = _images(path, f"x_{suffix}", found)
        if f"y_{suffix}" in arrays:
            y = arrays[f"y_{suffix}"]
            labels[split] = _labels(path, f"y_{suffix}", y, len(found))
    if "train" not in images and not options.train_split:
        raise ArgumentError("dataset", path, f"has no array x_train, only {sorted(arrays)}")
    if not options.eval_split and len(images) < 2:
        raise ArgumentError(
            "dataset",
            path,
            f"has no array x_test, only {sorted(arrays)}; "
            "--train_split=train[:90%] with --eval_split=train[90%:] scores a part of x_train",
        )
    shapes = {split: each.shape[1:] for split, each in images.items()}
    if len(set(shapes.values())) > 1:
        shown = ", ".join(f"x_{split} {shape}" for split, shape in shapes.items())
        raise ArgumentError("dataset", path, f"images differ in shape: {shown}")
    num_levels = _npz_levels(path, arrays, images)
    if num_levels > 256 or any(each.dtype != np.uint8 for each in images.values()):
        small = dtype_of_levels(num_levels)
        images = {split: each.astype(small) for split, each in images.items()}
    dataset = _dataset(path, images, labels, num_levels, options)
    known = "num_levels" in arrays or num_levels != 256
    return dataset._replace(levels_are_known=known)


def _dataset(name, images, labels, num_levels, options):
    """A `Dataset` of arrays, `{split: images}` and `{split: labels}`."""
    choice = choose(name, {split: len(each) for split, each in images.items()}, options)
    used = {piece.split for piece in choice.train_pieces + choice.scored_pieces}
    labelled = used <= set(labels)

    def make(pieces):
        return ArraySplit(
            np.concatenate([images[split][begin:end] for split, begin, end in pieces]),
            np.concatenate([labels[split][begin:end] for split, begin, end in pieces])
            if labels.keys() >= {piece.split for piece in pieces}
            else None,
        )

    train, test = make(choice.train_pieces), make(choice.scored_pieces)
    num_classes = None
    if labelled:
        num_classes = int(max(train.labels.max(), test.labels.max())) + 1
    names = [f"y_{split}" for split in images if split in used]
    have = [f"y_{split}" for split in images if split in used and split in labels]
    missing = f"it has {', '.join(have)} alone of {' and '.join(names)}"
    validation = choice.validation
    return Dataset(
        name,
        train.image_shape,
        num_levels,
        num_classes,
        train,
        test,
        note=choice.note,
        missing_labels=missing if have and not labelled else "",
        validation=ArraySplit(images[validation], labels.get(validation)) if validation else None,
        eval_name=choice.name,
    )


def _read(path):
    """The arrays of an `.npz` file, a dict."""
    if not os.path.exists(path):
        raise ArgumentError("dataset", path, "no such file")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with open(path, "rb") as raw:
            if raw.read(6) == NPY_MAGIC:
                raise ValueError(
                    "it is one array, an .npy file; write np.savez(path, x_train=..., x_test=...)"
                )
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ArgumentError("dataset", path, f"not a readable .npz file ({error})") from None


def _images(path, name, images):
    """An array of images, `[N, H, W, C]`."""
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype.kind not in "iu" or images.ndim != 4 or not images.size:
        raise ArgumentError(
            "dataset",
            path,
            f"{name} is {images.dtype} {images.shape}, must be integers "
            "[N, H, W] or [N, H, W, C], not empty",
        )
    return images


def _labels(path, name, labels, count):
    """An array of labels, int32 `[count]`."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ArgumentError(
            "dataset", path, f"{name} is {labels.dtype} {labels.shape}, must be integers [{count}]"
        )
    if labels.min() < 0 or labels.max() > MAX_LABEL:
        raise ArgumentError(
            "dataset",
            path,
            f"{name} holds {labels.min()} to {labels.max()}, must be 0 to {MAX_LABEL}",
        )
    return labels.astype(np.int32)


def _npz_levels(path, arrays, images):
    """The number of levels of an `.npz` file's images; refuses values outside them."""
    images, names = images.values(), " and ".join(f"x_{split}" for split in images)
    lowest, highest = min(int(x.min()) for x in images), max(int(x.max()) for x in images)
    eight_bit = all(x.dtype == np.uint8 for x in images)
    num_levels = arrays.get("num_levels", 256 if eight_bit else max(highest + 1, 2))
    is_integer = np.ndim(num_levels) == 0 and np.asarray(num_levels).dtype.kind in "iu"
    if not is_integer or not 2 <= num_levels <= MAX_NUM_LEVELS:
        raise ArgumentError(
            "dataset",
            path,
            f"num_levels is {num_levels}, must be one integer from 2 to "
            f"{MAX_NUM_LEVELS} (it is the largest code plus 1 if the file has none)",
        )
    if lowest < 0 or highest >= num_levels:
        raise ArgumentError(
            "dataset",
            path,
            f"{names} hold {lowest} to {highest}, must be 0 to {int(num_levels) - 1}",
        )
    return int(num_levels)
