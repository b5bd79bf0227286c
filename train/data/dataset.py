"""What every source of data gives: a data set with its splits."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import quantize_levels
from train.data.splits import Split
from train.errors import ArgumentError


class Dataset(NamedTuple):
    """A data set ready for training.

    Attributes:
      name: the value of `--dataset`.
      image_shape: `(H, W, C)`.
      num_levels: number of levels per channel; images hold 0 ... num_levels - 1.
      num_classes: number of classes, or None without labels.
      train: what is trained on, a split (see `train/data/splits.py`).
      eval: the split that is scored: test, or the value of `--eval_split`.
      note: what a reader of the score should know, or "".
      missing_labels: why there are no labels, where that is not plain, or "".
      validation: the validation split, or None if there is none.
      eval_name: its name: "test", or the value of `--eval_split`.
      benchmark: name of the published benchmark that `eval` is, whole and unchanged, or "".
      levels_are_known: the source says how many levels its images have; else 8-bit images are taken
        to have 256.
      warnings: problems with the data, in sentences.
      fingerprint: of the VQ-VAE whose codes the images are, or "".
      parts_by_hash: a part of a split is counted in the order of the hashes of file names.
    """

    name: str
    image_shape: tuple
    num_levels: int
    num_classes: int | None
    train: Split
    eval: Split
    note: str = ""
    missing_labels: str = ""
    validation: Split | None = None
    eval_name: str = "test"
    benchmark: str = ""
    levels_are_known: bool = True
    warnings: tuple = ()
    fingerprint: str = ""
    parts_by_hash: bool = False

    def map_splits(self, function: Callable[[Split], Split]) -> "Dataset":
        """The data set with `function` applied to each of its splits."""
        splits = {key: getattr(self, key) for key in ("train", "eval", "validation")}
        return self._replace(**{key: split and function(split) for key, split in splits.items()})

    def add_note(self, note: str) -> "Dataset":
        """The data set with another sentence in `note`."""
        return self._replace(note=f"{self.note}; {note}" if self.note else note)


def quantize(dataset: Dataset, num_levels: int) -> Dataset:
    """The data set with fewer levels per channel: of m levels, x becomes floor(x * n / m).

    With n = 2 and 8-bit images this is the threshold x >= 128.

    Raises:
      UserError: if the data set has fewer than `num_levels` levels.
    """
    if num_levels > dataset.num_levels:
        text = f"--dataset={dataset.name} has only {dataset.num_levels} levels"
        raise ArgumentError("quantize", num_levels, text)
    if num_levels == dataset.num_levels:
        return dataset
    function = partial(_quantize, num_levels=dataset.num_levels, to_levels=num_levels)
    quantized = dataset.map_splits(lambda split: split.map_images(function))
    return quantized._replace(num_levels=num_levels, benchmark="").add_note(
        f"{num_levels} levels, floor(x * {num_levels} / {dataset.num_levels}) of the data's: "
        "bits/dim refer to these and are not comparable with results of other levels"
    )


def _quantize(images, num_levels, to_levels):
    """`quantize_levels`, in the smallest type that holds the levels."""
    quantized = quantize_levels(images, num_levels, to_levels)
    if to_levels > 256 or quantized.dtype in (np.uint8, tf.uint8):
        return quantized
    if isinstance(quantized, tf.Tensor):
        return tf.cast(quantized, tf.uint8)
    return quantized.astype(np.uint8)
