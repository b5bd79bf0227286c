"""An uploaded image, converted to one of a run's images."""

import os

import numpy as np

from pixelcnn_tf.levels import dtype_of_levels, quantize_levels
from train.data.decode import read_image, resize
from train.errors import UserError
from train.run import Run

MAX_PIXELS = 2**24  # of an uploaded image: 4,096 x 4,096
LUMA = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


def check_uploaded(path: object, folder: str) -> None:
    """Raises UserError if the path is not of a file in the folder of uploads, or below it."""
    folder = os.path.realpath(folder)
    if not path or not isinstance(path, str):
        raise UserError("upload: no file was given")
    if not os.path.realpath(path).startswith(os.path.join(folder, "")):
        raise UserError("upload: not an uploaded file")


def read_upload(path: str, name: str, run: Run) -> tuple[np.ndarray, list[str]]:
    """Reads an image, crops it to its centre, and converts it to the size, channels and levels of a
    run's images: levels, uint8 or uint16 `[H, W, C]`, and the conversions, in words.

    Raises:
      UserError: beginning with the name, if it is not a readable image.
    """
    try:
        image = read_image(path, "white", MAX_PIXELS)
    except UserError as error:
        raise UserError(name + str(error).removeprefix(path)) from None
    height, width, channels = run.data.image_shape
    levels, changes = _centre(image.levels, height / width), []
    if levels.shape != image.levels.shape:
        changes.append("cropped to its centre")
    if levels.shape[-1] > channels:
        levels = np.rint(levels @ np.array(LUMA))[..., None].astype(levels.dtype)
        changes.append("converted to grey")
    elif levels.shape[-1] < channels:
        levels = np.repeat(levels, channels, axis=-1)
    if levels.shape[:2] != (height, width):
        changes.append(f"resized from {levels.shape[1]} x {levels.shape[0]} pixels")
        levels = resize(levels, (height, width), image.num_levels)
    target = run.data.num_levels
    if image.num_levels != target:
        quantized = run.config.quantize > 0 and target < image.num_levels
        if quantized:
            levels = quantize_levels(levels, image.num_levels, target)
        else:
            levels = np.rint(levels * ((target - 1) / (image.num_levels - 1)))
        levels = levels.astype(dtype_of_levels(target))
        if target < image.num_levels:
            changes.append(f"{'quantised' if quantized else 'rounded'} to {target} levels")
    return levels, changes


def _centre(levels, ratio):
    """The largest part at the centre with this ratio of height to width."""
    height, width = levels.shape[:2]
    new_height = min(height, max(1, round(width * ratio)))
    new_width = min(width, max(1, round(height / ratio)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return levels[top : top + new_height, left : left + new_width]
