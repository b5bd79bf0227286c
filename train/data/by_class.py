"""Batches of some classes, several images of each: for a loss that compares images."""

from collections.abc import Iterator

import numpy as np

from train.data.dataset import Dataset
from train.data.splits import IndexedSplit
from train.errors import ArgumentError, UserError

PER_CLASS = 4  # images at least of each class in a batch


def class_batches(dataset: Dataset, batch_size: int, num_batches: int, seed: int) -> Iterator[dict]:
    """Batches of at most `batch_size` training images: as many classes as there is room for with
    `PER_CLASS` images of each, drawn anew for each batch.

    A split that is streamed gives its images in the order of its epochs instead.

    Raises:
      UserError: if it has no labels, or fewer than two classes with two images.
    """
    split = dataset.train
    if dataset.num_classes is None:
        why = f" ({dataset.missing_labels})" if dataset.missing_labels else ""
        raise UserError(f"--dataset={dataset.name} has no labels{why}")
    if not isinstance(split, IndexedSplit):
        return _epochs(split, batch_size, num_batches, seed)
    places = [np.flatnonzero(split.labels == label) for label in range(dataset.num_classes)]
    places = [each for each in places if len(each) > 1]
    if len(places) < 2:
        raise ArgumentError(
            "dataset",
            dataset.name,
            f"{len(places)} of its {dataset.num_classes} classes have "
            "two training images or more, at least 2 must",
        )
    classes = min(len(places), batch_size // PER_CLASS)
    each = batch_size // classes

    def choose(number):
        random = np.random.default_rng([seed, int(number)])
        chosen = random.choice(len(places), classes, replace=False)
        numbers = [random.choice(places[n], each, replace=len(places[n]) < each) for n in chosen]
        return np.concatenate(numbers).astype(np.int32)

    return iter(split.chosen(choose, num_batches, classes * each, seed))


def _epochs(split, batch_size, num_batches, seed):
    epoch, done = 0, 0
    batch_size = min(batch_size, split.num_examples)
    while done < num_batches:
        for batch in split.epoch(epoch, batch_size, seed):
            yield batch
            done += 1
        epoch += 1
