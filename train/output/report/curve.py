"""The curve of a run, from its `metrics.jsonl`: scores against steps and hours."""

import math
from typing import NamedTuple

import numpy as np

SCORED = ("test", "validation")  # what the split that is scored is called in the log


class Curves(NamedTuple):
    """The numbers of a run.

    Attributes:
      train, raw, averaged: `(step, score)`, in bits/dim or the run's other metric: of training with
        dropout, of the split that is scored with raw and averaged weights.
      hours: `(step, hours)` of training up to it, ascending, without evaluations, samples and
        checkpoints.
      loss: loss an image with averaged weights at the last evaluation, or None.
    """

    train: list[tuple[int, float]]
    raw: list[tuple[int, float]]
    averaged: list[tuple[int, float]]
    hours: list[tuple[int, float]]
    loss: float | None = None

    def against_hours(self, points: list[tuple[int, float]]) -> list[tuple[float, float]]:
        """`(hours, score)` of `(step, score)`."""
        steps, hours = np.array([(0, 0.0), *self.hours]).T
        return [(float(np.interp(step, steps, hours)), score) for step, score in points]


def read_curves(rows: list[dict], metric: str, global_batch_size: int) -> Curves:
    """The curves of the rows of a `metrics.jsonl`.

    The log tells no times, but images/s between two of its rows: the hours are summed up from them.

    Args:
      rows: of `train.workdir.rows.read`.
      metric: see `Likelihood.metric`.
      global_batch_size: of the run.
    """

    def points(*names):
        return [
            (row["step"], float(row[name]))
            for row in rows
            for name in names
            if name in row and math.isfinite(row[name])
        ]

    hours, total, step = [], 0.0, 0
    for now, speed in points("images_per_sec"):
        if speed > 0 and now > step:
            total += (now - step) * global_batch_size / speed / 3600
            step = now
            hours.append((step, total))
    losses = points(*(f"{split}/loss_per_image" for split in SCORED))
    return Curves(
        points(f"train/{metric}"),
        points(*(f"{split}/{metric}_raw" for split in SCORED)),
        points(*(f"{split}/{metric}" for split in SCORED)),
        hours,
        losses[-1][1] if losses else None,
    )
