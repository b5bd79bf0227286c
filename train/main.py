"""Trains a model: `python -m train.main --dataset=cifar10`.

The same command again continues a run that was interrupted.
"""

import contextlib
import math
import os
import tempfile
import time

from absl import flags as absl_flags

from train import config as configuration
from train import flags
from train.errors import UserError, run


def prepare_workdir(config):
    """Creates the run's folder. Raises UserError if it cannot be written to."""
    try:
        os.makedirs(config.workdir, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.workdir):
            pass
    except OSError as error:
        raise UserError(f"--workdir={config.workdir}: not writable ({error.strerror})") from None


def count_steps(config, steps_per_epoch):
    """Number of the last step."""
    steps = config.max_epochs * steps_per_epoch
    return min(steps, config.max_steps) if config.max_steps else steps


def train(config):
    """Runs a training from its beginning, or from its last checkpoint, to its end.

    Args:
      config: a checked `Config`.

    Returns:
      The final test scores, `{"averaged": bits/dim, "raw": bits/dim}`.

    Raises:
      UserError: if configuration, data and folder do not fit, or the loss is not finite.
    """
    prepare_workdir(config)
    configuration.refuse_another(config)

    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from train import data
    from train.evaluation import make_evaluate
    from train.metrics import MetricsLog, Progress, duration
    from train.published import table
    from train.samples import write_samples
    from train.strategy import make_strategy
    from train.training import Trainer

    dataset = data.load(config.dataset, config.data_dir, config.num_levels)
    configuration.refuse_other_data(config, dataset)
    strategy = make_strategy()
    trainer = Trainer(config, dataset, strategy)
    batch_size = trainer.global_batch_size
    steps_per_epoch = dataset.train.steps_per_epoch(batch_size)
    if steps_per_epoch == 0:
        raise UserError(
            f"--batch_size={config.batch_size} on {strategy.num_replicas_in_sync} replicas: the "
            f"train split has only {dataset.train.num_examples} images"
        )
    last_step = count_steps(config, steps_per_epoch)
    metric = trainer.model.likelihood.metric

    step = trainer.restore()
    if step is None:
        step = 0
        trainer.initialize()
    configuration.save(config, dataset)
    print(
        f"{config.dataset}: {dataset.train.num_examples:,} train and "
        f"{dataset.test.num_examples:,} test images {dataset.image_shape}, "
        f"{dataset.num_levels} levels\n"
        f"model: {trainer.model.count_params():,} parameters, "
        f"{strategy.num_replicas_in_sync} replica(s), global batch {batch_size}\n"
        f"{config.workdir}: {'continuing at' if step else 'starting at'} step {step} of "
        f"{last_step} ({steps_per_epoch} steps an epoch)",
        flush=True,
    )
    if step > last_step:
        print(f"the run is already past step {last_step}")

    evaluations = {
        "averaged": make_evaluate(trainer.averaged_model, strategy),
        "raw": make_evaluate(trainer.model, strategy),
    }
    log = MetricsLog(config.workdir, step)
    progress = Progress(last_step, step)

    def evaluate():
        losses = {
            name: function(dataset.test, batch_size) for name, function in evaluations.items()
        }
        return losses, {name: trainer.score(loss) for name, loss in losses.items()}

    def evaluate_and_log(step, epoch):
        begin = time.monotonic()
        losses, scores = evaluate()
        log.write(
            step,
            epoch=epoch,
            **{
                f"test/{metric}": scores["averaged"],
                f"test/{metric}_raw": scores["raw"],
                "test/loss_per_image": losses["averaged"],
                "test/loss_per_image_raw": losses["raw"],
            },
        )
        progress.line(
            f"epoch {epoch}, step {step}: test {metric} {scores['averaged']:.4f} "
            f"(raw parameters {scores['raw']:.4f}), in {duration(time.monotonic() - begin)}"
        )
        return losses, scores

    def sample(step):
        if config.num_samples:
            picture = write_samples(
                trainer.averaged_model,
                config.num_samples,
                config.seed,
                os.path.join(config.workdir, "samples", f"step_{step:07d}"),
                say=progress.line,
            )
            log.image(step, "samples", picture)

    def due(step, interval):
        return step == last_step or (interval > 0 and step % interval == 0)

    results = None
    window = Window(trainer, log, progress)
    try:
        while step < last_step:
            epoch, skip = divmod(step, steps_per_epoch)
            batches = dataset.train.epoch(epoch, batch_size, config.seed, skip)
            for batch in strategy.experimental_distribute_dataset(batches):
                window.add(trainer.train_step(batch))
                step += 1
                progress.advance(step)
                if step % config.log_interval == 0 or step == last_step:
                    window.write(step, epoch)
                evaluates = due(step, config.eval_interval * steps_per_epoch)
                samples = due(step, config.save_interval * steps_per_epoch)
                saves = samples or due(step, config.checkpoint_interval)
                if evaluates or saves:
                    window.check(step, parameters_too=True)
                # What belongs to a step is written before its checkpoint, so that a run killed
                # in between does it again and nothing is missing.
                results = evaluate_and_log(step, epoch) if evaluates else None
                if samples:
                    sample(step)
                if saves:
                    trainer.checkpoints.save(step)
                if evaluates or saves:
                    window.restart_clock()
                if step == last_step:
                    break
    finally:
        progress.close()
        log.close()

    losses, scores = results or evaluate()
    if metric == "bits_per_dim":
        rows = [(f"{name} parameters", score) for name, score in scores.items()]
        print(table(config.dataset, rows, dataset.note))
        print(f"  {losses['averaged']:.3f} nats an image (averaged parameters)")
    else:
        print(f"  test {metric}: {scores['averaged']:.4f} (raw parameters {scores['raw']:.4f})")
    return scores


class Window:
    """The training steps since the last row of the log; watches for a loss that is not finite."""

    def __init__(self, trainer, log, progress):
        self.trainer = trainer
        self.log = log
        self.progress = progress
        self.losses = []
        self.restart_clock()

    def restart_clock(self):
        """Leaves out of images/s what was not training."""
        self.begin = time.monotonic()
        self.timed = 0

    def add(self, loss):
        self.losses.append(loss)
        self.timed += 1

    def check(self, step, parameters_too=False):
        """Raises UserError if a loss of the window, which ends at `step`, is not finite.

        With `parameters_too`, also if a parameter is not, which the next loss would show.
        """
        for number, loss in enumerate(self.losses, start=step - len(self.losses) + 1):
            if not math.isfinite(float(loss)):
                self._stop(f"the loss is {float(loss)} at step {number}")
        if parameters_too and not self.trainer.parameters_are_finite():
            self._stop(f"the update of step {step} made parameters that are not finite")

    def _stop(self, what):
        steps = self.trainer.checkpoints.steps()
        kept = f"the last checkpoint is that of step {steps[-1]}" if steps else "there is none yet"
        raise UserError(
            f"{what}; checkpoints are left as they are ({kept}). Try a smaller --learning_rate "
            f"(now {self.trainer.config.learning_rate}) or a larger --init_batch_size, in another "
            "--workdir"
        )

    def write(self, step, epoch):
        self.check(step)
        batch_size = self.trainer.global_batch_size
        mean = sum(float(loss) for loss in self.losses) / (len(self.losses) * batch_size)
        score = self.trainer.score(mean)
        speed = self.timed * batch_size / max(time.monotonic() - self.begin, 1e-9)
        metric = self.trainer.model.likelihood.metric
        values = {
            f"train/{metric}": score,
            "learning_rate": self.trainer.learning_rate(step),
            "images_per_sec": speed,
        }
        self.log.write(step, epoch=epoch, **values)
        self.progress.report(step, epoch, metric, score, speed)
        self.losses = []
        self.restart_clock()


def main(_):
    config = flags.to_config()
    try:
        train(config)
    except UserError:
        with contextlib.suppress(OSError):
            os.rmdir(config.workdir)  # if nothing was written to it
        raise


if __name__ == "__main__":
    flags.define()
    absl_flags.adopt_module_key_flags(flags)  # so that --help shows them
    run(main)
