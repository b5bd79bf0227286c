"""Scores a run on every image of a split: `python -m train.evaluate --workdir=...`."""

import functools

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.run import Run

FLAGS = absl_flags.FLAGS


def define() -> None:
    flags.define("workdir", "dataset", "split", "data_dir", "strategy", "nr_gpu")
    flags.define(batch_size="images per batch and replica; 0: as in training")


def main(_) -> None:
    opened = Run.open(FLAGS.workdir)
    start_tensorflow()
    from pixelcnn_tf.likelihoods.base import Likelihood
    from train.devices import make_strategy
    from train.run.models import check_condition_size
    from train.scoring.published_scores import table
    from train.training.evaluation import make_evaluate, others

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    with strategy.scope():
        opened.model()
    dataset = opened.dataset(
        FLAGS.split, FLAGS.data_dir, FLAGS.dataset, any_size=bool(FLAGS.dataset)
    )
    size, trained_size = dataset.image_shape[:2], opened.data.image_shape[:2]
    weights = {"averaged": opened.model(True, size)}
    if opened.has_raw_weights:
        weights["raw"] = opened.model(False, size)
    check_condition_size(weights["averaged"], f"--dataset={dataset.name}")
    count = f"{dataset.eval.num_examples:,} {dataset.eval_name} images"
    if size != trained_size:
        count += " of {}x{} (trained on {}x{})".format(*size, *trained_size)
    print(f"{opened.workdir}, step {opened.step}: {count}", flush=True)
    batch_size = (FLAGS.batch_size or opened.config.batch_size) * strategy.num_replicas_in_sync
    rows = []
    for name, model in weights.items():
        say = functools.partial(print, flush=True) if name == "averaged" else None
        loss, scores, error = make_evaluate(model, strategy, say)(dataset.eval, batch_size)
        likelihood = model.likelihood
        unit = "nats/image, " if isinstance(likelihood, Likelihood) else "per image, "
        score = scores[likelihood.metric]
        rest = others(scores, likelihood.metric)
        print(f"{name} weights: {loss:.3f} {unit}{score:.4f} {likelihood.metric}{rest}", flush=True)
        rows.append((f"{name} weights", score, error))
    if isinstance(likelihood, Likelihood):
        print(table(dataset, rows))
    elif dataset.note:
        print(f"note: {dataset.note}")


if __name__ == "__main__":
    define()
    run(main)
