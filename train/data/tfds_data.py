"""Data sets of tensorflow-datasets, prepared beforehand or downloaded."""

import difflib
import math
import os
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from train.data.dataset import Dataset
from train.data.decode import resize
from train.data.options import DEFAULTS, DataOptions, size_text
from train.data.split_names import Piece, choose
from train.data.splits import ArraySplit, PackedSplit, StreamedSplit
from train.errors import ArgumentError, reason

IN_MEMORY_BYTES = 4 * 2**30  # larger splits are streamed from disk
NETWORK_TIMEOUT = 10  # seconds to wait for the first answer of a download server
# Data sets whose uint8 images have other levels than 256; their features do not say so.
NUM_LEVELS = {"binarized_mnist": 2}


def load_tfds(
    name: str,
    data_dir: str = "",
    in_memory_bytes: int | None = None,
    options: DataOptions = DEFAULTS,
) -> Dataset:
    """Loads an image data set of tfds; prepared data is used first, then a download is tried.

    Args:
      name: a tfds name, "cifar10" or "downsampled_imagenet/32x32".
      data_dir: tfds' `data_dir`; "" for its default.
      in_memory_bytes: splits above this size are streamed; default: IN_MEMORY_BYTES.
      options: `resize`, `crop` (where sizes differ) and the splits.

    Returns:
      `train.data.dataset.Dataset`.

    Raises:
      UserError: if the name is unknown, the data can neither be found nor downloaded, or its
        images differ in size and no flag makes them alike.
    """
    limit = IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes
    builder = _builder(name, data_dir)
    images = _features(builder, name)
    size = options.resize or images.shape[:2]
    if None in size and options.crop is None:
        raise ArgumentError(
            "dataset",
            name,
            f"its images differ in size ({images.shape}); --resize=HxW or "
            "--crop=HxW makes all images of one size",
        )
    prepare(builder, name)
    choice = choose(name, builder.info.splits, options)
    unlabelled = images.label_key and _unlabelled(builder, images, choice)
    if unlabelled:
        images = images._replace(label_key=None, num_classes=None)
    note = "; ".join(text for text in (_missing_images(builder, choice), choice.note) if text)

    def make(instruction, pieces, limit=limit):
        count = sum(piece.end - piece.begin for piece in pieces)
        read = partial(_read, builder, instruction, images, options.resize)
        shape = (*size, images.shape[2])
        if None in size:
            held = _varied_in_memory(name, read, limit, options.crop)
            return held or StreamedSplit(read, count, (*options.crop, shape[2]), options.crop)
        if count * math.prod(shape) * images.dtype.itemsize > limit:
            return StreamedSplit(read, count, shape)
        return _in_memory(name, instruction, read, count, shape, images)

    validation = choice.validation
    return Dataset(
        name,
        (*(options.crop if None in size else size), images.shape[2]),
        images.num_levels,
        images.num_classes,
        make(choice.train, choice.train_pieces),
        make(choice.scored, choice.scored_pieces),
        note=note,
        missing_labels=f"its split {unlabelled} has none" if unlabelled else "",
        # Streamed, so that it costs nothing to those who do not use it.
        validation=make(
            validation, [Piece(validation, 0, builder.info.splits[validation].num_examples)], 0
        )
        if validation
        else None,
        eval_name=choice.name,
        benchmark=name.split(":")[0] if choice.is_test else "",
        levels_are_known=images.num_levels != 256,
    )


def _unlabelled(builder, images, choice):
    """The first split, of those that are trained on or scored, whose images have no label, or
    None. tfds gives them -1 (`stl10`'s split `unlabelled`); the first image decides."""
    for split in dict.fromkeys(p.split for p in (*choice.train_pieces, *choice.scored_pieces)):
        (first,) = builder.as_dataset(split=f"{split}[:1]").as_numpy_iterator()
        if first[images.label_key] < 0:
            return split
    return None


def _read(builder, instruction, images, size, shuffle_seed):
    """The examples of a split, `tf.data.Dataset` of dicts."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(shuffle_seed=shuffle_seed, add_tfds_id=False)
    examples = builder.as_dataset(
        split=instruction, shuffle_files=shuffle_seed is not None, read_config=config
    )

    def to_batch(example):
        result = {"images": example[images.key]}
        if size is not None:
            resized = tf.numpy_function(
                lambda levels: resize(levels, size, images.num_levels),
                [result["images"]],
                images.dtype,
                stateful=False,
            )
            result["images"] = tf.ensure_shape(resized, (*size, images.shape[2]))
        if images.label_key:
            result["labels"] = tf.cast(example[images.label_key], tf.int32)
        return result

    return examples.map(to_batch, num_parallel_calls=tf.data.AUTOTUNE)


def _in_memory(name, instruction, read, count, shape, images):
    """A split of images of one size."""
    levels = np.empty((count, *shape), images.dtype)
    labels = np.empty(count, np.int32) if images.label_key else None
    begin = 0
    for batch in read(None).batch(1024).as_numpy_iterator():
        end = begin + len(batch["images"])
        levels[begin:end] = batch["images"]
        if labels is not None:
            labels[begin:end] = batch["labels"]
        begin = end
    if begin != count:
        raise ArgumentError("dataset", name, f"split {instruction} has {begin} of {count} images")
    if labels is not None and labels.min() < 0:
        raise ArgumentError("dataset", name, f"split {instruction} has images without a label")
    return ArraySplit(levels, labels)


def _varied_in_memory(name, read, limit, crop):
    """A split of images of several sizes, or None if it takes more bytes than `limit`."""
    levels, labels, num_bytes = [], [], 0
    for example in read(None).as_numpy_iterator():
        image = example["images"]
        num_bytes += image.nbytes
        if num_bytes > limit:
            return None
        if image.shape[0] < crop[0] or image.shape[1] < crop[1]:
            raise ArgumentError(
                "crop",
                size_text(crop),
                f"--dataset={name} has an image of "
                f"{size_text(image.shape)}; all must be at least as large (--resize=HxW makes "
                "them so)",
            )
        levels.append(image)
        labels += [example["labels"]] if "labels" in example else []
    return PackedSplit.of_images(levels, np.array(labels, np.int32) if labels else None, crop)


def describe_tfds(name: str, data_dir: str = "") -> tuple[tuple, int, int | None]:
    """`(image_shape, num_levels, num_classes)` of a tfds data set, which need not be there; sizes
    that only the data has are None.

    Raises:
      UserError: if there is no such data set, or it has no images.
    """
    images = _features(_builder(name, data_dir), name)
    return images.shape, images.num_levels, images.num_classes


def _builder(name, data_dir):
    """The tfds builder of a name; asks no network."""
    import tensorflow_datasets as tfds

    data_dir = os.path.abspath(os.path.expanduser(data_dir)) if data_dir else None
    known = tfds.list_builders(with_community_datasets=False)
    if name.split("/")[0].split(":")[0] not in known:
        close = difflib.get_close_matches(name, ["digits", *known], n=3)
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise ArgumentError(
            "dataset",
            name,
            f"no such data set; {hint}Allowed are digits, folder:/path, a .npz "
            "file, or a tensorflow-datasets name",
        )
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # a ValueError, an AssertionError, tfds' own
        raise ArgumentError("dataset", name, f"{reason(error)}") from None


class _Features(NamedTuple):
    """What a tfds data set holds: the keys of image and label (or None), and what they are."""

    key: str
    shape: tuple
    dtype: np.dtype
    num_levels: int
    label_key: str | None
    num_classes: int | None


def _features(builder, name):
    """The `_Features` of a builder; refuses one without images."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    image = "image" if "image" in images else (images[0] if images else None)
    if image is None:
        raise ArgumentError("dataset", name, f"has no images (features: {sorted(features)})")
    dtype = np.dtype(features[image].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise ArgumentError("dataset", name, f"images are {dtype}, must be uint8 or uint16")
    label = "label" if "label" in labels else (labels[0] if len(labels) == 1 else None)
    return _Features(
        image,
        features[image].shape,
        dtype,
        NUM_LEVELS.get(builder.name, 256 if dtype == np.uint8 else 65536),
        label,
        features[label].num_classes if label else None,
    )


def _missing_images(builder, choice):
    """A note where the prepared test split is not the whole official one."""
    whole = {"cifar10": 10_000, "cifar100": 10_000, "mnist": 10_000, "fashion_mnist": 10_000}
    whole |= {"svhn_cropped": 26_032, "imagenet_resized": 50_000, "downsampled_imagenet": 49_999}
    expected = whole.get(builder.name)
    found = sum(piece.end - piece.begin for piece in choice.scored_pieces)
    if choice.is_test and expected and found < expected:
        return f"scored on {found:,} of the {expected:,} official test images"
    return ""


def prepare(builder, name: str) -> None:
    """Makes sure that the data is on disk, downloading it where it is not.

    Raises:
      UserError: at once where no download server answers, telling how to provide the data.
    """
    import tensorflow_datasets as tfds

    if builder.is_prepared():
        return
    data_root = str(builder.data_path).rsplit(f"{os.sep}{builder.name}{os.sep}", 1)[0]
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
            raise ArgumentError(
                "dataset", name, f"not found in {builder.data_path}, and {problem}. {by_hand}"
            )
    print(f"preparing {name} in {builder.data_path} ...", flush=True)
    try:
        config = tfds.download.DownloadConfig(manual_dir=manual_dir if given else None)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # tfds raises anything from OSError to its own types
        raise ArgumentError(
            "dataset",
            name,
            f"could not be prepared in {builder.data_path} "
            f"({type(error).__name__}: {reason(error)}). {by_hand}",
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
