"""Detects images in [0, 1] or [0, 255]: the network expects [-1, 1] and would train on them
without an error, and badly."""

import numpy as np

from pixelcnn_tf.levels import half_bin

CHECKED = 64  # images of a batch that are checked
TOLERANCE = 1e-3


def range_warning(images: np.ndarray, num_levels: int) -> str | None:
    """The text of a warning if images do not seem to lie in [-1, 1], else None.

    Images in [0, 1] have values between two levels of [-1, 1], which distinguishes them from bright
    images. (With an odd number of levels, 0 is itself a level, and they are not recognised.)

    Args:
      images: floats `[B, H, W, C]`; the first 64 images are checked.
      num_levels: number of levels per channel.
    """
    images = np.asarray(images[:CHECKED], np.float32)
    if not images.size:
        return None
    low, high = float(images.min()), float(images.max())
    if max(-low, high) > 1.0 + TOLERANCE:
        found = f"values from {low:g} to {high:g}"
    elif low >= 0.0 and high > low and _between_levels(images, num_levels):
        found = f"values from {low:g} to {high:g} between levels, as of images in [0, 1]"
    else:
        return None
    return (
        f"images: {found}; the network expects floats in [-1, 1], "
        "pixelcnn_tf.levels.levels_to_input converts integer levels"
    )


def _between_levels(images, num_levels):
    width = 2.0 * half_bin(num_levels)
    places = (images + 1.0) / width
    return bool((np.abs(places - np.round(places)) > 0.25).any())
