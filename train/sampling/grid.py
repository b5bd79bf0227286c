"""Grids of images as PNG files."""

import numpy as np
import tensorflow as tf

from pixelcnn_tf.grid import GAP, enlarge
from train.files import atomic_write


def picture_bytes(image_shape: tuple) -> int:
    """Bytes that an image takes in a grid."""
    height, width, channels = image_shape
    scale = enlarge(height, width)
    return (height * scale + GAP) * (width * scale + GAP) * channels


def write_png(path: str, image: np.ndarray) -> None:
    """Writes uint8 `[H, W, C]` as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        tf.io.write_file(temporary, tf.io.encode_png(image))


def write_npz(path: str, **arrays) -> None:
    """Writes a compressed `.npz`, whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
