"""The losses between two rows of the log."""

import math
import time

import numpy as np
import tensorflow as tf

from train.errors import NotFinite


class Window:
    """The training steps since the last row of the log; watches for a loss that is not finite.

    Its state is in the checkpoints, so that a row is the mean of the same steps after a resume.
    """

    def __init__(self, trainer, log, progress):
        self.trainer = trainer
        self.log = log
        self.progress = progress
        self.sum, self.count = (float(value) for value in trainer.window.numpy())
        self.pending = []  # losses not yet looked at: reading them waits for the device
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leaves out of images/s what was not training."""
        self.begin = time.monotonic()
        self.timed = 0

    def add(self, losses: tf.Tensor) -> None:
        """Adds the losses of the next steps, `[count]`."""
        self.pending.append(losses)
        self.timed += losses.shape[0]

    def keep(self) -> None:
        """Notes the state in the trainer's variable, which checkpoints hold."""
        self.trainer.window.assign([self.sum, self.count])

    def check(self, step: int, weights_too: bool = False) -> None:
        """Raises NotFinite if a loss of the window, which ends at `step`, is not finite.

        With `weights_too`, also if a weight is not, which the next loss would show.
        """
        losses = [float(loss) for part in self.pending for loss in np.asarray(part)]
        self.pending = []
        for number, loss in enumerate(losses, start=step - len(losses) + 1):
            if not math.isfinite(loss):
                self._stop(f"the loss is {loss} at step {number}")
            self.sum += loss
            self.count += 1
        if weights_too and not self.trainer.weights_are_finite():
            self._stop(f"the update of step {step} made weights that are not finite")

    def _stop(self, what):
        steps = self.trainer.checkpoints.steps()
        kept = f"the last checkpoint is that of step {steps[-1]}" if steps else "there is none yet"
        raise NotFinite(
            f"{what}; checkpoints are left as they are ({kept}). Try a smaller --learning_rate "
            f"(now {self.trainer.config.learning_rate}) or a larger --init_batch_size, in another "
            "--workdir",
            what,
        )

    def write(self, step: int, epoch: int) -> None:
        """Writes the row of the window that ends at `step`, and begins another."""
        self.check(step)
        batch_size = self.trainer.global_batch_size
        score = self.trainer.score(self.sum / (self.count * batch_size))
        speed = self.timed * batch_size / max(time.monotonic() - self.begin, 1e-9)
        likelihood = self.trainer.model.likelihood
        metric = likelihood.loss_metric
        values = {
            f"train/{metric}": score,
            "learning_rate": self.trainer.learning_rate(step),
            "images_per_sec": speed,
        }
        self.log.write(step, epoch=epoch, **values)
        self.progress.report(step, epoch, metric, score, speed)
        self.sum, self.count = 0.0, 0
        self.restart_clock()
