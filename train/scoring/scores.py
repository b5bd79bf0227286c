"""The log-likelihood of images of any size, pixel by pixel, and tables of it."""

import csv
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.likelihoods.base import bits_per_dim, nats_to_bits
from pixelcnn_tf.models.image_model import AutoregressiveModel
from train.data.image_sources import Image
from train.errors import UserError
from train.files import atomic_write
from train.run.models import check_condition_size
from train.scoring.complexity import complexity_bits

EAGER_BATCHES = 3  # of one size that are computed without compiling, which takes as long as 4


class Score(NamedTuple):
    """What is known of an image: a row of the table. A column that is None everywhere is left out.

    Attributes:
      name, height, width: of the image.
      log_prob_nats: log-probability of the whole image.
      bits_per_dim: bits per sub-pixel.
      likelihood_ratio_nats: log-probability minus that of the background model.
      complexity_bits: see `train.scoring.complexity`.
      complexity_score: bits of the likelihood minus those of the complexity.
      label: the class that it was scored with.
      dims: number of sub-pixels; no column.
    """

    name: str
    height: int
    width: int
    log_prob_nats: float
    bits_per_dim: float
    likelihood_ratio_nats: float | None = None
    complexity_bits: int | None = None
    complexity_score: float | None = None
    label: int | None = None
    dims: int = 1


class Scorer:
    """A model's log-likelihood of images of any size.

    Args:
      model: an `AutoregressiveModel` with a likelihood.
    """

    def __init__(self, model: AutoregressiveModel):
        self.model = model
        self._functions = {}  # (height, width) -> of images of this size
        self._batches = {}  # (height, width) -> how many there were

    def pixel_nats(self, images: list[Image]) -> np.ndarray:
        """The log-probability of every pixel, float64 `[B, H, W]`, nats.

        Args:
          images: B of one size, as `train.run.image_adapter.ImageAdapter` gives them.

        Raises:
          UserError: naming an image, if images of their size have no condition.
        """
        size = images[0].levels.shape[:2]
        arguments = [tf.constant(np.stack([image.levels for image in images]).astype(np.int32))]
        if self.model.num_classes:
            arguments.append(tf.constant([image.label for image in images], tf.int32))
        self._batches[size] = self._batches.get(size, 0) + 1
        if size not in self._functions:
            self._functions[size] = self._make_function(size, len(arguments) > 1, images[0].name)
        function = self._functions[size]
        if self._batches[size] <= EAGER_BATCHES:
            function = function.python_function
        return function(*arguments).numpy().astype(np.float64)

    def _make_function(self, size, takes_labels, name):
        model = self.model.at_size(*size)
        check_condition_size(model, name)

        def pixel_nats(levels, labels=None):
            values = levels_to_input(levels, model.num_levels)
            return model.likelihood.log_prob(values, model(values, labels))

        signature = [tf.TensorSpec([None, *model.image_shape], tf.int32)]
        if takes_labels:
            signature.append(tf.TensorSpec([None], tf.int32))
        return tf.function(pixel_nats, input_signature=signature, autograph=False)


def batches_by_size(
    images: Iterable[Image], batch_size: int, typical_area: int
) -> Iterator[tuple[list[int], list[Image]]]:
    """Collects images into batches of one size each.

    Args:
      images: of any sizes.
      batch_size: of images of `typical_area` pixels; of larger ones a batch has fewer.
      typical_area: height times width.

    Yields:
      `(places, images)`: a batch, and where its images stand in `images`, from 0.
    """
    waiting = {}
    for place, image in enumerate(images):
        size = image.levels.shape[:2]
        batch = waiting.setdefault(size, [])
        batch.append((place, image))
        area = max(1, size[0] * size[1])
        if len(batch) >= min(batch_size, max(1, batch_size * typical_area // area)):
            yield tuple(map(list, zip(*waiting.pop(size), strict=True)))
    for batch in waiting.values():
        yield tuple(map(list, zip(*batch, strict=True)))


def score(
    images: Iterable[Image],
    scorer: Scorer,
    batch_size: int,
    background: Scorer | None = None,
    complexity: bool = False,
    each: Callable[[Image, Score, np.ndarray], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[Score]:
    """Scores images, in their order.

    Args:
      images: as `train.run.image_adapter.ImageAdapter` gives them.
      scorer: of the model.
      batch_size: see `batches_by_size`.
      background: of the background model.
      complexity: whether to compute the columns of the complexity.
      each: is called with every image, its score, and its bits a pixel, float64 `[H, W]`.
      advance: is called with the number of images that were scored, after each batch.

    Raises:
      UserError: naming the image, if its log-probability is not finite.
    """
    height, width, _ = scorer.model.image_shape
    scores = {}
    for places, batch in batches_by_size(images, batch_size, height * width):
        nats = scorer.pixel_nats(batch)
        sums = nats.sum(axis=(1, 2))
        others = background.pixel_nats(batch).sum(axis=(1, 2)) if background else None
        for number, image in enumerate(batch):
            ratio = None if others is None else float(sums[number] - others[number])
            row = _row(image, float(sums[number]), ratio, complexity, scorer.model.num_classes)
            scores[places[number]] = row
            if each is not None:
                each(image, row, -nats_to_bits(nats[number]))
        if advance is not None:
            advance(len(batch))
    return [scores[place] for place in range(len(scores))]


def _row(image, log_prob, ratio, complexity, num_classes):
    shape = image.levels.shape
    for what, value in (("log-probability", log_prob), ("likelihood ratio", ratio)):
        if value is not None and not np.isfinite(value):
            raise UserError(f"{image.name}: its {what} is {value}; are the weights finite?")
    row = Score(
        image.name,
        *shape[:2],
        log_prob_nats=log_prob,
        bits_per_dim=bits_per_dim(-log_prob, shape),
        likelihood_ratio_nats=ratio,
        label=image.label if num_classes else None,
        dims=int(np.prod(shape)),
    )
    if not complexity:
        return row
    bits = complexity_bits(image.levels, image.num_levels)
    return row._replace(
        complexity_bits=bits, complexity_score=float(nats_to_bits(-log_prob)) - bits
    )


def write_csv(path: str, scores: list[Score]) -> None:
    """Writes the table atomically. Raises OSError if it cannot be written."""
    columns = [
        column
        for column in Score._fields
        if column != "dims" and getattr(scores[0], column) is not None
    ]
    with (
        atomic_write(path) as temporary,
        # Names of files may be any bytes.
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in scores:
            values = [getattr(row, column) for column in columns]
            writer.writerow([f"{v:.9g}" if isinstance(v, float) else v for v in values])
