"""Checks of a data set before training: levels and labels that are probably a mistake."""

import numpy as np

from train.data.dataset import Dataset
from train.errors import ArgumentError

FEW_LEVELS = 17  # 8-bit images that use only this many of the lowest levels hardly have 256


def check_not_constant(dataset: Dataset) -> None:
    """Raises ArgumentError if every training image is one and the same constant."""
    lowest, highest = dataset.train.value_range()
    if lowest == highest:
        raise ArgumentError(
            "dataset",
            dataset.name,
            f"every training image is the constant {lowest} (of levels 0 to "
            f"{dataset.num_levels - 1})",
        )


def check_not_constant_after(dataset: Dataset, before: Dataset) -> None:
    """Raises ArgumentError if quantisation has made every training image one constant."""
    lowest, highest = dataset.train.value_range()
    if lowest == highest:
        lows, highs = before.train.value_range()
        raise ArgumentError(
            "quantize",
            dataset.num_levels,
            f"makes every training image of --dataset={dataset.name} constant: they hold {lows} to "
            f"{highs} of {before.num_levels} levels; leave it out, use more levels, or declare the "
            f"levels of the data by --num_levels={max(highs + 1, 2)}",
        )


def declare_levels(dataset: Dataset, num_levels: int) -> Dataset:
    """The data set with `num_levels` levels, as its user declares.

    Raises:
      ArgumentError: if the source says otherwise, or an image has a higher level.
    """
    argument = "num_levels", num_levels
    if dataset.levels_are_known and dataset.num_levels != num_levels:
        raise ArgumentError(
            *argument,
            f"--dataset={dataset.name} has {dataset.num_levels} levels; --quantize={num_levels} "
            "reduces them",
        )
    if num_levels == dataset.num_levels:
        return dataset
    splits = (dataset.train, dataset.eval)
    highest = max(split.value_range()[1] for split in splits)
    if highest >= num_levels:
        raise ArgumentError(
            *argument,
            f"declares levels 0 to {num_levels - 1}, but --dataset={dataset.name} has values up to "
            f"{highest}; --quantize={num_levels} reduces the levels of the data",
        )
    if not all(split.range_is_whole for split in splits):
        text = f"--dataset={dataset.name} is streamed, its values are not known beforehand"
        raise ArgumentError(*argument, text)
    declared = dataset._replace(num_levels=num_levels, benchmark="", levels_are_known=True)
    return declared.add_note(f"its values are levels 0 to {num_levels - 1}, as declared")


def few_levels_warning(dataset: Dataset) -> list[str]:
    """A sentence if images that are taken for 8 bits hold only the lowest few levels."""
    highest = max(split.value_range()[1] for split in (dataset.train, dataset.eval))
    if dataset.levels_are_known or highest >= FEW_LEVELS:
        return []
    return [
        f"--dataset={dataset.name}: no value is above {highest}, but the images are taken to have "
        f"256 levels; if they have {highest + 1}, declare that: --num_levels={highest + 1}, or an "
        f"array num_levels={highest + 1} in an .npz"
    ]


def label_warnings(dataset: Dataset) -> list[str]:
    """A sentence if there are classes without a training image."""
    labels = getattr(dataset.train, "labels", None)
    if labels is None or dataset.num_classes is None:
        return []
    missing = np.flatnonzero(np.bincount(labels, minlength=dataset.num_classes) == 0)
    if not missing.size:
        return []
    return [
        f"--dataset={dataset.name}: {missing.size:,} of {dataset.num_classes:,} classes have no "
        f"training image: {_ranges(missing)}"
    ]


def _ranges(numbers, most=5):
    """Ascending numbers as "1 to 3, 7, 9 to 12 ..."."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    parts = np.split(numbers, breaks)
    texts = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    return ", ".join(texts[:most]) + (" ..." if len(texts) > most else "")
