"""Scores a run on every image of a split: `python -m train.evaluate --workdir=...`."""

import functools

from absl import flags

from train.config import config_json as configuration
from train.errors import UserError, run
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS


def define() -> None:
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_enum("strategy", "auto", ["auto", "one_device", "mirrored"], "as in training")
    flags.DEFINE_integer("nr_gpu", 0, "GPUs to use; 0: all", lower_bound=0)
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_string(
        "split",
        "",
        "what to score: test, validation, train, or a part such as train[:10%]; default: as in "
        "training (--eval_split)",
    )
    flags.DEFINE_string(
        "dataset", "", "another data set of the same kind, its images of any one size"
    )
    flags.DEFINE_integer("batch_size", 0, "images a batch and replica; 0: as in training")


def main(_) -> None:
    if FLAGS.batch_size < 0:
        raise UserError(f"--batch_size={FLAGS.batch_size}: must be at least 0")
    configuration.require_run(FLAGS.workdir)
    start_tensorflow()
    from train.data.load import describe
    from train.devices import make_strategy
    from train.run.data import load_data
    from train.run.restore import load_run, require_condition
    from train.scoring.published_scores import table
    from train.training.evaluation import make_evaluate, others

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    with strategy.scope():
        config, raw, averaged, step = load_run(FLAGS.workdir)
    trained_size = averaged.image_shape[:2]
    if FLAGS.dataset:  # as it is: what the run did to its own splits and sizes is left out
        config = config.replace(
            dataset=FLAGS.dataset, train_split="", eval_split="", resize="", crop=""
        )
        if not FLAGS.dataset.startswith("folder:"):
            config = config.replace(alpha="", skip_broken=False)
        data_dir = FLAGS.data_dir or config.data_dir
        if config.binarize and describe(FLAGS.dataset, data_dir).num_levels == 2:
            config = config.replace(binarize="")
    if FLAGS.split:
        config = config.replace(eval_split=FLAGS.split)
    try:
        dataset = load_data(config, FLAGS.data_dir, any_size=bool(FLAGS.dataset))
    except UserError as error:
        if not FLAGS.split:
            raise
        raise UserError(str(error).replace("--eval_split=", "--split=")) from None
    batch_size = (FLAGS.batch_size or config.batch_size) * strategy.num_replicas_in_sync
    count = f"{dataset.test.num_examples:,} {dataset.scored} images"
    height, width, _ = dataset.image_shape
    averaged = averaged.at_size(height, width)
    require_condition(averaged, f"--dataset={FLAGS.dataset}")
    weights = {"averaged": averaged}
    if raw is not None:
        weights["raw"] = raw.at_size(height, width)
    if averaged.image_shape[:2] != trained_size:
        count += f" of {height}x{width} (trained on {trained_size[0]}x{trained_size[1]})"
    print(f"{FLAGS.workdir}, step {step}: {count}", flush=True)
    rows = []
    for name, scored in weights.items():
        say = functools.partial(print, flush=True) if name == "averaged" else None
        loss, scores = make_evaluate(scored, strategy, say)(dataset.test, batch_size)
        metric = scored.likelihood.metric
        unit = "nats an image, " if scored.likelihood.has_log_prob else "an image, "
        told = f"{loss:.3f} {unit}{scores[metric]:.4f} {metric}{others(scores, metric)}"
        print(f"{name} weights: {told}", flush=True)
        rows.append((f"{name} weights", scores[metric]))
    if averaged.likelihood.has_log_prob:
        print(table(dataset, rows))
    elif dataset.note:
        print(f"note: {dataset.note}")


if __name__ == "__main__":
    define()
    run(main)
