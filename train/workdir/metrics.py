"""The numbers of a run: `metrics.jsonl`, TensorBoard, and the progress on the screen."""

import contextlib
import errno
import json
import os
import sys
import time

import tensorflow as tf

from train.errors import writing

GOES_ON = " (the same command goes on from the last checkpoint once this is mended)"


class MetricsLog:
    """Writes rows of numbers to `metrics.jsonl` and TensorBoard.

    Args:
      workdir: the run's folder.
      step: the step that the run continues from. Rows after it, and a half-written last line,
        are dropped: they will be computed again.

    Raises:
      UserError: here and in the methods, if it cannot be written.
    """

    def __init__(self, workdir, step):
        self.path = os.path.join(workdir, "metrics.jsonl")
        with writing(self.path, GOES_ON):
            self._keep_until(step)
            # Unbuffered: a row that could not be written is not tried again at the end.
            self.file = open(self.path, "ab", buffering=0)
            self.writer = tf.summary.create_file_writer(os.path.join(workdir, "tensorboard"))

    def _keep_until(self, step):
        if not os.path.exists(self.path):
            return
        with open(self.path + ".tmp", "w") as kept:
            kept.writelines(
                json.dumps(row) + "\n" for row in read(self.path) if row["step"] <= step
            )
        os.replace(self.path + ".tmp", self.path)

    def write(self, step, **values):
        """Writes one row: the step and the values, floats."""
        row = (json.dumps({"step": step, **values}) + "\n").encode()
        with writing(self.path, GOES_ON):
            written = self.file.write(row)
            if written < len(row):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with writing("tensorboard/", GOES_ON), self.writer.as_default():
            for name, value in values.items():
                if name != "epoch":
                    tf.summary.scalar(name, value, step=step)

    def image(self, step, name, picture):
        """Writes a picture, uint8 `[H, W, C]`, to TensorBoard."""
        with writing("tensorboard/", GOES_ON), self.writer.as_default():
            tf.summary.image(name, picture[None], step=step)

    def close(self):
        self.file.close()
        # A full disk has been told before; here it would hide why the run ends.
        with contextlib.suppress(tf.errors.OpError):
            self.writer.close()


class NoLog:
    """In the place of a `MetricsLog` in a process that writes none."""

    def write(self, step, **values):
        pass

    def image(self, step, name, picture):
        pass

    def close(self):
        pass


def read(path):
    """The rows of a `metrics.jsonl`; lines that are not whole are left out."""
    rows = []
    with open(path) as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "step" in row:
                rows.append(row)
    return rows


class Progress:
    """A bar on a terminal, plain lines otherwise.

    Args:
      total: number of the last step.
      step: step that the run continues from.
      stream: where to write.
    """

    def __init__(self, total, step, stream=sys.stdout):
        self.total = total
        self.start_step = step
        self.start_time = time.monotonic()
        self.stream = stream
        self.bar = None
        if stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=step, file=stream, unit="step", dynamic_ncols=True)

    def advance(self, step):
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def line(self, text):
        """Writes a line of text above the bar."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def report(self, step, epoch, metric, value, images_per_sec):
        """Shows the training numbers: in the bar, or as a line."""
        numbers = f"{metric} {value:.4f}, {images_per_sec:.1f} images/s"
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}")
            self.bar.set_postfix_str(numbers)
            return
        done = step - self.start_step
        left = (self.total - step) * (time.monotonic() - self.start_time) / max(done, 1)
        self.line(f"epoch {epoch}, step {step}/{self.total}, {numbers}, {duration(left)} left")

    def close(self):
        if self.bar is not None:
            self.bar.close()


def duration(seconds):
    """Seconds as `1d 2h`, `2h 3m`, `3m 4s` or `4s`."""
    seconds = int(seconds)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m")]
    parts.append((seconds % 60, "s"))
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number}{unit}" for number, unit in parts[:2])
