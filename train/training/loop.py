"""The training loop: steps, and what is due between them."""

import contextlib
import os
import time

from train.errors import NotFinite, Stopped, writing
from train.output.samples import write_samples
from train.training.evaluation import make_evaluate
from train.training.window import Window
from train.workdir.metrics import GOES_ON, MetricsLog, NoLog
from train.workdir.progress import Progress, duration
from train.workdir.restarts import MAX_RESTARTS, Restarts


class Loop:
    """Runs the steps of a training; logs, evaluates, samples and saves when they are due.

    Args:
      trainer: the run's `Trainer`, restored or initialised.
      last_step: number of the last step.
      stop: a `train.devices.signals.StopRequest`.
    """

    def __init__(self, trainer, last_step, stop):
        self.trainer = trainer
        self.config = trainer.config
        self.dataset = trainer.dataset
        self.workers = trainer.workers
        self.last_step = last_step
        self.stop = stop
        self.batch_size = trainer.global_batch_size
        self.steps_per_epoch = self.dataset.train.steps_per_epoch(self.batch_size)
        self.metric = trainer.model.likelihood.metric
        self.restarts = Restarts(self.config.workdir)
        self.evaluations = {
            "averaged": make_evaluate(trainer.averaged_model, trainer.strategy),
            "raw": make_evaluate(trainer.model, trainer.strategy),
        }
        self.intervals = {
            "log": self.config.log_interval,
            "evaluate": self.config.eval_interval * self.steps_per_epoch,
            "sample": self.config.save_interval * self.steps_per_epoch,
            "save": self.config.checkpoint_interval,
        }
        self.results = None  # of the evaluation of the last step done, if there was one

    def due(self, what, step):
        interval = self.intervals[what]
        return step == self.last_step or (interval > 0 and step % interval == 0)

    def next_stop(self, step):
        """The next step after which something is due, or another order of the data begins."""
        intervals = [*self.intervals.values(), self.steps_per_epoch]
        stops = [(step // interval + 1) * interval for interval in intervals if interval > 0]
        restarts = [start for start in self.restarts.steps if start > step]
        return min([self.last_step, *stops, *restarts])

    def run(self, step):
        """Runs from the trainer's present state, which is that after `step`, to the end.

        Returns:
          The final losses an image and scores, two dicts with the keys averaged and raw.

        Raises:
          Stopped: after a signal; the state is saved.
          NotFinite: if a loss or parameter is not, and that is not to be mended or cannot.
          UserError: if something cannot be written.
        """
        if self.config.on_nan == "restore" and not step:
            self.trainer.save(0)  # where to go back to from the very beginning
        while True:
            if self.workers.is_chief:
                self.log = MetricsLog(self.config.workdir, step)
                self.progress = Progress(self.last_step, step)
            else:
                self.log = NoLog()
                self.progress = Progress(self.last_step, step, stream=open(os.devnull, "w"))
            try:
                with contextlib.closing(self.progress), contextlib.closing(self.log):
                    self._run_steps(step)
                return self.results or self.evaluate()
            except NotFinite as error:
                step = self._go_back(error)

    def _go_back(self, error):
        """Restores the last checkpoint for another try; returns its step."""
        if self.config.on_nan == "stop":
            raise error
        if len(self.restarts.steps) >= MAX_RESTARTS:
            raise NotFinite(f"{error} (--on_nan=restore has gone back {MAX_RESTARTS} times)")
        step = self.trainer.restore()
        if step is None:
            raise error
        self.restarts.add(step, write=self.workers.is_chief)
        if self.workers.is_chief:
            print(
                f"{error.what}; going back to step {step} with another order of the data "
                f"({len(self.restarts.steps)} of {MAX_RESTARTS} times)",
                flush=True,
            )
        return step

    def _run_steps(self, step):
        window = Window(self.trainer, self.log, self.progress)
        while step < self.last_step:
            epoch, skip = divmod(step, self.steps_per_epoch)
            seed = self.restarts.seed(self.config.seed, step)
            batches = self.dataset.train.epoch(epoch, self.batch_size, seed, skip)
            batches = iter(self.trainer.strategy.experimental_distribute_dataset(batches))
            same_order_until = min(
                [(epoch + 1) * self.steps_per_epoch, self.last_step]
                + [start for start in self.restarts.steps if start > step]
            )
            while step < same_order_until:
                count = min(self.config.steps_per_loop, self.next_stop(step) - step)
                window.add(self.trainer.train_steps(batches, count))
                step += count
                self.progress.advance(step)
                self._do_what_is_due(step, epoch, window)

    def _do_what_is_due(self, step, epoch, window):
        stopping = self.workers.sum(self.stop.name is not None) and step < self.last_step
        if self.due("log", step):
            window.write(step, epoch)
        evaluates, samples = self.due("evaluate", step), self.due("sample", step)
        saves = samples or self.due("save", step) or stopping
        if not (evaluates or saves):
            return
        window.check(step, parameters_too=True)
        # What belongs to a step is written before its checkpoint, so that a run killed in
        # between does it again and nothing is missing.
        self.results = self._evaluate_and_log(step, epoch) if evaluates else None
        if samples:
            self._sample(step)
        if saves:
            window.keep()
            self.trainer.save(step)
        window.restart_clock()
        if stopping:
            raise Stopped(
                f"{self.stop.name or 'another worker'}: stopped after step {step}, which is "
                "saved; the same command goes on from there"
            )

    def evaluate(self):
        """Losses an image and scores of the test split, two dicts."""
        losses = {
            name: function(self.dataset.test, self.batch_size)
            for name, function in self.evaluations.items()
        }
        return losses, {name: self.trainer.score(loss) for name, loss in losses.items()}

    def _evaluate_and_log(self, step, epoch):
        begin = time.monotonic()
        losses, scores = self.evaluate()
        self.log.write(
            step,
            epoch=epoch,
            **{
                f"test/{self.metric}": scores["averaged"],
                f"test/{self.metric}_raw": scores["raw"],
                "test/loss_per_image": losses["averaged"],
                "test/loss_per_image_raw": losses["raw"],
            },
        )
        self.progress.line(
            f"epoch {epoch}, step {step}: test {self.metric} {scores['averaged']:.4f} "
            f"(raw parameters {scores['raw']:.4f}), in {duration(time.monotonic() - begin)}"
        )
        return losses, scores

    def _sample(self, step):
        if not self.config.num_samples:
            return
        path = os.path.join(self.config.workdir, "samples", f"step_{step:07d}")
        with writing(path, GOES_ON):
            picture = write_samples(
                self.trainer.averaged_model,
                self.config.num_samples,
                self.config.seed,
                path,
                say=self.progress.line,
                strategy=self.trainer.strategy,
            )
        self.log.image(step, "samples", picture)
