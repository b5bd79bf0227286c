"""What sampling costs with a condition, or of codes, against sampling without.

    python benchmarks/conditions.py

The cached samplers of pairs of models, with and without, in turn; prints the medians in seconds and
their ratio. Untrained weights: they change no time.
"""

import statistics
import time

import keras
import numpy as np
from absl import app, flags

from pixelcnn_tf import GatedPixelCNN, PixelCNNPlusPlus, sampling
from pixelcnn_tf.levels import levels_to_input

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch", 16, "images drawn at a time")
flags.DEFINE_integer("repeats", 7, "calls of each")

PP = dict(nr_resnet=2, nr_filters=32, nr_logistic_mix=5)
GATED = dict(nr_resnet=5, nr_filters=24, num_head_filters=32)
VECTOR = 16  # numbers of a vector
CODES = dict(image_shape=(7, 7, 1), num_levels=32)
PAIRS = {  # what -> (network, its arguments, those besides)
    "PixelCNN++, grey": (PixelCNNPlusPlus, dict(image_shape=(32, 32, 3), **PP), "grey"),
    "PixelCNN++, small:4": (PixelCNNPlusPlus, dict(image_shape=(28, 28, 1), **PP), "small:4"),
    "Gated PixelCNN, small:4": (GatedPixelCNN, dict(image_shape=(28, 28, 1), **GATED), "small:4"),
    "PixelCNN++, vector": (PixelCNNPlusPlus, dict(image_shape=(28, 28, 1), **PP), "vector"),
    "Gated PixelCNN, vector": (GatedPixelCNN, dict(image_shape=(28, 28, 1), **GATED), "vector"),
    "Gated PixelCNN, embedded codes": (GatedPixelCNN, CODES | GATED, "input_embedding"),
}


def sampler(network, arguments, other):
    """A function that draws a batch, and waits for it."""
    extra = {}
    if other == "vector":
        layers = [keras.Input(arguments["image_shape"]), keras.layers.Flatten()]
        extra = {"condition": keras.Sequential([*layers, keras.layers.Dense(VECTOR)])}
    elif other is not None:
        extra = {"input_embedding": True} if other == "input_embedding" else {"condition": other}
    model, labels = network(**arguments, **extra), None
    if model.condition is not None:
        levels = np.random.default_rng(1).integers(0, 256, [FLAGS.batch, *model.image_shape])
        labels = model.compute_condition(levels_to_input(levels, 256))

    def draw():
        begin = time.perf_counter()
        sampling.sample(model, FLAGS.batch, seed=1, labels=labels, jit_compile=False).numpy()
        return time.perf_counter() - begin

    return draw


def main(_):
    for name, (network, arguments, other) in PAIRS.items():
        draws = sampler(network, arguments, None), sampler(network, arguments, other)
        for draw in draws:
            draw()  # traces
        times = [[draw() for draw in draws] for _ in range(FLAGS.repeats)]
        without, given = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name}: {without:.3f} s without, {given:.3f} s with: {given / without:.2f}")


if __name__ == "__main__":
    app.run(main)
