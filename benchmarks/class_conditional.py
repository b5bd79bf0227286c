"""Does a class-conditional Gated PixelCNN draw what it is asked for?

    python benchmarks/class_conditional.py --data_dir=<prepared tfds data>

Trains one on binarised MNIST by `train.main`, draws digits of every class, and asks a small
classifier, trained here on the real images, which class they are of. Prints the share that it
takes for the class asked for, beside its accuracy on the real test images.
"""

import os
import subprocess
import sys
import time

import keras
import numpy as np
from absl import app, flags

from pixelcnn_tf import sampling
from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from train.data.load import load
from train.output.grid import write_npz, write_png
from train.workdir.restore import load_run

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_string("workdir", "runs/mnist-conditional", "folder of the run")
flags.DEFINE_string("output", "docs/class_conditional.png", "picture of the samples")
flags.DEFINE_integer("steps", 1000, "training steps")
flags.DEFINE_integer("per_class", 10, "samples of each class")

NUM_LEVELS = 2
NUM_CLASSES = 10


def train_model():
    arguments = dict(
        dataset="mnist",
        data_dir=FLAGS.data_dir,
        workdir=FLAGS.workdir,
        model="gated_pixelcnn",
        config="tiny",
        num_levels=NUM_LEVELS,
        nr_resnet=6,
        nr_filters=32,
        batch_size=16,
        polyak_decay=0.99,
        max_steps=FLAGS.steps,
        eval_interval=0,
        num_samples=0,
    )
    command = [f"--{name}={value}" for name, value in arguments.items()] + ["--class_conditional"]
    print("python -m train.main", *command, flush=True)
    subprocess.run([sys.executable, "-m", "train.main", *command], check=True)


def train_classifier(dataset):
    """A small convolutional classifier of the binarised images; returns it and its accuracy."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    classifier = keras.Sequential(
        [
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(NUM_CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    train, test = dataset.train, dataset.test
    inputs = levels_to_input(train.images, NUM_LEVELS).numpy()
    classifier.fit(inputs, train.labels, batch_size=128, epochs=2, verbose=0)
    inputs = levels_to_input(test.images, NUM_LEVELS).numpy()
    return classifier, classifier.evaluate(inputs, test.labels, verbose=0)[1]


def main(_):
    train_model()
    dataset = load("mnist", FLAGS.data_dir, NUM_LEVELS)
    classifier, accuracy = train_classifier(dataset)
    print(f"the classifier is right on {accuracy:.2%} of the test images", flush=True)

    _, _, model, _ = load_run(FLAGS.workdir)
    labels = np.repeat(np.arange(NUM_CLASSES), FLAGS.per_class)
    begin = time.monotonic()
    images = sampling.sample(model, len(labels), seed=1, labels=labels, batch_size=len(labels))
    print(f"{len(labels)} samples in {time.monotonic() - begin:.0f} s", flush=True)
    found = np.argmax(classifier.predict(images.numpy(), verbose=0), axis=-1)
    levels = input_to_levels(images, NUM_LEVELS).numpy()
    os.makedirs(os.path.dirname(FLAGS.output) or ".", exist_ok=True)
    write_png(FLAGS.output, grid(to_uint8(levels, NUM_LEVELS), columns=FLAGS.per_class))
    write_npz(
        os.path.join(FLAGS.workdir, "classified.npz"), images=levels, labels=labels, found=found
    )
    by_class = [f"{np.mean(found[labels == k] == k):.0%}" for k in range(NUM_CLASSES)]
    print(f"by class: {', '.join(by_class)}")
    print(f"{np.mean(found == labels):.1%} of {len(labels)} samples are classified as their class")


if __name__ == "__main__":
    app.run(main)
