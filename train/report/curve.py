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
      loss, loss_raw: loss an image with averaged and with raw weights at the last evaluation, or
        None.
      scored: what the log calls the split that is scored, of `SCORED`.
    """

    train: list[tuple[int, float]]
    raw: list[tuple[int, float]]
    averaged: list[tuple[int, float]]
    hours: list[tuple[int, float]]
    loss: float | None = None
    loss_raw: float | None = None
    scored: str = SCORED[0]

    def against_hours(self, points: list[tuple[int, float]]) -> list[tuple[float, float]]:
        """`(hours, score)` of `(step, score)`."""
        steps, hours = np.array([(0, 0.0), *self.hours]).T
        return [(float(np.interp(step, steps, hours)), score) for step, score in points]


def read_curves(rows: list[dict], metric: str, global_batch_size: int) -> Curves:
    """The curves of the rows of a `metrics.jsonl`.

    The log tells no times, but images/s between two of its rows: the hours are summed up from them.
    Where two splits were scored, one after the other, the curve is of the one scored last.

    Args:
      rows: of `train.run.rows.read`.
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
    return Curves(
        points(f"train/{metric}"),
        points(f"{scored}/{metric}_raw"),
        points(f"{scored}/{metric}"),
        hours,
        *(found[-1][1] if found else None for found in losses),
        scored,
    )
