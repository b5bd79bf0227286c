"""Trains an embedding, for `--condition=embedding:<file>`:
`python -m train.embedding --dataset=mnist --output=mnist.keras`.

The file is a Keras model from images, floats in [-1, 1], to vectors of length 1, trained by triplet
loss on the labels. It takes a minute or two, and starts over if it is stopped.
"""

import contextlib
import os
import shutil
import sys
import tempfile

from absl import flags

from train import flags as fields
from train.config.embedding_name import ENDINGS
from train.errors import UserError, run, writing
from train.files import make_writable_folder, whole
from train.quiet import start_tensorflow

FLAGS = flags.FLAGS
# Flags of training that say what the images are.
DATA = ("dataset", "data_dir", "num_levels", "binarize", "train_split", "eval_split", "resize")
DATA += ("crop", "random_flip", "mutation_rate", "alpha", "skip_broken")
KEPT = 20_000  # training images among which the nearest is looked for
ASKED = 10_000  # held-out images
REPORT = 100  # steps


def define() -> None:
    fields.define(DATA)
    flags.DEFINE_string("output", "", "file to write, .keras")
    flags.DEFINE_integer("embedding_dim", 16, "length of the vectors", lower_bound=1)
    flags.DEFINE_integer("nr_filters", 32, "maps of the first convolution", lower_bound=1)
    flags.DEFINE_integer("max_steps", 2000, "steps", lower_bound=1)
    flags.DEFINE_integer("batch_size", 128, "images a batch, of several classes", lower_bound=8)
    flags.DEFINE_float("learning_rate", 0.001, "of Adam; falls to 0")
    flags.DEFINE_float("margin", 0.2, "by which another class is to be further away")
    flags.DEFINE_integer("seed", 1, "random seed", lower_bound=0, upper_bound=2**31 - 1)


def check_flags() -> None:
    """Raises UserError for what is wrong whatever the data are."""
    if not FLAGS.output:
        raise UserError("--output is missing: the file to write, such as mnist.keras")
    if not FLAGS.output.endswith(ENDINGS[0]):
        raise UserError(f"--output={FLAGS.output}: must end in {ENDINGS[0]}")
    if os.path.isdir(FLAGS.output):
        raise UserError(f"--output={FLAGS.output}: is a folder")
    for name in ("learning_rate", "margin"):
        if not 0 < FLAGS[name].value <= 1:
            raise UserError(f"--{name}={FLAGS[name].value}: must be above 0 and at most 1")


def main(_) -> None:
    check_flags()
    config = fields.to_config(DATA)
    start_tensorflow()
    import keras

    from train.data.by_class import class_batches
    from train.data.load import load_configured
    from train.progress import Progress
    from train.training import triplets

    dataset = load_configured(config)
    for warning in dataset.warnings:
        print(f"warning: {warning}", flush=True)
    batches = class_batches(dataset, FLAGS.batch_size, FLAGS.max_steps, FLAGS.seed)
    with writing(f"--output={FLAGS.output}"):
        make_writable_folder(os.path.dirname(FLAGS.output))
    keras.utils.set_random_seed(FLAGS.seed)
    encoder = triplets.make_encoder(dataset.image_shape, FLAGS.nr_filters, FLAGS.embedding_dim)
    print(
        f"{config.dataset}: {dataset.train.num_examples:,} train images {dataset.image_shape} of "
        f"{dataset.num_classes} classes, {dataset.num_levels} levels; embedding of "
        f"{FLAGS.embedding_dim} numbers, {encoder.count_params():,} weights",
        flush=True,
    )
    progress = Progress(FLAGS.max_steps, 0, sys.stdout)

    def report(step, loss):
        progress.advance(step)
        if step % REPORT == 0 or step == FLAGS.max_steps:
            progress.line(f"step {step}/{FLAGS.max_steps}, triplet loss {loss:.4f}")

    with contextlib.closing(progress):
        triplets.train_encoder(
            encoder,
            batches,
            dataset.num_levels,
            FLAGS.max_steps,
            FLAGS.learning_rate,
            FLAGS.margin,
            report,
        )
    known = triplets.embed(encoder, dataset.train, dataset.num_levels, KEPT)
    asked = triplets.embed(encoder, dataset.test, dataset.num_levels, ASKED)
    accuracy = triplets.nearest_neighbour_accuracy(known, asked)
    print(
        f"{accuracy:.2%} of {len(asked[0]):,} {dataset.scored} images have the class of the "
        f"nearest of {len(known[0]):,} training images"
    )
    with (
        writing(f"--output={FLAGS.output}"),
        tempfile.TemporaryDirectory() as folder,
        whole(FLAGS.output) as temporary,
    ):
        encoder.save(os.path.join(folder, f"embedding{ENDINGS[0]}"))  # Keras goes by the ending
        shutil.copyfile(os.path.join(folder, f"embedding{ENDINGS[0]}"), temporary)
    print(f"wrote {FLAGS.output}: --condition=embedding:{FLAGS.output}")


if __name__ == "__main__":
    define()
    flags.adopt_module_key_flags(fields)  # so that --help shows them
    run(main)
