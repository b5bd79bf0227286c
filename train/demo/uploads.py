"""An image that somebody uploads, made one of a run's."""

import numpy as np

from pixelcnn_tf.levels import dtype_of_levels, quantize_levels
from train.data.decode import read_image, resize
from train.errors import UserError
from train.run import Run

MAX_PIXELS = 2**24  # of an uploaded image: 4,096 x 4,096
LUMA = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


def read_upload(path: str, name: str, run: Run) -> tuple[np.ndarray, list[str]]:
    """Reads an image and makes it one of a run's size, channels and levels: the middle of it,
    resized.

    Args:
      path: of the file.
      name: of the file, for messages.
      run: a run that quantises its training images quantises this one too.

    Returns:
      `(levels, changes)`: uint8 or uint16 `[H, W, C]`, and what was done to the image, in words.

    Raises:
      UserError: in one sentence that begins with the name, if it is no image that can be read.
    """
    data = run.data
    quantised = run.config.quantize > 0
    try:
        picture = read_image(path, "white", MAX_PIXELS)
    except UserError as error:
        raise UserError(str(error).replace(path, name)) from None
    levels, changes = picture.levels, []
    height, width, channels = data.image_shape
    levels, cropped = _middle(levels, height / width)
    if cropped:
        changes.append("cropped to its middle")
    if levels.shape[-1] > channels:
        levels = np.rint(levels @ np.array(LUMA))[..., None].astype(levels.dtype)
        changes.append("turned to grey")
    elif levels.shape[-1] < channels:
        levels = np.repeat(levels, channels, axis=-1)
    if levels.shape[:2] != (height, width):
        changes.append(f"resized from {levels.shape[1]} x {levels.shape[0]} pixels")
        levels = resize(levels, (height, width), picture.num_levels)
    if picture.num_levels != data.num_levels:
        fewer = data.num_levels < picture.num_levels
        if quantised and fewer:
            levels = quantize_levels(levels, picture.num_levels, data.num_levels)
        else:
            levels = np.rint(levels * ((data.num_levels - 1) / (picture.num_levels - 1)))
        levels = levels.astype(dtype_of_levels(data.num_levels))
        if fewer:
            changes.append(f"{'quantised' if quantised else 'rounded'} to {data.num_levels} levels")
    return levels, changes


def _middle(levels, ratio):
    """The largest middle part of this height over width, and whether it is less than all."""
    height, width = levels.shape[:2]
    new_height = min(height, max(1, round(width * ratio)))
    new_width = min(width, max(1, round(height / ratio)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    part = levels[top : top + new_height, left : left + new_width]
    return part, part.shape != levels.shape
