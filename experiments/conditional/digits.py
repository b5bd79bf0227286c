"""Shared by the scripts of this folder: commands of the program, the flags of a model of digits, a
classifier of samples."""

import subprocess
import sys

import keras
import numpy as np

from pixelcnn_tf.levels import levels_to_input

NUM_LEVELS = 2
NUM_CLASSES = 10
# A step of 16 images takes 0.3 s of CPU time, by bfloat16 two thirds of that in float32.
MODEL = dict(
    dataset="mnist",
    model="gated_pixelcnn",
    config="tiny",
    quantize=NUM_LEVELS,
    nr_resnet=8,
    nr_filters=32,
    batch_size=16,
    dtype="mixed_bfloat16",
    lr_decay=0.9996,
    polyak_decay=0.999,
    eval_interval=0,
    num_samples=0,
)


def run(command, **arguments):
    """`python -m train.<command>` with flags, printed first."""
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    print(f"python -m train.{command}", *flags, flush=True)
    subprocess.run([sys.executable, "-m", f"train.{command}", *flags], check=True)


def train_classifier(dataset):
    """A small convolutional classifier of the binarised images; tells its accuracy."""
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
    train, test = dataset.train, dataset.eval
    inputs = levels_to_input(train.images, NUM_LEVELS).numpy()
    classifier.fit(inputs, train.labels, batch_size=128, epochs=2, verbose=0)
    inputs = levels_to_input(test.images, NUM_LEVELS).numpy()
    accuracy = classifier.evaluate(inputs, test.labels, verbose=0)[1]
    print(f"the classifier is right on {accuracy:.2%} of the test images", flush=True)
    return classifier


def judge(classifier, images, labels):
    """The classes that it finds `[N]`; tells the share that it takes for the labels.

    Args:
      classifier: of `train_classifier`.
      images: `[N, H, W, 1]` in [-1, 1].
      labels: what they were drawn for, `[N]`.
    """
    found = np.argmax(classifier.predict(np.asarray(images), verbose=0), axis=-1)
    by_class = [f"{np.mean(found[labels == k] == k):.0%}" for k in range(NUM_CLASSES)]
    print(f"by class: {', '.join(by_class)}")
    print(f"{np.mean(found == labels):.1%} of {len(labels)} samples are classified as their class")
    return found
