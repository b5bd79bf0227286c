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

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.config.config import KERAS_FILES
from train.errors import ArgumentError, writing
from train.files import atomic_write, check_writable_file

FLAGS = absl_flags.FLAGS
# Flags of training that say what the images are.
DATA = (
    "dataset",
    "data_dir",
    "num_levels",
    "quantize",
    "binarize",
    "train_split",
    "eval_split",
    "resize",
)
DATA += ("crop", "random_flip", "mutation_rate", "alpha", "skip_broken")
MAX_TRAIN = 20_000  # training images searched for the nearest neighbour
MAX_HELD_OUT = 10_000
REPORT = 100  # steps


def define() -> None:
    flags.define_config(DATA)
    flags.define(output="file to write, .keras")
    integer, number = absl_flags.DEFINE_integer, absl_flags.DEFINE_float
    integer("embedding_dim", 16, "length of the vectors", lower_bound=1)
    integer("nr_filters", 32, "filters of the first convolution", lower_bound=1)
    integer("max_steps", 2000, "steps", lower_bound=1)
    integer("batch_size", 128, "images per batch, of several classes", lower_bound=8)
    integer("seed", 1, "random seed", lower_bound=0, upper_bound=2**31 - 1)
    number("learning_rate", 0.001, "of Adam; falls to 0", lower_bound=0.0, upper_bound=1.0)
    number("margin", 0.2, "distance between classes", lower_bound=0.0, upper_bound=1.0)


def check_flags() -> None:
    """Raises ArgumentError for what is wrong whatever the data are."""
    if not FLAGS.output:
        raise ArgumentError("output", None, "is missing: the file to write, such as mnist.keras")
    if not FLAGS.output.endswith(KERAS_FILES[0]):
        raise ArgumentError("output", FLAGS.output, f"must end in {KERAS_FILES[0]}")
    check_writable_file("output", FLAGS.output)


def main(_) -> None:
    check_flags()
    config = flags.to_config(DATA)
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
    train_vectors = triplets.embed(encoder, dataset.train, dataset.num_levels, MAX_TRAIN)
    held_out = triplets.embed(encoder, dataset.eval, dataset.num_levels, MAX_HELD_OUT)
    accuracy = triplets.nearest_neighbour_accuracy(train_vectors, held_out)
    print(
        f"{accuracy:.2%} of {len(held_out[0]):,} {dataset.eval_name} images have the class of the "
        f"nearest of {len(train_vectors[0]):,} training images"
    )
    with (
        writing(f"--output={FLAGS.output}"),
        tempfile.TemporaryDirectory() as folder,
        atomic_write(FLAGS.output) as temporary,
    ):
        encoder.save(
            os.path.join(folder, f"embedding{KERAS_FILES[0]}")
        )  # Keras goes by the extension
        shutil.copyfile(os.path.join(folder, f"embedding{KERAS_FILES[0]}"), temporary)
    print(f"wrote {FLAGS.output}: --condition=embedding:{FLAGS.output}")


if __name__ == "__main__":
    define()
    run(main)
