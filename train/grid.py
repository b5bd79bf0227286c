"""Grids of images as PNG files."""

import math
import os

import numpy as np
import tensorflow as tf

MIN_SIDE = 64  # smaller images are enlarged by a whole factor, so that one can see them
GAP = 2  # pixels between the images


def to_uint8(levels, num_levels):
    """Integer levels -> 8-bit intensities 0 ... 255."""
    return np.round(np.asarray(levels) * (255.0 / (num_levels - 1))).astype(np.uint8)


def grid(images, columns=None):
    """Arranges uint8 images `[N, H, W, C]` in rows, on white; returns uint8 `[H', W', C]`."""
    num, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    scale = max(1, math.ceil(MIN_SIDE / max(height, width)))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale + GAP, width * scale + GAP
    canvas = np.full((rows * height + GAP, columns * width + GAP, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = GAP + (i // columns) * height, GAP + (i % columns) * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image
    return canvas


def write_png(path, image):
    """Writes uint8 `[H, W, C]` as PNG, whole or not at all."""
    tf.io.write_file(path + ".tmp", tf.io.encode_png(image))
    os.replace(path + ".tmp", path)


def write_npz(path, **arrays):
    """Writes a compressed `.npz`, whole or not at all."""
    with open(path + ".tmp", "wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(path + ".tmp", path)
