"""How far a run is, on the screen."""

import time
from typing import TextIO

from tqdm import tqdm


class Progress:
    """A bar on a terminal, plain lines otherwise.

    Args:
      total: number of the last step.
      step: step that the run continues from.
      stream: where to write, or None for nowhere.
    """

    def __init__(self, total: int, step: int, stream: TextIO | None):
        self.total = total
        self.start_step = step
        self.start_time = time.monotonic()
        self.stream = stream
        self.bar = None
        if stream is not None and stream.isatty():
            self.bar = tqdm(total=total, initial=step, file=stream, unit="step", dynamic_ncols=True)

    def advance(self, step: int) -> None:
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def line(self, text: str) -> None:
        """Writes a line of text above the bar."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        elif self.stream is not None:
            print(text, file=self.stream, flush=True)

    def report(
        self, step: int, epoch: int, metric: str, value: float, images_per_sec: float
    ) -> None:
        """Shows the training numbers: in the bar, or as a line."""
        numbers = f"{metric} {value:.4f}, {images_per_sec:.1f} images/s"
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}")
            self.bar.set_postfix_str(numbers)
            return
        done = step - self.start_step
        left = (self.total - step) * (time.monotonic() - self.start_time) / max(done, 1)
        self.line(f"epoch {epoch}, step {step}/{self.total}, {numbers}, {duration(left)} left")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def duration(seconds: float) -> str:
    """Seconds as `1d 2h`, `2h 3m`, `3m 4s` or `4s`."""
    seconds = int(seconds)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m")]
    parts.append((seconds % 60, "s"))
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number}{unit}" for number, unit in parts[:2])


class Counter:
    """How many of a number of things are done: a bar on a terminal, else a line now and then.

    Nothing is shown of work that takes less than `QUIET_SECONDS`.

    Args:
      what: what is done, and to which things: "scored", "images".
      total: how many there are.
      stream: where to write.
    """

    QUIET_SECONDS = 5

    def __init__(self, what: tuple[str, str], total: int, stream: TextIO):
        self.what, self.total, self.stream = what, total, stream
        self.done = 0
        self.begin = self.reported = time.monotonic()
        self.bar = None
        if stream.isatty():
            self.bar = tqdm(
                total=total,
                file=stream,
                desc=what[0],
                unit=what[1],
                dynamic_ncols=True,
                delay=self.QUIET_SECONDS,
            )

    def advance(self, number: int) -> None:
        self.done += number
        if self.bar is not None:
            self.bar.update(number)
            return
        now = time.monotonic()
        if now - self.reported > self.QUIET_SECONDS:
            self.reported = now
            left = duration((self.total - self.done) * (now - self.begin) / self.done)
            verb, noun = self.what
            print(
                f"{verb} {self.done:,} of {self.total:,} {noun}, {left} left",
                file=self.stream,
                flush=True,
            )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
