"""Measures how often a Gated PixelCNN conditioned on the embedding of an image samples its class.

    python experiments/conditional/embedding.py --data_dir=<prepared tfds data>

Trains an embedding on binarised MNIST with `train.embedding`, and a model conditioned on it with
`train.main`. Samples images conditioned on ten test images, one of each digit, and classifies them
with a small classifier, trained here on the real images. Also samples interpolations between two
test images.
"""

import os

import numpy as np
from absl import app, flags
from digits import MODEL, NUM_CLASSES, NUM_LEVELS, judge, run, train_classifier

from pixelcnn_tf.levels import levels_to_input
from train.data.load import load
from train.data.options import DataOptions
from train.run import Run
from train.sampling.conditioned import (
    ConditionBatch,
    conditions_of,
    write_conditioned,
    write_interpolation,
)
from train.sampling.grid import write_png

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("embedding", "runs/mnist-digits.keras", "file of the embedding")
flags.DEFINE_string("workdir", "runs/mnist-like", "folder of the run")
flags.DEFINE_string("output", "docs/images", "folder of the images conditions_like, _between")
flags.DEFINE_integer("steps", 6000, "training steps of the model")
flags.DEFINE_integer("each", 10, "images like each test image")
flags.DEFINE_list("between", ["0", "6", "3", "5", "4", "9", "1", "7"], "pairs of digits")


def main(_):
    if not os.path.exists(FLAGS.embedding):
        run(
            "embedding",
            dataset="mnist",
            data_dir=FLAGS.data_dir,
            quantize=NUM_LEVELS,
            output=FLAGS.embedding,
        )
    run(
        "main",
        **MODEL,
        data_dir=FLAGS.data_dir,
        workdir=FLAGS.workdir,
        max_steps=FLAGS.steps,
        condition=f"embedding:{FLAGS.embedding}",
    )
    dataset = load("mnist", FLAGS.data_dir, DataOptions(quantize=NUM_LEVELS))
    classifier = train_classifier(dataset)
    model = Run.open(FLAGS.workdir).model()
    images, labels = dataset.eval.images, dataset.eval.labels
    originals = np.stack([images[np.argmax(labels == k)] for k in range(NUM_CLASSES)])  # the first
    given = ConditionBatch(conditions_of(model, originals), originals)
    path = os.path.join(FLAGS.output, "conditions_like")
    write_conditioned(model, given, FLAGS.each, seed=1, path=path)
    with np.load(path + ".npz") as file:
        drawn = levels_to_input(file["images"], NUM_LEVELS)
    judge(classifier, drawn, np.repeat(np.arange(NUM_CLASSES), FLAGS.each))
    os.remove(path + ".npz")

    ends = [int(digit) for digit in FLAGS.between]
    rows = []
    for number, pair in enumerate(zip(ends[::2], ends[1::2], strict=True)):
        pair = ConditionBatch(given.conditions[list(pair)], originals[list(pair)])
        path = os.path.join(FLAGS.workdir, f"between_{number}")
        rows.append(write_interpolation(model, pair, 9, 1, seed=number + 1, path=path))
    write_png(os.path.join(FLAGS.output, "conditions_between.png"), np.concatenate(rows))


if __name__ == "__main__":
    app.run(main)
