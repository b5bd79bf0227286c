"""Measures how often a class-conditional Gated PixelCNN samples the given class.

    python experiments/conditional/class_conditional.py --data_dir=<prepared tfds data>

Trains one on binarised MNIST with `train.main`, samples digits of each class, and classifies them
with a small classifier, trained here on the real images. Prints the share of samples classified as
their class, and the accuracy of the classifier on the real test images.
"""

import os
import time

import numpy as np
from absl import app, flags
from digits import MODEL, NUM_CLASSES, NUM_LEVELS, judge, run, train_classifier

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels
from train.data.load import load
from train.data.options import DataOptions
from train.run import Run
from train.sampling.grid import write_npz, write_png

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("workdir", "runs/mnist-conditional", "folder of the run")
flags.DEFINE_string("output", "docs/images/class_conditional.png", "image of the samples")
flags.DEFINE_integer("steps", 8000, "training steps")
flags.DEFINE_integer("per_class", 10, "samples of each class")


def main(_):
    run(
        "main",
        **MODEL,
        data_dir=FLAGS.data_dir,
        workdir=FLAGS.workdir,
        max_steps=FLAGS.steps,
        class_conditional=True,
    )
    classifier = train_classifier(load("mnist", FLAGS.data_dir, DataOptions(quantize=NUM_LEVELS)))

    model = Run.open(FLAGS.workdir).model()
    labels = np.repeat(np.arange(NUM_CLASSES), FLAGS.per_class)
    begin = time.monotonic()
    images = sampling.sample(model, len(labels), seed=1, labels=labels, batch_size=len(labels))
    print(f"{len(labels)} samples in {time.monotonic() - begin:.0f} s", flush=True)
    found = judge(classifier, images, labels)
    levels = input_to_levels(images, NUM_LEVELS).numpy()
    os.makedirs(os.path.dirname(FLAGS.output) or ".", exist_ok=True)
    write_png(FLAGS.output, grid(to_uint8(levels, NUM_LEVELS), columns=FLAGS.per_class))
    write_npz(
        os.path.join(FLAGS.workdir, "classified.npz"), images=levels, labels=labels, found=found
    )


if __name__ == "__main__":
    app.run(main)
