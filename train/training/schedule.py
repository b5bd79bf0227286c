"""What is due after which step of a run, and where the order of its data changes."""

from train.config.config import Config
from train.run.restarts import Restarts

LOG, EVALUATE, SAMPLE, SAVE = "log", "evaluate", "sample", "save"


class Schedule:
    """The steps of a run.

    Args:
      config: the run's `Config`.
      steps_per_epoch: number of whole batches in the train split.
      last_step: number of the last step; after it, all is due.
      restarts: the steps from which the run went on with another order.
    """

    def __init__(self, config: Config, steps_per_epoch: int, last_step: int, restarts: Restarts):
        self.steps_per_epoch = steps_per_epoch
        self.last_step = last_step
        self.restarts = restarts
        self.intervals = {
            LOG: config.log_interval,
            EVALUATE: config.eval_interval * steps_per_epoch,
            SAMPLE: config.save_interval * steps_per_epoch,
            SAVE: config.checkpoint_interval,
        }

    def epoch(self, step: int) -> int:
        """The epoch, from 0, that step 1, 2, ... belongs to."""
        return (step - 1) // self.steps_per_epoch

    def due(self, step: int) -> set[str]:
        """What is due after a step: of LOG, EVALUATE, SAMPLE, SAVE."""
        if step == self.last_step:
            return set(self.intervals)
        return {what for what, every in self.intervals.items() if every and step % every == 0}

    def end_of_order(self, step: int) -> int:
        """The step until which the steps after `step` take their data in one order."""
        restarts = [start for start in self.restarts.steps if start > step]
        return min([self.last_step, _next(step, self.steps_per_epoch), *restarts])

    def next_stop(self, step: int) -> int:
        """The next step after which something is due or another order begins."""
        stops = [_next(step, every) for every in self.intervals.values() if every]
        return min([self.end_of_order(step), *stops])


def _next(step, interval):
    """The multiple of `interval` after `step`."""
    return (step // interval + 1) * interval
