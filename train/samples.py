"""Samples of a model as files: a picture and the numbers."""

import os
import time

import numpy as np

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels
from train.grid import grid, to_uint8, write_npz, write_png
from train.metrics import duration


def write_samples(model, num_samples, seed, path, labels=None, temperature=1.0, say=print):
    """Samples images and writes `<path>.png` (a grid) and `<path>.npz`.

    The `.npz` holds `images`, integer levels `[N, H, W, C]` (uint8 up to 256 levels),
    `num_levels`, `seed` and, for a conditional model, `labels`.

    Args:
      model: an `AutoregressiveModel`.
      num_samples: number of images.
      seed: int.
      path: without extension.
      labels: classes `[N]`; default for a conditional model: 0, 1, 2, ... in turn, as in the
        official `train.py`.
      temperature: see `pixelcnn_tf.sampling.complete`.
      say: function that takes a line of text.

    Returns:
      The grid, uint8 `[H', W', C]`.
    """
    begin = time.monotonic()
    if labels is None and model.num_classes:
        labels = np.arange(num_samples) % model.num_classes
    images = sampling.sample(model, num_samples, seed, labels, temperature=temperature)
    levels = input_to_levels(images, model.num_levels).numpy()
    levels = levels.astype(np.uint8 if model.num_levels <= 256 else np.uint16)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    picture = grid(to_uint8(levels, model.num_levels))
    arrays = {} if labels is None else {"labels": np.asarray(labels, np.int32)}
    write_npz(path + ".npz", images=levels, num_levels=model.num_levels, seed=seed, **arrays)
    write_png(path + ".png", picture)
    say(f"{num_samples} samples in {duration(time.monotonic() - begin)}: {path}.png, .npz")
    return picture
