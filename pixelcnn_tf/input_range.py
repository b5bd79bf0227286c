"""Images in [0, 1] or [0, 255], where the network wants [-1, 1]: nothing fails, nothing works."""

import numpy as np

from pixelcnn_tf.levels import half_bin

CHECKED = 64  # images of a batch that are looked at
TOLERANCE = 1e-3


def range_fault(images: np.ndarray, num_levels: int) -> str | None:
    """What looks wrong with the range of images, or None.

    Images in [0, 1] are told from bright ones by values that lie between two levels: 0 and 1/255
    times an even number do. (With an odd number of levels 0 is one, and they pass.)

    Args:
      images: floats `[B, H, W, C]`; the first 64 are looked at.
      num_levels: number of levels per channel.
    """
    images = np.asarray(images[:CHECKED], np.float32)
    if not images.size:
        return None
    low, high = float(images.min()), float(images.max())
    if max(-low, high) > 1.0 + TOLERANCE:
        found = f"values of {low:g} to {high:g}"
    elif low >= 0.0 and high > low and _between_levels(images, num_levels):
        found = f"values of {low:g} to {high:g} that are no levels, as of images in [0, 1]"
    else:
        return None
    return (
        f"images: {found}; the network takes floats in [-1, 1], as "
        "pixelcnn_tf.levels.levels_to_input makes them of integer levels"
    )


def _between_levels(images, num_levels):
    width = 2.0 * half_bin(num_levels)
    places = (images + 1.0) / width
    return bool((np.abs(places - np.round(places)) > 0.25).any())
