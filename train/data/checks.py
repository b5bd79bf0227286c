"""What a data set is looked at for before it is trained on: levels and labels that cannot be
meant."""

import numpy as np

from train.data.dataset import Dataset
from train.errors import UserError

FEW_LEVELS = 17  # 8-bit images that use only the lowest so many levels are hardly of 256


def refuse_constant(dataset: Dataset) -> None:
    """Raises UserError if every training image is one and the same constant."""
    lowest, highest = dataset.train.value_range()
    if lowest == highest:
        raise UserError(
            f"--dataset={dataset.name}: every training image is one and the same constant, level "
            f"{lowest} of 0 to {dataset.num_levels - 1}"
        )


def refuse_nothing_left(dataset: Dataset, before: Dataset) -> None:
    """Raises UserError if quantisation has made every training image one constant."""
    lowest, highest = dataset.train.value_range()
    if lowest == highest:
        lows, highs = before.train.value_range()
        raise UserError(
            f"--num_levels={dataset.num_levels}: makes every training image of --dataset="
            f"{dataset.name} one constant, since they hold {lows} to {highs} of "
            f"{before.num_levels} levels; "
            + (
                f"--num_levels={highs + 1} takes them for levels 0 to {highs}"
                if takes_as_levels(before, highs + 1)
                else "leave it out, or use more levels"
            )
        )


def _highest(dataset):
    return max(split.value_range()[1] for split in (dataset.train, dataset.test))


def uses_few_levels(dataset: Dataset) -> bool:
    """Whether images, taken for 8 bits, hold only the lowest few levels."""
    return not dataset.levels_are_known and _highest(dataset) < FEW_LEVELS


def takes_as_levels(dataset: Dataset, num_levels: int) -> bool:
    """Whether `--num_levels` tells how many levels such images have, instead of quantising them:
    they would not fill even two of the quantised ones."""
    whole = dataset.train.range_is_whole and dataset.test.range_is_whole
    return whole and uses_few_levels(dataset) and _highest(dataset) < num_levels <= FEW_LEVELS


def few_levels_warning(dataset: Dataset) -> list[str]:
    """A sentence if it `uses_few_levels`."""
    if not uses_few_levels(dataset):
        return []
    highest = _highest(dataset)
    return [
        f"--dataset={dataset.name}: no value is above {highest}, but the images count as 8 bits, "
        f"of 256 levels; if they have {highest + 1}, say so by --num_levels={highest + 1}, or in "
        f"an .npz by its array num_levels={highest + 1}"
    ]


def label_warnings(dataset: Dataset) -> list[str]:
    """A sentence if there are classes of which no training image is."""
    labels = getattr(dataset.train, "labels", None)
    if labels is None or dataset.num_classes is None:
        return []
    missing = np.flatnonzero(np.bincount(labels, minlength=dataset.num_classes) == 0)
    if not missing.size:
        return []
    return [
        f"--dataset={dataset.name}: of {dataset.num_classes:,} classes {missing.size:,} have no "
        f"training image: {_ranges(missing)}"
    ]


def _ranges(numbers, most=5):
    """Ascending numbers as "1 to 3, 7, 9 to 12 ..."."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    parts = np.split(numbers, breaks)
    texts = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    return ", ".join(texts[:most]) + (" ..." if len(texts) > most else "")
