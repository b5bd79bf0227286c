"""What every source of data gives: a data set with its splits."""

from functools import partial
from typing import NamedTuple

from pixelcnn_tf.levels import quantize_levels
from train.data.splits import Split
from train.errors import UserError

TEST_SPLITS = ("test", "validation", "valid", "val")  # names of the split that is scored, by rank


class Dataset(NamedTuple):
    """A data set ready for training.

    Attributes:
      name: the value of `--dataset`.
      image_shape: `(H, W, C)`.
      num_levels: number of levels per channel; images hold 0 ... num_levels - 1.
      num_classes: number of classes, or None without labels.
      train, test: splits (see `train/data/splits.py`).
      note: what a reader of the test score should know, or "".
      missing_labels: why there are no labels, where that is not plain, or "".
    """

    name: str
    image_shape: tuple
    num_levels: int
    num_classes: int | None
    train: Split
    test: Split
    note: str = ""
    missing_labels: str = ""


def quantize(dataset: Dataset, num_levels: int) -> Dataset:
    """The data set with fewer levels per channel: of m levels, x becomes floor(x * n / m).

    With n = 2 and 8-bit images this is the threshold x >= 128.

    Raises:
      UserError: if the data set has fewer than `num_levels` levels.
    """
    if num_levels > dataset.num_levels:
        raise UserError(
            f"--num_levels={num_levels}: --dataset={dataset.name} has only {dataset.num_levels} "
            "levels"
        )
    if num_levels == dataset.num_levels:
        return dataset
    function = partial(quantize_levels, num_levels=dataset.num_levels, to_levels=num_levels)
    note = (
        f"{num_levels} levels, floor(x * {num_levels} / {dataset.num_levels}) of the data's: "
        "bits/dim refer to these and are not comparable with results of other levels"
    )
    return dataset._replace(
        num_levels=num_levels,
        train=dataset.train.map_images(function),
        test=dataset.test.map_images(function),
        note=f"{dataset.note}; {note}" if dataset.note else note,
    )
