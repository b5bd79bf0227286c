"""How far a float64 network's output moves with the order of its sums, against the uncertainty
that the codec assumes; one row a network and a way of running it.

    python benchmarks/summation_orders.py

Each way is a process of its own, since threads and oneDNN are chosen at TensorFlow's start. A
ratio of 1 would be the margin used up.
"""

import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_tf import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus, RowLSTM
from pixelcnn_tf.codec.float64_copy import copy_in, uncertainty
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.sampling.steps import pixel_steps

BATCH = 8
SMALL = dict(nr_resnet=2, nr_filters=16, num_head_filters=32)
NETWORKS = {
    "PixelCNN++ (1, 24, 5), 28x28x1": (PixelCNNPlusPlus, (28, 28, 1), (1, 24, 5)),
    "PixelCNN++ (2, 32, 10), 8x8x3": (PixelCNNPlusPlus, (8, 8, 3), (2, 32, 10)),
    "PixelCNN++ (5, 64, 10), 8x8x3": (PixelCNNPlusPlus, (8, 8, 3), (5, 64, 10)),
    "Gated PixelCNN, 8x8x3": (GatedPixelCNN, (8, 8, 3), SMALL),
    "PixelCNN, 8x8x3": (PixelCNN, (8, 8, 3), SMALL),
    "Row LSTM, 8x8x3": (RowLSTM, (8, 8, 3), SMALL),
    "Diagonal BiLSTM, 6x6x3": (DiagonalBiLSTM, (6, 6, 3), SMALL),
}
PLAIN = dict(TF_ENABLE_ONEDNN_OPTS="0", TF_NUM_INTRAOP_THREADS="1")
WAYS = {  # -> how it runs, environment
    "whole images, batch 1": ("one", {}),
    "pixel by pixel": ("steps", {}),
    "pixel by pixel, 1 thread, no oneDNN": ("steps", PLAIN),
    "pixel by pixel, XLA": ("xla", {}),
}


def network(name, spread):
    """The network with weights `spread` times those that it starts with."""
    kind, shape, sizes = NETWORKS[name]
    if kind is PixelCNNPlusPlus:
        sizes = dict(zip(("nr_resnet", "nr_filters", "nr_logistic_mix"), sizes, strict=True))
    keras.utils.set_random_seed(1)
    model = kind(shape, **sizes)
    levels = np.random.default_rng(0).integers(0, 256, (BATCH, *shape))
    images = levels_to_input(levels)
    model.initialize(images)
    for variable in model.trainable_variables:
        variable.assign(spread * tf.convert_to_tensor(variable))
    return model, images.numpy()


def output(model, images, how):
    """Parameters `[B, H, W, P]` of a float64 model."""
    if how == "whole":
        return tf.function(model, autograph=False)(tf.constant(images)).numpy()
    if how == "one":
        return np.concatenate([model(images[n : n + 1]).numpy() for n in range(len(images))])
    parameters = pixel_steps(model, jit_compile=how == "xla")(None, len(images))
    known, out = np.zeros_like(images), []
    passes = model.passes_per_pixel
    for row, column in np.ndindex(*images.shape[1:3]):
        parts = []
        for channel in range(passes):
            found = parameters(known, row, column, channel).numpy()
            parts.append(np.split(found, passes, axis=-1)[channel])
            known[:, row, column, channel] = images[:, row, column, channel]
        known[:, row, column] = images[:, row, column]
        out.append(np.concatenate(parts, axis=-1))
    return np.stack(out, axis=1).reshape(*images.shape[:3], -1)


def main():
    if len(sys.argv) > 1:
        name, spread, how, path = sys.argv[1:]
        model, images = network(name, float(spread))
        # The initialisation is in float32, and depends on threads and oneDNN itself.
        with np.load(path + ".weights.npz") as weights:
            model.set_weights([weights[key] for key in weights.files])
        np.save(path, output(copy_in(model, "float64"), images, how))
        return
    print("| network | weights | float32 differs by | way | differs by | of the margin |")
    print("|---|---|---|---|---|---|")
    for name in NETWORKS:
        for spread in (1.0, 3.0):
            model, images = network(name, spread)
            exact = output(copy_in(model, "float64"), images, "whole")
            approximate = model(images).numpy().astype(np.float64)
            scale = 1 + np.abs(exact)
            margin = uncertainty(exact[:4], approximate[:4])
            for way, (how, environment) in WAYS.items():
                if spread > 1 and way != "pixel by pixel" or how == "xla" and "(1," not in name:
                    continue  # they take long, and tell little more
                with tempfile.TemporaryDirectory() as folder:
                    path = os.path.join(folder, "x.npy")
                    np.savez(path + ".weights.npz", *model.get_weights())
                    command = [sys.executable, __file__, name, str(spread), how, path]
                    subprocess.run(
                        command, check=True, env=os.environ | environment, stderr=subprocess.DEVNULL
                    )
                    other = np.load(path)
                moved = np.max(np.abs(other - exact) / scale)
                off = np.max(np.abs(approximate - exact) / scale)
                row = [name, f"x {spread:g}", f"{off:.1e}", way, f"{moved:.1e}"]
                print("| " + " | ".join([*row, f"{moved / margin:.4f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
