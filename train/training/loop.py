"""The training loop: steps, and what is due between them."""

import contextlib
import os
import sys
import time

from pixelcnn_tf.models.image_model import AutoregressiveModel
from train.errors import Interrupted, NotFinite, Stopped
from train.progress import Progress, duration
from train.run.codes import Decoder
from train.run.metrics import RESUME, MetricsLog, NoLog
from train.run.restarts import MAX_RESTARTS, Restarts
from train.sampling.conditioned import test_conditions, write_conditioned
from train.sampling.reconstructions import write_reconstructions
from train.sampling.samples import write_samples
from train.training.evaluation import Evaluation, make_evaluate, others
from train.training.schedule import EVALUATE, LOG, SAMPLE, SAVE, Schedule
from train.training.signals import StopRequest
from train.training.trainer import Trainer
from train.training.window import Window

VERSIONS = 4  # images drawn given each condition, in the pictures of a training


class Loop:
    """Runs the steps of a training; logs, evaluates, samples and saves when they are due.

    Args:
      trainer: the run's `Trainer`, restored or initialised.
      last_step: number of the last step.
      stop: a `train.training.signals.StopRequest`.
      decoder: turns the codes that the model is trained on into images, or None.
    """

    def __init__(
        self,
        trainer: Trainer,
        last_step: int,
        stop: StopRequest,
        decoder: Decoder | None = None,
    ):
        self.trainer = trainer
        self.config = trainer.config
        self.dataset = trainer.dataset
        self.workers = trainer.workers
        self.stop = stop
        self.decoder = decoder
        # What has no samples shows what it makes of images, as often as that is scored.
        self.has_samples = isinstance(trainer.model, AutoregressiveModel)
        self.pictures = SAMPLE if self.has_samples else EVALUATE
        self.batch_size = trainer.global_batch_size
        self.metric = trainer.model.likelihood.metric
        # Of the names in the log; a part of another split goes by "test" too.
        self.prefix = "validation" if trainer.dataset.eval_name == "validation" else "test"
        self.restarts = Restarts(self.config.workdir)
        steps_per_epoch = self.dataset.train.steps_per_epoch(self.batch_size)
        self.schedule = Schedule(self.config, steps_per_epoch, last_step, self.restarts)
        self.evaluations = {
            # One line for both, which are compiled one after the other.
            "averaged": make_evaluate(trainer.averaged_model, trainer.strategy, self._say),
            "raw": make_evaluate(trainer.model, trainer.strategy),
        }
        self.results = None  # of the evaluation of the last step done, if there was one

    def run(self, step: int) -> dict[str, Evaluation]:
        """Runs from the trainer's present state, which is that after `step`, to the end.

        Returns:
          The final evaluations, "averaged" and "raw".

        Raises:
          Stopped: after a signal; the state is saved.
          NotFinite: if a loss or a weight is not, and that is not to be mended or cannot.
          UserError: if something cannot be written.
        """
        if self.config.on_nan == "restore" and not step:
            self.trainer.save(0)  # where to go back to from the very beginning
        last_step = self.schedule.last_step
        while True:
            chief = self.workers.is_chief
            self.log = MetricsLog(self.config.workdir, step) if chief else NoLog()
            self.progress = Progress(last_step, step, sys.stdout if chief else None)
            try:
                with contextlib.closing(self.progress), contextlib.closing(self.log):
                    self._catch_up(step)
                    self._run_steps(step)
                    return self.results or self.evaluate()
            except Interrupted:  # by a signal, in that last evaluation: all is saved
                self._end(max(step, last_step))
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
        schedule, trainer = self.schedule, self.trainer
        window = Window(trainer, self.log, self.progress)
        while step < schedule.last_step:
            epoch, skip = divmod(step, schedule.steps_per_epoch)
            seed = self.restarts.seed(self.config.seed, step)
            batches = self.dataset.train.epoch(epoch, self.batch_size, seed, skip)
            batches = iter(trainer.strategy.experimental_distribute_dataset(batches))
            end = schedule.end_of_order(step)
            while step < end:
                count = min(self.config.steps_per_loop, schedule.next_stop(step) - step)
                if not trainer.is_compiled():
                    self._say("compiling the training step ...")
                window.add(trainer.train_steps(batches, count))
                step += count
                self.progress.advance(step)
                self._do_what_is_due(step, window)

    def _do_what_is_due(self, step, window):
        due = self.schedule.due(step)
        if LOG in due:
            window.write(step, self.schedule.epoch(step))
        stopping = self._asked_to_stop()
        if not stopping and due <= {LOG}:
            return
        window.check(step, weights_too=True)
        window.keep()
        self.results = None
        # What belongs to a step is written before its checkpoint, so that a run killed in
        # between does it again and nothing is missing.
        done = not stopping and self._evaluate_and_sample(step, due)
        if not done and self.pictures in due:
            self._forget_samples(step)
        if not done or due & {SAMPLE, SAVE}:
            self.log.flush()
            self.trainer.save(step)
        window.restart_clock()
        if not done:
            self._end(step)

    def _catch_up(self, step):
        """Does what a stop has left undone at the step that the run continues from."""
        due = self.schedule.due(step) & {EVALUATE, self.pictures} if step else ()
        undone = {
            w for w in sorted(due) if self.workers.broadcast_from_chief(not self._is_done(w, step))
        }
        if not self._evaluate_and_sample(step, undone):
            self._end(step)

    def _is_done(self, what, step):
        scored = what != EVALUATE or self.log.has(f"{self.prefix}/{self.metric}")
        if what != self.pictures or not self.config.num_samples:
            return scored
        return scored and os.path.exists(self._samples_path(step) + ".png")

    def _evaluate_and_sample(self, step, due):
        """Does these of what is due; returns whether it could, or was asked to stop before."""
        try:
            if EVALUATE in due:
                self.results = self._evaluate_and_log(step)
            if self.pictures in due and self.config.num_samples:
                self._make_pictures(step)
            return True
        except Interrupted:
            return False

    def _asked_to_stop(self):
        """Whether any process was; each must call it."""
        return bool(self.workers.sum(self.stop.name is not None))

    def _end(self, step):
        raise Stopped(
            f"{self.stop.name or 'another worker'}: stopped after step {step}, which is saved; "
            "rerun the same command to resume"
        )

    def evaluate(self) -> dict[str, Evaluation]:
        """The evaluations of the split that is scored, "averaged" and "raw".

        Raises:
          Interrupted: if any process is asked to stop.
        """

        def between_batches():
            if self._asked_to_stop():
                raise Interrupted

        return {
            name: function(self.dataset.eval, self.batch_size, between_batches)
            for name, function in self.evaluations.items()
        }

    def _evaluate_and_log(self, step):
        begin = time.monotonic()
        results = self.evaluate()
        epoch = self.schedule.epoch(step)
        averaged, raw = results["averaged"], results["raw"]
        values = {}
        for name, score in averaged.scores.items():
            values |= {name: score, f"{name}_raw": raw.scores[name]}
        values |= {"loss_per_image": averaged.loss, "loss_per_image_raw": raw.loss}
        if averaged.standard_error is not None:
            values["standard_error"] = averaged.standard_error
        row = {f"{self.prefix}/{name}": value for name, value in values.items()}
        self.log.write(step, epoch=epoch, **row)
        self._say(
            f"epoch {epoch}, step {step}: {self.dataset.eval_name} {self.metric} "
            f"{averaged.scores[self.metric]:.4f} (raw weights {raw.scores[self.metric]:.4f})"
            f"{others(averaged.scores, self.metric)}, in {duration(time.monotonic() - begin)}"
        )
        return results

    def _samples_path(self, step):
        return os.path.join(self.config.workdir, "samples", f"step_{step:07d}")

    def _make_pictures(self, step):
        if not self.has_samples:
            self._reconstruct(step)
        elif self.trainer.model.condition is not None:
            self._sample_conditioned(step)
        else:
            self._sample(step)

    def _sample(self, step):
        picture = write_samples(
            self.trainer.averaged_model,
            self.config.num_samples,
            self.config.seed,
            self._samples_path(step),
            say=self._say,
            workers=self.workers,
            between_rows=self._between_rows,
            advice=RESUME,
            decoder=self.decoder,
        )
        self.log.image(step, "samples", picture)

    def _between_rows(self):
        if self.stop.name is not None:
            raise Interrupted

    def _sample_conditioned(self, step):
        """A few versions of test images, by the chief alone."""
        if self.workers.is_chief:
            model, num = self.trainer.averaged_model, -(-self.config.num_samples // VERSIONS)
            picture = write_conditioned(
                model,
                test_conditions(model, self.dataset, num),
                min(VERSIONS, self.config.num_samples),
                self.config.seed,
                self._samples_path(step),
                say=self._say,
                # The others would wait for a chief that was interrupted.
                between_rows=None if self.workers.is_multi_worker else self._between_rows,
                advice=RESUME,
            )
            self.log.image(step, "samples", picture)

    def _reconstruct(self, step):
        if self.workers.is_chief:
            path, num = self._samples_path(step), self.config.num_samples
            picture = write_reconstructions(
                self.trainer.averaged_model, self.dataset, num, path, self._say, RESUME
            )
            self.log.image(step, "reconstructions", picture)

    def _forget_samples(self, step):
        """Deletes samples of this step that another order of the data led to: not to be taken
        for those that the continued run is to make."""
        if self.workers.is_chief:
            for ending in (".npz", ".png"):
                with contextlib.suppress(OSError):
                    os.remove(self._samples_path(step) + ending)

    def _say(self, text):
        self.progress.line(text)
