"""What a report tells of a run, computed from its folder and its test images."""

import heapq
import math
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.models.base import AutoregressiveModel
from train.data.dataset import Dataset
from train.data.image_sources import Image, scored_images
from train.progress import Counter
from train.report.curve import SCORED, Curves, read_curves
from train.run import Run
from train.run.config_json import RunConfig
from train.sampling.samples import RowProgress, check_memory, given_mask
from train.scoring.calibration import Calibration, Coverage, is_calibratable
from train.scoring.receptive_field import default_place, receptive_field
from train.scoring.scores import Score, Scorer, score

EXTREMES = 6  # best, worst and first images that are shown
CALIBRATED = 100  # images whose pixels' distributions are looked at
FIELD_IMAGES = 4  # images over which the receptive field is averaged
COMPLETED = 4  # test images that are completed, each so many times
COMPLETIONS = 4


class Wanted(NamedTuple):
    """How much is computed for a report.

    Attributes:
      num_images: test images that are scored; 0: no test images are read.
      num_samples: samples; 0: no samples and no completions.
      batch_size: images that are scored at a time.
      seed: of samples and completions.
    """

    num_images: int
    num_samples: int
    batch_size: int
    seed: int


class Scored(NamedTuple):
    """An image, its score and its bits a pixel, `[H, W]`."""

    image: Image
    score: Score
    bits: np.ndarray


class Completions(NamedTuple):
    """Completions of test images.

    Attributes:
      originals: levels `[N, H, W, C]`.
      mask: `[H, W]`, 1 where the pixel was given.
      completed: levels `[N, K, H, W, C]`.
    """

    originals: np.ndarray
    mask: np.ndarray
    completed: np.ndarray


class LastScore(NamedTuple):
    """The score of all images of a split with averaged weights.

    Attributes:
      step: of the weights.
      split: what it is called.
      value: in bits/dim or the run's other metric.
      loss: loss an image, or None.
    """

    step: int
    split: str
    value: float
    loss: float | None


class Findings(NamedTuple):
    """What is known of a run. What was not asked for, or does not exist, is None or empty.

    Attributes:
      saved: its `config.json`.
      step: of the checkpoint.
      averaged: whether its averaged weights were taken, not the raw ones.
      num_weights: number of trainable weights.
      metric: see `Likelihood.metric`.
      curves: of its `metrics.jsonl`.
      dataset: its `Dataset`.
      scores: of the first test images.
      first, best, worst: some of them, `Scored`.
      samples: levels `[N, H, W, C]`.
      completions: of the first test images.
      coverage: see `Calibration.result`.
      field: see `receptive_field`, or None; `place` is the pixel's.
      card: `card.json` of packed weights; {} of a run.
    """

    saved: RunConfig
    step: int
    num_weights: int
    metric: str
    curves: Curves
    averaged: bool = True
    dataset: Dataset | None = None
    scores: Sequence[Score] = ()
    first: Sequence[Scored] = ()
    best: Sequence[Scored] = ()
    worst: Sequence[Scored] = ()
    samples: np.ndarray | None = None
    completions: Completions | None = None
    coverage: dict[str, Coverage] = {}
    field: np.ndarray | None = None
    place: tuple[int, int] = (0, 0)
    card: dict = {}

    @property
    def workdir(self) -> str:
        return self.saved.config.workdir

    @property
    def curve_split(self) -> str:
        """What the split of the curves is called; the log knows two names."""
        scored = self.dataset.eval_name if self.dataset else self.curves.scored
        in_log = scored if scored in SCORED else SCORED[0]
        return scored if in_log == self.curves.scored else self.curves.scored

    @property
    def last_score(self) -> LastScore | None:
        """That of the last evaluation; of packed weights, which were rounded, that of their card
        and of the split that is scored of them."""
        if self.card:
            split = self.saved.config.eval_split or SCORED[0]
            scores = self.card.get("scores", {}).get(split, {})
            if self.metric not in scores:
                return None
            return LastScore(self.step, split, scores[self.metric], scores.get("nats"))
        curves = self.curves
        points, loss = curves.averaged, curves.loss
        if not self.averaged:
            points, loss = curves.raw, curves.loss_raw
        if not points:
            return None
        step, value = points[-1]
        return LastScore(step, self.curve_split, value, loss)


class _Extremes:
    """Keeps the first images, the best and the worst of any number."""

    def __init__(self, count: int):
        self.count, self.number = count, 0
        self.first, self.lowest, self.highest = [], [], []

    def add(self, image: Image, row: Score, bits: np.ndarray) -> None:
        scored = Scored(image, row, bits)
        if self.number < self.count:
            self.first.append(scored)
        # The number settles ties, so that images are never compared.
        for heap, sign in ((self.lowest, -1), (self.highest, 1)):
            heapq.heappush(heap, (sign * row.bits_per_dim, -self.number, scored))
            if len(heap) > self.count:
                heapq.heappop(heap)
        self.number += 1

    def best(self) -> list[Scored]:
        return [scored for *_, scored in sorted(self.lowest, reverse=True, key=lambda x: x[:2])]

    def worst(self) -> list[Scored]:
        return [scored for *_, scored in sorted(self.highest, reverse=True, key=lambda x: x[:2])]


def read_folder(run: Run, model, dataset: Dataset | None) -> Findings:
    """What a run's folder says, before anything is computed.

    Args:
      run: a `Run`.
      model: its model.
      dataset: its `Dataset`, if test images are shown.

    Raises:
      UserError: if its `metrics.jsonl` or its card cannot be read.
    """
    metric = model.likelihood.metric
    return Findings(
        saved=run.saved,
        step=run.step,
        num_weights=sum(math.prod(variable.shape) for variable in model.trainable_variables),
        metric=metric,
        curves=read_curves(run.metrics(), metric, run.saved.global_batch_size),
        dataset=dataset,
        card=run.card,
    )


def gather(known: Findings, model, wanted: Wanted, say: Callable[[str], None] = print) -> Findings:
    """Computes what a report shows of a run.

    Args:
      known: what its folder tells, with its data set if test images are wanted.
      model: its `ImageModel`; what it cannot give is left out.
      wanted: how much.
      say: function that takes a line of text.

    Raises:
      UserError: if samples would take too much memory, or a score is not finite.
    """
    images = []
    if wanted.num_images:
        kept = max(CALIBRATED, FIELD_IMAGES, COMPLETED)
        images = list(islice(scored_images(known.dataset), min(kept, wanted.num_images)))
    if model.likelihood.has_log_prob and images:
        known = _with_scores(known, model, wanted, say)
        known = _with_pixels(known, model, images)
    if wanted.num_samples and isinstance(model, AutoregressiveModel):
        known = _with_samples(known, model, wanted, images, say)
    return known


def _with_scores(known, model, wanted, say):
    total = min(wanted.num_images, known.dataset.eval.num_examples)
    say(f"scoring {total:,} {known.dataset.eval_name} images ...")
    extremes = _Extremes(EXTREMES)
    counter = Counter(("scored", "images"), total, sys.stderr)
    try:
        scores = score(
            islice(scored_images(known.dataset), total),
            Scorer(model),
            wanted.batch_size,
            each=extremes.add,
            advance=counter.advance,
        )
    finally:
        counter.close()
    return known._replace(
        scores=scores, first=extremes.first, best=extremes.best(), worst=extremes.worst()
    )


def _inputs(model, images):
    """`(levels, values, labels)` of images."""
    levels = np.stack([image.levels for image in images])
    labels = np.array([image.label for image in images], np.int32) if model.num_classes else None
    return levels, levels_to_input(levels, model.num_levels), labels


def _with_pixels(known, model, images):
    """With the calibration and the receptive field."""
    place = default_place(model.image_shape)
    _, values, labels = _inputs(model, images[:FIELD_IMAGES])
    known = known._replace(place=place, field=receptive_field(model, values, labels, place))
    if not is_calibratable(model.likelihood):
        return known
    calibration = Calibration(model.likelihood)
    size = max(1, min(len(images), CALIBRATED // 4))
    for begin in range(0, len(images), size):
        levels, values, labels = _inputs(model, images[begin : begin + size])
        calibration.add(levels, model(values, labels).numpy())
    return known._replace(coverage=calibration.result())


def _with_samples(known, model, wanted, images, say):
    """With samples and completions, all of one batch size, for which the sampler is traced once.
    Samples are of the classes in turn, or given the conditions of the first images in turn."""
    images = images[:COMPLETED]
    num = wanted.num_samples
    check_memory(model, num, f"--num_samples={num}")
    labels = np.arange(num, dtype=np.int32) % model.num_classes if model.num_classes else None
    if model.condition is not None:
        if not images:
            return known
        maps = model.own_condition(_inputs(model, images)[1])
        labels = np.take(maps, np.arange(num) % len(images), axis=0)
    batch = min(num, COMPLETED * COMPLETIONS)
    progress = RowProgress(model, num, say)
    say(f"sampling {num} images ...")
    samples = sampling.sample(model, num, wanted.seed, labels, batch_size=batch, progress=progress)
    known = known._replace(samples=input_to_levels(samples, model.num_levels).numpy())
    if not images:
        return known
    say(f"completing {len(images)} images ...")
    levels, values, labels = _inputs(model, images)
    if model.condition is not None:
        labels = model.own_condition(values).numpy()
    mask = given_mask("top", model.image_shape)
    completed = sampling.complete(
        model,
        np.repeat(values, COMPLETIONS, axis=0),
        mask,
        wanted.seed,
        None if labels is None else np.repeat(labels, COMPLETIONS, axis=0),
        batch_size=batch,
        progress=progress,
    )
    completed = input_to_levels(completed, model.num_levels).numpy()
    shape = [len(images), COMPLETIONS, *model.image_shape]
    return known._replace(completions=Completions(levels, mask, completed.reshape(shape)))


def most_bits(findings: Findings) -> float:
    """What a pixel costs of which nothing is known."""
    return findings.saved.data.image_shape[-1] * math.log2(findings.saved.data.num_levels)
