"""The data of a report on a run, computed from its folder and its test images."""

import heapq
import math
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.models.image_model import AutoregressiveModel
from train.data.dataset import Dataset
from train.data.image_sources import Image, scored_images
from train.progress import Counter
from train.run import Run
from train.run.config_json import RunConfig
from train.sampling.samples import RowProgress, check_memory, given_mask
from train.scoring.calibration import Calibration, Coverage, is_calibratable
from train.scoring.receptive_field import default_place, receptive_field
from train.scoring.scores import Score, Scorer, score

SCORED = ("test", "validation")  # what the split that is scored is called in the log


EXTREMES = 6  # best, worst and first images shown
CALIBRATED = 100  # images of the calibration
FIELD_IMAGES = 4  # images over which the receptive field is averaged
COMPLETED = 4  # test images that are completed, each so many times
COMPLETIONS = 4


class Curves(NamedTuple):
    """The numbers of a run.

    Attributes:
      train, raw, averaged: `(step, score)`, in bits/dim or the run's other metric: of training with
        dropout, of the split that is scored with raw and averaged weights.
      hours: `(step, hours)` of training up to it, ascending, without evaluations, samples and
        checkpoints.
      loss, loss_raw: per image, with averaged and raw weights, at the last evaluation, or None.
      scored: what the log calls the split that is scored, of `SCORED`.
      error: standard error of the last averaged score over the images, or None.
    """

    train: list[tuple[int, float]]
    raw: list[tuple[int, float]]
    averaged: list[tuple[int, float]]
    hours: list[tuple[int, float]]
    loss: float | None = None
    loss_raw: float | None = None
    scored: str = SCORED[0]
    error: float | None = None

    def against_hours(self, points: list[tuple[int, float]]) -> list[tuple[float, float]]:
        """`(hours, score)` of `(step, score)`."""
        steps, hours = np.array([(0, 0.0), *self.hours]).T
        return [(float(np.interp(step, steps, hours)), score) for step, score in points]


def read_curves(rows: list[dict], metric: str, global_batch_size: int) -> Curves:
    """The curves of the rows of a `metrics.jsonl`.

    The log has images/s, not times: the hours are computed from them.
    Where two splits were scored, one after the other, the curve is of the one scored last.

    Args:
      rows: of `Run.metrics`.
      metric: see `Likelihood.metric`.
      global_batch_size: of the run.
    """

    def points(name):
        return [
            (row["step"], float(row[name]))
            for row in rows
            if name in row and math.isfinite(row[name])
        ]

    splits = [name for row in rows for name in SCORED if f"{name}/{metric}" in row]
    scored = splits[-1] if splits else SCORED[0]
    hours, total, step = [], 0.0, 0
    for now, speed in points("images_per_sec"):
        if speed > 0 and now > step:
            total += (now - step) * global_batch_size / speed / 3600
            step = now
            hours.append((step, total))
    losses = [points(f"{scored}/loss_per_image{ending}") for ending in ("", "_raw")]
    errors = points(f"{scored}/standard_error")
    return Curves(
        points(f"train/{metric}"),
        points(f"{scored}/{metric}_raw"),
        points(f"{scored}/{metric}"),
        hours,
        *(found[-1][1] if found else None for found in losses),
        scored,
        errors[-1][1] if errors else None,
    )


class ReportOptions(NamedTuple):
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
    """An image, its score and its bits per pixel, `[H, W]`."""

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
      loss: per image, or None.
      error: standard error of the value over the images, or None.
    """

    step: int
    split: str
    value: float
    loss: float | None
    error: float | None = None


class ReportData(NamedTuple):
    """The data of a report on a run. What was not asked for, or does not exist, is None or empty.

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
            error = scores.get("standard_error")
            return LastScore(self.step, split, scores[self.metric], scores.get("nats"), error)
        curves = self.curves
        points, loss = curves.averaged, curves.loss
        if not self.averaged:
            points, loss = curves.raw, curves.loss_raw
        if not points:
            return None
        step, value = points[-1]
        error = curves.error if self.averaged else None
        return LastScore(step, self.curve_split, value, loss, error)


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


def read_folder(run: Run, model, dataset: Dataset | None) -> ReportData:
    """The data in a run's folder, before anything is computed.

    Args:
      run: a `Run`.
      model: its model.
      dataset: its `Dataset`, if test images are shown.

    Raises:
      UserError: if its `metrics.jsonl` or its card cannot be read.
    """
    metric = model.likelihood.metric
    return ReportData(
        saved=run.saved,
        step=run.step,
        num_weights=sum(math.prod(variable.shape) for variable in model.trainable_variables),
        metric=metric,
        curves=read_curves(run.metrics(), metric, run.saved.global_batch_size),
        dataset=dataset,
        card=run.card,
    )


def gather(
    known: ReportData, model, options: ReportOptions, say: Callable[[str], None] = print
) -> ReportData:
    """Computes what a report shows of a run.

    Args:
      known: of `read_folder`, with its data set if test images are shown.
      model: its `ImageModel`; unsupported parts are left out.
      options: how much.
      say: function that takes a line of text.

    Raises:
      UserError: if samples would take too much memory, or a score is not finite.
    """
    images = []
    if options.num_images:
        kept = max(CALIBRATED, FIELD_IMAGES, COMPLETED)
        images = list(islice(scored_images(known.dataset), min(kept, options.num_images)))
    if isinstance(model.likelihood, Likelihood) and images:
        known = _with_scores(known, model, options, say)
        known = _with_pixels(known, model, images)
    if options.num_samples and isinstance(model, AutoregressiveModel):
        known = _with_samples(known, model, options, images, say)
    return known


def _with_scores(known, model, options, say):
    total = min(options.num_images, known.dataset.eval.num_examples)
    say(f"scoring {total:,} {known.dataset.eval_name} images ...")
    extremes = _Extremes(EXTREMES)
    counter = Counter(("scored", "images"), total, sys.stderr)
    try:
        scores = score(
            islice(scored_images(known.dataset), total),
            Scorer(model),
            options.batch_size,
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


def _with_samples(known, model, options, images, say):
    """With samples and completions, all of one batch size, for which the sampler is traced once.
    Samples are of the classes in turn, or given the conditions of the first images in turn."""
    images = images[:COMPLETED]
    num = options.num_samples
    check_memory(model, num, f"--num_samples={num}")
    labels = np.arange(num, dtype=np.int32) % model.num_classes if model.num_classes else None
    if model.condition is not None:
        if not images:
            return known
        maps = model.compute_condition(_inputs(model, images)[1])
        labels = np.take(maps, np.arange(num) % len(images), axis=0)
    batch = min(num, COMPLETED * COMPLETIONS)
    progress = RowProgress(model, num, say)
    # Samples and completions are drawn in batches of this size.
    progress.total = model.image_shape[0] * (
        -(-num // batch) + -(-len(images) * COMPLETIONS // batch)
    )
    say(f"sampling {num} images ...")
    samples = sampling.sample(model, num, options.seed, labels, batch_size=batch, progress=progress)
    known = known._replace(samples=input_to_levels(samples, model.num_levels).numpy())
    if not images:
        return known
    say(f"completing {len(images)} images ...")
    levels, values, labels = _inputs(model, images)
    if model.condition is not None:
        labels = model.compute_condition(values).numpy()
    mask = given_mask("top", model.image_shape)
    completed = sampling.complete(
        model,
        np.repeat(values, COMPLETIONS, axis=0),
        mask,
        options.seed,
        None if labels is None else np.repeat(labels, COMPLETIONS, axis=0),
        batch_size=batch,
        progress=progress,
    )
    completed = input_to_levels(completed, model.num_levels).numpy()
    shape = [len(images), COMPLETIONS, *model.image_shape]
    return known._replace(completions=Completions(levels, mask, completed.reshape(shape)))


def most_bits(findings: ReportData) -> float:
    """The bits of a pixel under a uniform distribution."""
    return findings.saved.data.image_shape[-1] * math.log2(findings.saved.data.num_levels)
