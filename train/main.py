"""Trains a model: `python -m train.main --dataset=cifar10`.

The same command again continues a run that was interrupted.
"""

import contextlib
import functools
import os
from collections.abc import Callable

from absl import flags as absl_flags

from train import flags
from train.config import config_json as configuration
from train.config.config import Config
from train.errors import UserError, WorkerLost, reason, run
from train.quiet import start_tensorflow
from train.run.lock import claim, prepare_workdir


def count_steps(config: Config, steps_per_epoch: int) -> int:
    """Number of the last step."""
    steps = config.max_epochs * steps_per_epoch
    return min(steps, config.max_steps) if config.max_steps else steps


def train(config: Config) -> dict[str, float]:
    """Runs a training from its beginning, or from its last checkpoint, to its end.

    Args:
      config: a checked `Config`.

    Returns:
      The final test scores, `{"averaged": bits/dim, "raw": bits/dim}`, or in the metric that
      the model has instead.

    Raises:
      UserError: if configuration, data and folder do not fit, the loss is not finite, or
        something cannot be written.
      Stopped: after SIGTERM or SIGINT, with the state saved.
      WorkerLost: if another process of the run is gone.
    """
    start_tensorflow()
    from train.devices import read_cluster

    distributed = config.strategy in ("auto", "multi_worker")
    num_workers, number = read_cluster() if distributed else (1, 0)
    if number == 0:
        with claim(config.workdir):
            return _train(config, num_workers)
    prepare_workdir(config.workdir)
    return _train(config, num_workers)


def _train(config, num_workers):
    """`train`, in a folder that is ours."""
    saved = configuration.find(config.workdir)
    if saved is not None:
        configuration.refuse_another(saved, config)

    import tensorflow as tf

    from train.devices import Workers, make_strategy

    try:
        strategy = make_strategy(config.strategy, config.nr_gpu)
        return _train_under(strategy, Workers(strategy), config, saved)
    except tf.errors.OpError as error:
        if num_workers == 1:
            raise
        raise WorkerLost(
            "another worker does not answer any more "
            f"({type(error).__name__}: {reason(error)}); start all workers again: they go on from "
            "the last checkpoint"
        ) from None


def start_weights(trainer, say: Callable[[str], None]) -> None:
    """Gives a new run its weights: by the initialisation on data, or those of `--init_from`.

    Args:
      trainer: its `Trainer`.
      say: function that takes a line of text.

    Raises:
      UserError: if `--init_from` names no model, or one of another kind.
    """
    from train.run.restore import load_run

    config, dataset = trainer.config, trainer.dataset
    if not config.init_from:
        num_images = min(config.init_batch_size, dataset.train.num_examples)
        fewer = " (--init_batch_size asks for more)" * (num_images < config.init_batch_size)
        say(f"initialising the weights on {num_images:,} images{fewer} ...")
        trainer.initialize()
        return
    flag = f"--init_from={config.init_from}"
    try:
        saved = configuration.load(config.init_from)
        source = load_run(config.init_from)
    except UserError as error:
        raise UserError(str(error).replace("--workdir=", "--init_from=")) from None
    # Of any size: the weights know none.
    channels = saved.data.image_shape[2]
    any_size = saved.data._replace(image_shape=(*dataset.image_shape[:2], channels))
    configuration.refuse_images_of_another_kind(any_size, config, dataset, f"{flag} knows")
    if source.config.model != config.model:
        raise UserError(f"{flag}: is a {source.config.model}, but --model={config.model}")
    embedding = trainer.embedding.fingerprint if trainer.embedding else ""
    # A Keras model may lie elsewhere and still be the same.
    if (saved.embedding or source.config.condition) != (embedding or config.condition):
        theirs, ours = _shown(source.config, saved.embedding), _shown(config, embedding)
        raise UserError(f"{flag}: was trained with {theirs}, but here there is {ours}")
    try:
        trainer.start_from(source.averaged)
    except ValueError as error:
        raise UserError(f"{flag}: {error}; give the flags of the model there") from None
    say(f"weights: the averages of {config.init_from}, step {source.step}")


def _shown(config, embedding):
    """What a model is given besides classes, with the fingerprint of a Keras model."""
    if not config.condition:
        return "no --condition"
    return f"--condition={config.condition}" + (f" (fingerprint {embedding})" if embedding else "")


def _train_under(strategy, workers, config, saved):
    """`train`, under a strategy."""
    from train.data.load import load_configured
    from train.run.codes import load_vq_vae, prepare_codes
    from train.run.embedding import keep_embedding
    from train.run.metrics import set_aside
    from train.sampling.samples import refuse_too_many
    from train.scoring.published_scores import table
    from train.training.evaluation import others
    from train.training.loop import Loop
    from train.training.signals import StopRequest
    from train.training.trainer import Trainer

    say = functools.partial(print, flush=True) if workers.is_chief else lambda text: None
    vq_vae = load_vq_vae(config)
    prepare_codes(vq_vae, config.data_dir, workers)
    dataset = load_configured(config)
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    if saved is not None:
        configuration.refuse_other_data(saved, config, dataset)
        configuration.refuse_data_read_otherwise(saved, config, dataset)
        configuration.refuse_another_batch(saved, config, strategy.num_replicas_in_sync)
    trainer = Trainer(config, dataset, strategy, workers)
    num_samples = f"--num_samples={config.num_samples}"
    refuse_too_many(trainer.model, config.num_samples, num_samples, vq_vae)
    batch_size = trainer.global_batch_size
    steps_per_epoch = dataset.train.steps_per_epoch(batch_size)
    if steps_per_epoch == 0:
        raise UserError(
            f"--batch_size={config.batch_size} on {strategy.num_replicas_in_sync} replicas: the "
            f"train split has only {dataset.train.num_examples} images"
        )
    last_step = count_steps(config, steps_per_epoch)

    say(
        f"{config.dataset}: {dataset.train.num_examples:,} train and "
        f"{dataset.test.num_examples:,} {dataset.scored} images {dataset.image_shape}, "
        f"{dataset.num_levels} levels{f' ({dataset.note})' if dataset.note else ''}\n"
        f"model: {trainer.model.count_params():,} weights, {config.dtype}, "
        f"{strategy.num_replicas_in_sync} replica(s) on {workers.count} machine(s), global batch "
        f"{batch_size}"
    )
    step = trainer.restore()
    if step is None:
        step = 0
        if workers.is_chief and (before := set_aside(config.workdir)):
            say(
                f"warning: {config.workdir}/checkpoints holds none, so the run begins anew; its "
                f"log until now is {before}"
            )
        start_weights(trainer, say)
    if workers.is_chief:
        fingerprint = keep_embedding(trainer.embedding, config)
        configuration.save(config, dataset, batch_size, fingerprint)
    say(
        f"{config.workdir}: {'continuing at' if step else 'starting at'} step {step} of "
        f"{last_step} ({steps_per_epoch} steps an epoch)"
    )
    if step > last_step:
        say(f"the run is already past step {last_step}")

    with StopRequest() as stop:
        results = Loop(trainer, last_step, stop, vq_vae).run(step)
    metric = trainer.model.likelihood.metric
    scores = {name: result.scores[metric] for name, result in results.items()}
    averaged = results["averaged"]
    if trainer.model.likelihood.has_log_prob:
        rows = [(f"{name} weights", score) for name, score in scores.items()]
        say(table(dataset, rows))
        say(f"  {averaged.loss:.3f} nats an image (averaged weights)")
    else:
        say(
            f"  {dataset.scored} {metric}: {scores['averaged']:.4f} "
            f"(raw weights {scores['raw']:.4f}){others(averaged.scores, metric)}"
        )
    return scores


def main(_) -> None:
    config = flags.to_config()
    try:
        train(config)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rmdir(config.workdir)  # if nothing was written to it
        raise


if __name__ == "__main__":
    flags.define()
    absl_flags.adopt_module_key_flags(flags)  # so that --help shows them
    run(main)
