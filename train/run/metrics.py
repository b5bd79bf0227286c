"""The numbers of a run: `metrics.jsonl` and TensorBoard."""

import contextlib
import errno
import itertools
import json
import os

import numpy as np

from train.errors import UserError, writing
from train.files import write_text

RESUME = " (fix this, then rerun the same command: it resumes from the last checkpoint)"


def read(path: str) -> list[dict]:
    """The rows of a `metrics.jsonl`: `{"step": int, name: number, ...}`.

    Lines that are none are left out, and said unless it is the last, which a killed run leaves
    half-written.

    Raises:
      UserError: if the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    rows = [_row(line) for line in lines]
    damaged = [number for number, row in enumerate(rows[:-1], start=1) if row is None]
    if damaged:
        print(f"{path}: left out what is no row of numbers: {_lines(damaged)}", flush=True)
    return [row for row in rows if row is not None]


def _lines(numbers):
    shown = ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
    return f"line{'s' if len(numbers) > 1 else ''} {shown}"


def _row(line):
    """One line as a row, or None."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(type(value) in (int, float) for value in row.values()) else None


def rotate_log(workdir: str) -> str | None:
    """Renames the log of a run that begins anew, if it has rows; returns its new path, or None. A
    log that was set aside before stays.

    Raises:
      UserError: if it cannot.
    """
    path = os.path.join(workdir, "metrics.jsonl")
    if not os.path.exists(path) or not read(path):
        return None
    names = (f"{path}.before{number or ''}" for number in itertools.count())
    new = next(name for name in names if not os.path.exists(name))
    with writing(path):
        os.replace(path, new)
    return new


class MetricsLog:
    """Writes rows of numbers to `metrics.jsonl` and TensorBoard.

    Args:
      workdir: the run's folder.
      step: the step that the run continues from. Rows after it, and a half-written last line,
        are dropped: they will be computed again.

    Raises:
      UserError: here and in the methods, if it cannot be written.
    """

    def __init__(self, workdir: str, step: int):
        self.path = os.path.join(workdir, "metrics.jsonl")
        with writing(self.path, RESUME):
            self._keep_until(step)
            # Unbuffered: a row that could not be written is not tried again at the end.
            self.file = open(self.path, "ab", buffering=0)
        import tensorflow as tf

        self.summary, self.errors = tf.summary, tf.errors.OpError
        with writing(os.path.join(workdir, "tensorboard"), RESUME):
            self.writer = tf.summary.create_file_writer(os.path.join(workdir, "tensorboard"))

    def _keep_until(self, step):
        rows = read(self.path) if os.path.exists(self.path) else []
        kept = [row for row in rows if row["step"] <= step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self.already = {name for row in kept if row["step"] == step for name in row}

    def has(self, name: str) -> bool:
        """Whether a value of this name was there for the step that the run continues from."""
        return name in self.already

    def flush(self) -> None:
        """Waits until the rows are on the disk."""
        with writing(self.path, RESUME):
            os.fsync(self.file.fileno())

    def write(self, step: int, **values) -> None:
        """Writes one row: the step and the values, floats."""
        row = (json.dumps({"step": step, **values}) + "\n").encode()
        with writing(self.path, RESUME):
            written = self.file.write(row)
            if written < len(row):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with writing("tensorboard/", RESUME), self.writer.as_default():
            for name, value in values.items():
                if name != "epoch":
                    self.summary.scalar(name, value, step=step)

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes a picture, uint8 `[H, W, C]`, to TensorBoard."""
        with writing("tensorboard/", RESUME), self.writer.as_default():
            self.summary.image(name, picture[None], step=step)

    def close(self) -> None:
        self.file.close()
        # A full disk was reported before; here it would hide why the run ends.
        with contextlib.suppress(self.errors):
            self.writer.close()


class NoLog:
    """In the place of a `MetricsLog` in a process that writes none."""

    def has(self, name):
        return False

    def flush(self):
        pass

    def write(self, step, **values):
        pass

    def image(self, step, name, picture):
        pass

    def close(self):
        pass
