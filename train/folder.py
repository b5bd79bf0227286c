"""A folder of images: either root/split/class/*.png (tfds.ImageFolder) or one flat folder."""

import hashlib
import os

import numpy as np
import tensorflow as tf

from train.data import Dataset
from train.errors import UserError
from train.splits import ArraySplit

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
TEST_SPLITS = ("test", "validation", "valid", "val")
TEST_SHARE = 10  # a flat folder's test split: one image in ten, chosen by the hash of its name


def load_folder(name):
    """Loads `folder:/path`.

    Raises:
      UserError: if there is nothing to load, an image cannot be read (naming it), or the
        images differ in size.
    """
    root = os.path.expanduser(name.removeprefix("folder:"))
    if not os.path.isdir(root):
        raise UserError(f"--dataset={name}: no such folder")
    entries = sorted(os.listdir(root))
    flat = [os.path.join(root, entry) for entry in entries if entry.lower().endswith(EXTENSIONS)]
    if flat:
        files = {"train": [], "test": []}
        for path in flat:
            number = int(hashlib.sha256(os.path.basename(path).encode()).hexdigest(), 16)
            files["test" if number % TEST_SHARE == 0 else "train"].append((path, None))
        classes = None
        note = f"test split: one image in {TEST_SHARE}, by the hash of the file name"
    else:
        files, classes = _image_folder(name, root)
        note = ""
    for split, members in files.items():
        if not members:
            raise UserError(f"--dataset={name}: no images for the {split} split")
    channels = 1 if _decode(files["train"][0][0], 0).shape[-1] == 1 else 3
    shape = _decode(files["train"][0][0], channels).shape
    splits = {split: _read(name, members, shape) for split, members in files.items()}
    return Dataset(name, shape, 256, len(classes) if classes else None, note=note, **splits)


def _image_folder(name, root):
    """Files and labels of the tfds.ImageFolder layout: `{split: [(path, label)]}`, classes."""
    import tensorflow_datasets as tfds

    builder = tfds.ImageFolder(root)
    available = builder.info.splits
    if not available:
        raise UserError(
            f"--dataset={name}: holds neither images ({', '.join(EXTENSIONS)}) nor "
            "split/class/image folders"
        )
    test = next((split for split in TEST_SPLITS if split in available), None)
    if "train" not in available or test is None:
        raise UserError(
            f"--dataset={name}: found the folders {sorted(available)}, but images are expected "
            f"in {root} itself, or in train/<class>/ and test/<class>/"
        )
    skip = {"image": tfds.decode.SkipDecoding()}
    files = {}
    for split, source in {"train": "train", "test": test}.items():
        examples = builder.as_dataset(split=source, decoders=skip)
        files[split] = sorted(
            (example["image/filename"].decode(), int(example["label"]))
            for example in examples.as_numpy_iterator()
        )
    return files, builder.info.features["label"].names


def _decode(path, channels):
    """One image as uint8 `[H, W, channels]` (channels 0: as in the file)."""
    try:
        return tf.io.decode_image(
            tf.io.read_file(path), channels=channels, expand_animations=False
        ).numpy()
    except (tf.errors.OpError, OSError) as error:
        reason = getattr(error, "message", str(error)).splitlines()[0][:100]
        raise UserError(f"{path}: not a readable image ({reason})") from None


def _read(name, members, shape):
    images = np.empty((len(members), *shape), np.uint8)
    for i, (path, _) in enumerate(members):
        image = _decode(path, shape[-1])
        if image.shape != shape:
            raise UserError(
                f"--dataset={name}: {path} is {image.shape[0]}x{image.shape[1]}, but "
                f"{members[0][0]} is {shape[0]}x{shape[1]}; all must have one size"
            )
        images[i] = image
    labels = [label for _, label in members]
    return ArraySplit(images, None if labels[0] is None else np.array(labels, np.int32))
