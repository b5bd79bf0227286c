"""Data sets of tensorflow-datasets, prepared beforehand or downloaded."""

import difflib
import math
import os

import numpy as np
import tensorflow as tf

from train.data.dataset import TEST_SPLITS, Dataset
from train.data.splits import ArraySplit, StreamedSplit
from train.errors import UserError, reason

IN_MEMORY_BYTES = 4 * 2**30  # larger splits are streamed from disk
NETWORK_TIMEOUT = 10  # seconds to wait for the first answer of a download server
HELD_OUT_PERCENT = 10  # of train, where a data set has no test split


def load_tfds(name: str, data_dir: str = "", in_memory_bytes: int = IN_MEMORY_BYTES) -> Dataset:
    """Loads an image data set of tfds; prepared data is used first, then a download is tried.

    Args:
      name: a tfds name, "cifar10" or "downsampled_imagenet/32x32".
      data_dir: tfds' `data_dir`; "" for its default.
      in_memory_bytes: splits above this size are streamed.

    Returns:
      `train.data.dataset.Dataset`.

    Raises:
      UserError: if the name is unknown, the data can neither be found nor downloaded, or it has
        no images of one fixed shape.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    prepare(builder, name)

    image_key, label_key = _features(builder, name)
    shape = builder.info.features[image_key].shape
    if any(n is None for n in shape):
        raise UserError(f"--dataset={name}: images have no fixed size ({shape})")
    available = builder.info.splits
    note = _missing_images(builder)
    test = next((split for split in TEST_SPLITS if split in available), None)
    if "train" not in available:
        raise UserError(f"--dataset={name}: has no split 'train', only {sorted(available)}")
    if test:
        instructions = {"train": "train", "test": test}
    else:
        keep = 100 - HELD_OUT_PERCENT
        instructions = {"train": f"train[:{keep}%]", "test": f"train[{keep}%:]"}
        note = f"no test split of its own: scored on the last {HELD_OUT_PERCENT} % of train"

    def make(instruction):
        count = available[instruction].num_examples

        def read(shuffle_seed):
            config = tfds.ReadConfig(shuffle_seed=shuffle_seed, add_tfds_id=False)
            examples = builder.as_dataset(
                split=instruction, shuffle_files=shuffle_seed is not None, read_config=config
            )

            def to_batch(example):
                result = {"images": example[image_key]}
                if label_key:
                    result["labels"] = tf.cast(example[label_key], tf.int32)
                return result

            return examples.map(to_batch, num_parallel_calls=tf.data.AUTOTUNE)

        if count * math.prod(shape) > in_memory_bytes:
            return StreamedSplit(read, count, shape)
        images = np.empty((count, *shape), np.uint8)
        labels = np.empty(count, np.int32) if label_key else None
        begin = 0
        for batch in read(None).batch(1024).as_numpy_iterator():
            end = begin + len(batch["images"])
            images[begin:end] = batch["images"]
            if label_key:
                labels[begin:end] = batch["labels"]
            begin = end
        if label_key and labels.min() < 0:
            raise UserError(f"--dataset={name}: split {instruction} has images without a label")
        if begin != count:
            raise UserError(f"--dataset={name}: split {instruction} has {begin} of {count} images")
        return ArraySplit(images, labels)

    num_classes = _num_classes(builder, label_key)
    splits = {key: make(instruction) for key, instruction in instructions.items()}
    return Dataset(name, tuple(shape), 256, num_classes, note=note, **splits)


def describe_tfds(name: str, data_dir: str = "") -> tuple[tuple, int, int | None]:
    """`(image_shape, num_levels, num_classes)` of a tfds data set, which need not be there; sizes
    that only the data tells are None.

    Raises:
      UserError: if there is no such data set, or it has no images.
    """
    builder = _builder(name, data_dir)
    image_key, label_key = _features(builder, name)
    return builder.info.features[image_key].shape, 256, _num_classes(builder, label_key)


def _builder(name, data_dir):
    """The tfds builder of a name; asks no network."""
    import tensorflow_datasets as tfds

    data_dir = os.path.abspath(os.path.expanduser(data_dir)) if data_dir else None
    known = tfds.list_builders(with_community_datasets=False)
    if name.split("/")[0].split(":")[0] not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise UserError(
            f"--dataset={name}: no such data set; {hint}Allowed are digits, folder:/path, a .npz "
            "file, or a tensorflow-datasets name"
        )
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # a ValueError, an AssertionError, tfds' own
        raise UserError(f"--dataset={name}: {reason(error)}") from None


def _features(builder, name):
    """Keys of the image and of the label (or None)."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    image = "image" if "image" in images else (images[0] if images else None)
    if image is None:
        raise UserError(f"--dataset={name}: has no images (features: {sorted(features)})")
    dtype = np.dtype(features[image].np_dtype)
    if dtype != np.uint8:
        raise UserError(f"--dataset={name}: images are {dtype}, must be uint8")
    return image, "label" if "label" in labels else (labels[0] if len(labels) == 1 else None)


def _num_classes(builder, label_key):
    return builder.info.features[label_key].num_classes if label_key else None


def _missing_images(builder):
    """A note where the prepared test split is not the whole official one."""
    whole = {"cifar10": 10_000, "cifar100": 10_000, "mnist": 10_000, "fashion_mnist": 10_000}
    whole |= {"svhn_cropped": 26_032, "imagenet_resized": 50_000, "downsampled_imagenet": 49_999}
    expected = whole.get(builder.name)
    for split in TEST_SPLITS:
        if split in builder.info.splits and expected:
            found = builder.info.splits[split].num_examples
            if found < expected:
                return f"scored on {found:,} of the {expected:,} official test images"
            break
    return ""


def prepare(builder, name: str) -> None:
    """Makes sure that the data is on disk, downloading it where it is not.

    Raises:
      UserError: at once where no download server answers, telling how to provide the data.
    """
    import tensorflow_datasets as tfds

    if builder.is_prepared():
        return
    data_root = str(builder.data_path).split(f"{os.sep}{builder.name}{os.sep}")[0]
    manual_dir = os.path.join(data_root, "downloads", "manual")
    urls = _urls(builder)
    by_hand = (
        f"To provide it offline, copy the prepared folder {os.path.join(builder.name, '...')} of "
        f"another machine into {data_root}"
    )
    if urls:
        files = ", ".join(os.path.basename(url) for url in urls[:3])
        by_hand += f", or put {files} into {manual_dir}"
    given = set(os.listdir(manual_dir)) if os.path.isdir(manual_dir) else set()
    if not (urls and all(os.path.basename(url) in given for url in urls)):
        problem = _network_problem(urls)
        if problem:
            raise UserError(
                f"--dataset={name}: not found in {builder.data_path}, and {problem}. {by_hand}"
            )
    print(f"preparing {name} in {builder.data_path} ...", flush=True)
    try:
        config = tfds.download.DownloadConfig(manual_dir=manual_dir if given else None)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # tfds raises anything from OSError to its own types
        raise UserError(
            f"--dataset={name}: could not be prepared in {builder.data_path} "
            f"({type(error).__name__}: {reason(error)}). {by_hand}"
        ) from error


def _urls(builder):
    """The files that the builder downloads; of a config such as "32x32" only its own."""
    urls = list(builder.url_infos)
    if builder.builder_config is None:
        return urls
    size = builder.builder_config.name.split("x")[0]
    return [url for url in urls if size in os.path.basename(url)] or urls


def _network_problem(urls):
    """None if the first download server answers, else what is wrong, in a few words."""
    import requests

    if not urls:
        return "its download address is not known"
    try:
        requests.head(urls[0], timeout=NETWORK_TIMEOUT, allow_redirects=True)
    except requests.RequestException as error:
        return f"{urls[0]} cannot be reached ({type(error).__name__})"
    return None
