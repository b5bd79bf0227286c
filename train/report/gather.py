"""The data of a report: scores, samples and maps, computed from a run's model and test images."""

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood
from pixelcnn_tf.models.image_model import AutoregressiveModel, ImageModel
from train.config.config import Config
from train.data.dataset import Dataset
from train.data.description import DataDescription
from train.data.image_sources import Image, scored_images
from train.progress import Counter
from train.sampling.samples import check_memory, given_mask
from train.scoring.calibration import Calibration, Coverage, is_calibratable
from train.scoring.receptive_field import default_place, receptive_field
from train.scoring.scores import Score, Scorer, score

LOGGED_SPLITS = ("test", "validation")  # names of the scored split in the log

EXTREMES = 6  # first, best and worst images shown
CALIBRATED = 100  # images of the calibration; those below are the first of them
FIELD_IMAGES = 4  # images over which the receptive field is averaged
COMPLETED = 4  # test images that are completed
COMPLETIONS = 4  # of each
COMPLETED_PART = "top"  # the given half


class ReportOptions(NamedTuple):
    """How many test images to score (0: none are read), how many samples to draw (0: no samples and
    no completions), images scored at a time (0: as in training), seed of samples and completions.
    """

    num_images: int
    num_samples: int
    batch_size: int
    seed: int


class RunContents(NamedTuple):
    """What a report needs of a run.

    Attributes:
      config: its `Config`; `config.workdir` names the run.
      data: its `DataDescription`.
      model: its `ImageModel`.
      step: of the model's weights.
      averaged: whether these are the averaged weights.
      rows: of its log, `{"step": int, name: number, ...}`.
      card: `card.json` of pretrained weights, or None.
      dataset: its `Dataset`, or None if no test images are shown.
      global_batch_size: images per training step.
      versions: package -> version at the last start of training; {} if not recorded.
    """

    config: Config
    data: DataDescription
    model: ImageModel
    step: int
    averaged: bool
    rows: list[dict]
    card: dict | None
    dataset: Dataset | None
    global_batch_size: int
    versions: dict[str, str]

    @property
    def metric(self) -> str:
        return self.model.likelihood.metric


class Curves(NamedTuple):
    """The scores in a run's log, in bits/dim or the run's other metric.

    Attributes:
      train, raw, averaged: `(step, score)`, in training with dropout, and of the scored split with
        raw and averaged weights.
      hours: `(step, hours)` of training steps up to it, without evaluations and checkpoints.
      split: name of the scored split.
    """

    train: list[tuple[int, float]]
    raw: list[tuple[int, float]]
    averaged: list[tuple[int, float]]
    hours: list[tuple[int, float]]
    split: str


class SplitScore(NamedTuple):
    """The score of all images of a split at a step, in the run's metric; in nats/image and with
    its standard error if they are known."""

    step: int
    split: str
    value: float
    loss: float | None
    error: float | None


class ScoredImage(NamedTuple):
    """An image, its score, and its bits per pixel `[H, W]`."""

    image: Image
    score: Score
    bits: np.ndarray


class ReportData(NamedTuple):
    """The data of a report on a run. Missing parts are None or empty.

    Attributes:
      run: the `RunContents`.
      curves: of its log.
      last_score: of its last evaluation, or of its model card.
      scores: of the first test images.
      first, best, worst: some of these images.
      coverage: see `Calibration.result`.
      field: see `receptive_field`, of the pixel `default_place`.
      samples: levels `[N, H, W, C]`.
      originals, completed: first test images, levels `[N, H, W, C]`, and completions of their
        halves `COMPLETED_PART`, `[N, K, H, W, C]`.
    """

    run: RunContents
    curves: Curves
    last_score: SplitScore | None
    scores: Sequence[Score] = ()
    first: Sequence[ScoredImage] = ()
    best: Sequence[ScoredImage] = ()
    worst: Sequence[ScoredImage] = ()
    coverage: dict[str, Coverage] = {}
    field: np.ndarray | None = None
    samples: np.ndarray | None = None
    originals: np.ndarray | None = None
    completed: np.ndarray | None = None


def read_log(run: RunContents) -> tuple[Curves, SplitScore | None]:
    """The curves and the last score of a run. Hours are computed from the logged images/s. If two
    splits were scored one after the other, the curve is of the last one."""
    metric = run.metric

    def points(name):
        return [
            (row["step"], float(row[name]))
            for row in run.rows
            if name in row and math.isfinite(row[name])
        ]

    def last(name):
        found = points(name)
        return found[-1][1] if found else None

    logged = [split for row in run.rows for split in LOGGED_SPLITS if f"{split}/{metric}" in row]
    logged = logged[-1] if logged else LOGGED_SPLITS[0]
    # The log calls any other split "test".
    split = run.dataset.eval_name if run.dataset else logged
    if logged != (split if split in LOGGED_SPLITS else LOGGED_SPLITS[0]):
        split = logged
    hours, total, step = [], 0.0, 0
    for now, speed in points("images_per_sec"):
        if speed > 0 and now > step:
            total += (now - step) * run.global_batch_size / speed / 3600
            step = now
            hours.append((step, total))
    raw, averaged = points(f"{logged}/{metric}_raw"), points(f"{logged}/{metric}")
    curves = Curves(points(f"train/{metric}"), raw, averaged, hours, split)
    if run.card:  # packed weights are rounded, so their scores are not those of the log
        split = run.config.eval_split or LOGGED_SPLITS[0]
        scores = run.card.get("scores", {}).get(split, {})
        if metric not in scores:
            return curves, None
        error = scores.get("standard_error")
        return curves, SplitScore(run.step, split, scores[metric], scores.get("nats"), error)
    found = averaged if run.averaged else raw
    if not found:
        return curves, None
    loss = last(f"{logged}/loss_per_image{'' if run.averaged else '_raw'}")
    error = last(f"{logged}/standard_error") if run.averaged else None
    return curves, SplitScore(found[-1][0], split, found[-1][1], loss, error)


def gather(
    run: RunContents, options: ReportOptions, say: Callable[[str], None] = print
) -> ReportData:
    """Computes the data of a report. Parts that the model does not support are left out.

    Args:
      run: the run.
      options: how much to compute.
      say: function that takes a line of text.

    Raises:
      UserError: if samples would take too much memory, or a score is not finite.
    """
    data = ReportData(run, *read_log(run))
    limit = min(CALIBRATED, options.num_images) if run.dataset else 0
    images = list(islice(scored_images(run.dataset), limit)) if limit else []
    if images and isinstance(run.model.likelihood, Likelihood):
        data = data._replace(**_scores(run, options, say), **_pixels(run.model, images))
    if options.num_samples and isinstance(run.model, AutoregressiveModel):
        data = data._replace(**_samples(run.model, options, images[:COMPLETED], say))
    return data


def _scores(run, options, say):
    """Scores, and the first, best and worst images."""
    total = min(options.num_images, run.dataset.eval.num_examples)
    say(f"scoring {total:,} {run.dataset.eval_name} images ...")
    first, best, worst = [], [], []

    def keep(image, row, bits):
        for kept, sign in ((first, 0), (best, 1), (worst, -1)):
            kept.append(ScoredImage(image, row, bits))
            kept.sort(key=lambda each: sign * each.score.bits_per_dim)
            del kept[EXTREMES:]

    images = islice(scored_images(run.dataset), total)
    size = options.batch_size or run.config.batch_size
    with closing(Counter(("scored", "images"), total, sys.stderr)) as counter:
        scores = score(images, Scorer(run.model), size, each=keep, advance=counter.advance)
    return dict(scores=scores, first=first, best=best, worst=worst)


def _inputs(model, images):
    """`(levels, values, labels)` of images."""
    levels = np.stack([image.levels for image in images])
    labels = np.array([image.label for image in images], np.int32) if model.num_classes else None
    return levels, levels_to_input(levels, model.num_levels), labels


def _pixels(model, images):
    """Receptive field and calibration."""
    _, values, labels = _inputs(model, images[:FIELD_IMAGES])
    place = default_place(model.image_shape)
    found = dict(field=receptive_field(model, values, labels, place))
    if is_calibratable(model.likelihood):
        calibration = Calibration(model.likelihood)
        size = CALIBRATED // 4
        for begin in range(0, len(images), size):
            levels, values, labels = _inputs(model, images[begin : begin + size])
            calibration.add(levels, model(values, labels).numpy())
        found["coverage"] = calibration.result()
    return found


def _samples(model, options, images, say):
    """Samples, and completions of images. Samples are of the classes in turn, or conditioned on the
    images in turn."""
    num = options.num_samples
    check_memory(model, num, f"--num_samples={num}")
    labels = np.arange(num, dtype=np.int32) % model.num_classes if model.num_classes else None
    if images:
        levels, values, given = _inputs(model, images)
        if model.condition is not None:
            given = model.compute_condition(values).numpy()
            labels = given[np.arange(num) % len(images)]
    elif model.condition is not None:
        return {}
    # One batch size, so that the sampler is traced once.
    batch = min(num, COMPLETED * COMPLETIONS)
    batches = math.ceil(num / batch) + math.ceil(len(images) * COMPLETIONS / batch)
    say(f"sampling {num:,} images, completing {len(images)} ...")
    rows = batches * model.image_shape[0]
    with closing(Counter(("sampled", "rows"), rows, sys.stderr)) as counter:
        shared = dict(batch_size=batch, progress=counter.advance)
        drawn = sampling.sample(model, num, options.seed, labels, **shared)
        found = dict(samples=input_to_levels(drawn, model.num_levels).numpy())
        if images:
            mask = given_mask(COMPLETED_PART, model.image_shape)
            given = None if given is None else np.repeat(given, COMPLETIONS, axis=0)
            repeated = np.repeat(values, COMPLETIONS, axis=0)
            drawn = sampling.complete(model, repeated, mask, options.seed, given, **shared)
            completed = input_to_levels(drawn, model.num_levels).numpy()
            completed = completed.reshape(len(images), COMPLETIONS, *model.image_shape)
            found |= dict(originals=levels, completed=completed)
    return found
