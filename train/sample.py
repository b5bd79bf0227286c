"""Samples from a run: `python -m train.sample --workdir=... --num_samples=16`.

With `--complete=top` (or `left`) that half of test images is given, and the rest is sampled.
"""

import os

from absl import flags

from train.errors import UserError, run

FLAGS = flags.FLAGS


def define():
    flags.DEFINE_string("workdir", "", "folder of the run")
    flags.DEFINE_enum("strategy", "auto", ["auto", "one_device", "mirrored"], "as in training")
    flags.DEFINE_integer("nr_gpu", 0, "GPUs to use; 0: all", lower_bound=0)
    flags.DEFINE_string("data_dir", "", "where tfds data sets are, if elsewhere than in training")
    flags.DEFINE_string("output", "", "files to write, without extension; default: in the workdir")
    flags.DEFINE_integer("num_samples", 16, "number of images; with --complete: of originals")
    flags.DEFINE_enum("complete", None, ["top", "left"], "complete test images, given this half")
    flags.DEFINE_integer("num_completions", 6, "completions of each image")
    flags.DEFINE_integer("label", None, "class of all images (class-conditional models)")
    flags.DEFINE_integer("seed", 1, "random seed")
    flags.DEFINE_float("temperature", 1.0, "below 1: less varied than the model")
    flags.DEFINE_bool("averaged", True, "use the averaged parameters, not the raw ones")


def main(_):
    if FLAGS.num_samples < 1:
        raise UserError(f"--num_samples={FLAGS.num_samples}: must be at least 1")
    if not FLAGS.temperature > 0:
        raise UserError(f"--temperature={FLAGS.temperature}: must be above 0")
    if FLAGS.num_completions < 1:
        raise UserError(f"--num_completions={FLAGS.num_completions}: must be at least 1")
    if FLAGS.complete and FLAGS.label is not None:
        raise UserError("--label: --complete takes the labels of the test images; use only one")
    from train.devices.strategy import make_strategy
    from train.output.samples import write_completions, write_samples
    from train.workdir.restore import load_data, load_run

    strategy = make_strategy(FLAGS.strategy, FLAGS.nr_gpu)
    config, raw, averaged, step = load_run(FLAGS.workdir)
    model = averaged if FLAGS.averaged else raw
    labels = None
    if FLAGS.label is not None:
        if model.num_classes is None:
            raise UserError(f"--label={FLAGS.label}: the model is not class-conditional")
        labels = [FLAGS.label] * FLAGS.num_samples
    kind = "completion" if FLAGS.complete else "sample"
    path = FLAGS.output or os.path.join(FLAGS.workdir, "samples", f"{kind}_{step:07d}")
    options = dict(seed=FLAGS.seed, path=path, temperature=FLAGS.temperature)
    try:
        if FLAGS.complete:
            write_completions(
                model,
                load_data(config, FLAGS.data_dir),
                FLAGS.complete,
                FLAGS.num_samples,
                FLAGS.num_completions,
                **options,
            )
        else:
            write_samples(model, FLAGS.num_samples, labels=labels, strategy=strategy, **options)
    except (ValueError, OSError) as error:  # of the sampler, which names argument and value
        raise UserError(str(error)) from None


if __name__ == "__main__":
    define()
    run(main)
