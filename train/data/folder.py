"""A folder of images: either root/split/class/*.png (tfds.ImageFolder) or one flat folder."""

import hashlib
import os

import numpy as np
import tensorflow as tf

from train.data.dataset import TEST_SPLITS, Dataset
from train.data.splits import ArraySplit
from train.errors import UserError, reason

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
TEST_SHARE = 10  # a flat folder's test split: one image in ten, chosen by the hash of its name


def load_folder(name: str) -> Dataset:
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
    members = files["train"] + files["test"]
    images = _read(name, [path for path, _ in members])
    labels = np.array([-1 if label is None else label for _, label in members], np.int32)
    count = len(files["train"])
    splits = {
        split: ArraySplit(images[part], labels[part] if classes else None)
        for split, part in {"train": slice(count), "test": slice(count, None)}.items()
    }
    return Dataset(
        name, images.shape[1:], 256, len(classes) if classes else None, note=note, **splits
    )


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


def _decode(path):
    """One image as uint8 `[H, W, 1]` or `[H, W, 3]`, without transparency."""
    try:
        image = tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    except (tf.errors.OpError, OSError) as error:
        raise UserError(f"{path}: not a readable image ({reason(error)})") from None
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1]


def _read(name, paths):
    """All images, uint8 `[N, H, W, C]`: C is 3 if any has colours (grey ones become RGB)."""
    images = [_decode(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            sizes = [f"{i.shape[0]}x{i.shape[1]}" for i in (image, images[0])]
            raise UserError(
                f"--dataset={name}: {path} is {sizes[0]}, but {paths[0]} is {sizes[1]}; all must "
                "have one size"
            )
    channels = max(image.shape[-1] for image in images)
    return np.stack([np.broadcast_to(i, [*i.shape[:2], channels]) for i in images])
