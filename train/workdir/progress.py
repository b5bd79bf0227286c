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
