"""A training from its first line to its last score."""

import functools
from collections.abc import Callable

import tensorflow as tf

from pixelcnn_tf.likelihoods.base import Likelihood
from train.config.config import Config
from train.devices import Workers, make_strategy
from train.errors import ArgumentError, WorkerLost, errors_about, reason
from train.run import Run, config_json
from train.run.metrics import rotate_log
from train.sampling.samples import check_memory
from train.scoring.published_scores import table
from train.training.evaluation import others
from train.training.loop import Loop
from train.training.signals import StopRequest
from train.training.trainer import Trainer


def train_run(run: Run, num_workers: int = 1) -> dict[str, float]:
    """Trains a run that `Run.create` made, or resumes it; see `train.main.train`.

    Args:
      run: of `Run.create`.
      num_workers: processes that train it together.
    """
    try:
        strategy = make_strategy(run.config.strategy, run.config.nr_gpu)
        return _train(run, strategy, Workers(strategy))
    except tf.errors.OpError as error:
        if num_workers == 1:
            raise
        raise WorkerLost(
            f"another worker does not answer ({type(error).__name__}: {reason(error)}); start all "
            "workers again to resume from the last checkpoint"
        ) from None


def _train(run, strategy, workers):
    say = functools.partial(print, flush=True) if workers.is_chief else lambda text: None
    decoder = run.load_decoder()
    dataset = run.training_data(strategy.num_replicas_in_sync, workers)
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    trainer = Trainer(run, dataset, strategy, workers)
    num_samples = run.config.num_samples
    check_memory(trainer.model, num_samples, f"--num_samples={num_samples}", decoder)
    batch_size = trainer.global_batch_size
    steps_per_epoch = dataset.train.steps_per_epoch(batch_size)
    if steps_per_epoch == 0:
        raise ArgumentError(
            "batch_size",
            run.config.batch_size,
            f"on {strategy.num_replicas_in_sync} replica(s) a step takes {batch_size} images, but "
            f"the train split has only {dataset.train.num_examples}",
        )
    last_step = count_steps(run.config, steps_per_epoch)
    say(
        f"{dataset.name}: {dataset.train.num_examples:,} train and "
        f"{dataset.eval.num_examples:,} {dataset.eval_name} images {dataset.image_shape}, "
        f"{dataset.num_levels} levels{f' ({dataset.note})' if dataset.note else ''}\n"
        f"model: {trainer.model.count_params():,} weights, {run.config.dtype}, "
        f"{strategy.num_replicas_in_sync} replica(s) on {workers.count} machine(s), global batch "
        f"{batch_size}"
    )
    step = trainer.restore()
    if step is None:
        step = 0
        if workers.is_chief and (rotated := rotate_log(run.folder)):
            say(
                f"warning: {run.path('checkpoints')} has no checkpoint, so the run starts again; "
                f"its previous log is now {rotated}"
            )
        start_weights(trainer, say)
    if workers.is_chief:
        run.write_config(dataset, batch_size)
    name = "max_steps" if last_step == run.config.max_steps else "max_epochs"
    say(
        f"{run.workdir}: {'resuming' if step else 'starting'} at step {step} of {last_step} "
        f"(--{name}={getattr(run.config, name)}, {steps_per_epoch} steps per epoch)"
    )
    if step > last_step:
        say(f"the run is already past step {last_step}")
    with StopRequest() as stop:
        results = Loop(trainer, last_step, stop, decoder).run(step)
    return _report(trainer, results, say)


def count_steps(config: Config, steps_per_epoch: int) -> int:
    """Number of the last step: the smaller of the two limits."""
    limits = [config.max_epochs * steps_per_epoch, config.max_steps]
    return min(limit for limit in limits if limit)


def start_weights(trainer, say: Callable[[str], None]) -> None:
    """Gives a new run its weights: by the data-dependent initialisation, or from `--init_from`."""
    run, config, dataset = trainer.run, trainer.config, trainer.dataset
    if not config.init_from:
        num_images = min(config.init_batch_size, dataset.train.num_examples)
        fewer = " (--init_batch_size asks for more)" * (num_images < config.init_batch_size)
        say(f"initialising the weights on {num_images:,} images{fewer} ...")
        trainer.initialize()
        return
    argument = "init_from", config.init_from
    with errors_about("init_from"):
        source = Run.open(config.init_from)
        model = source.model()
    # Of any size: the network is fully convolutional.
    expected = source.data._replace(image_shape=(*dataset.image_shape[:2], model.image_shape[2]))
    if not config.class_conditional:
        expected = expected._replace(num_classes=None)
    config_json.check_same_kind(expected, dataset, config.dataset, f"--init_from={source.workdir}")
    if source.config.model != config.model:
        text = f"is a {source.config.model}, but --model={config.model}"
        raise ArgumentError(*argument, text)
    embedding = run.embedding_fingerprint
    # A Keras model may lie elsewhere and still be the same.
    if (source.saved.embedding or source.config.condition) != (embedding or config.condition):
        there = _describe_condition(source.config, source.saved.embedding)
        text = f"was trained with {there}, but here there is"
        raise ArgumentError(*argument, f"{text} {_describe_condition(config, embedding)}")
    try:
        trainer.start_from(model)
    except ValueError as error:
        raise ArgumentError(*argument, f"{error}; give the flags of the model there") from None
    say(f"weights: the averages of {config.init_from}, step {source.step}")


def _describe_condition(config, embedding):
    if not config.condition:
        return "no --condition"
    return f"--condition={config.condition}" + (f" (fingerprint {embedding})" if embedding else "")


def _report(trainer, results, say):
    """Prints the final scores; returns them by the kind of weights."""
    likelihood, dataset = trainer.model.likelihood, trainer.dataset
    metric = likelihood.metric
    scores = {name: result.scores[metric] for name, result in results.items()}
    averaged = results["averaged"]
    if isinstance(likelihood, Likelihood):
        rows = [(f"{name} weights", *_score(result, metric)) for name, result in results.items()]
        say(table(dataset, rows))
        say(f"  {averaged.loss:.3f} nats/image (averaged weights)")
    else:
        say(
            f"  {dataset.eval_name} {likelihood.metric}: {scores['averaged']:.4f} (raw weights "
            f"{scores['raw']:.4f}){others(averaged.scores, likelihood.metric)}"
        )
    return scores


def _score(result, metric):
    return result.scores[metric], result.standard_error
