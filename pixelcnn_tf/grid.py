"""Grids of images."""

import math

import numpy as np

MIN_SIDE = 64  # smaller images are enlarged by an integer factor
GAP = 2  # pixels between the images


def to_uint8(levels: np.ndarray, num_levels: int) -> np.ndarray:
    """Integer levels -> 8-bit intensities 0 ... 255."""
    return np.round(np.asarray(levels) * (255.0 / (num_levels - 1))).astype(np.uint8)


def enlarge(height: int, width: int) -> int:
    """The integer factor by which small images are enlarged."""
    return max(1, math.ceil(MIN_SIDE / max(height, width)))


def grid(images: np.ndarray, columns: int | None = None, rows: int | None = None) -> np.ndarray:
    """Arranges uint8 images `[N, H, W, C]` on white; returns uint8 `[H', W', C]`.

    The order is row by row with `columns` images each (default: about a square); given `rows`, it
    is column by column: image i is in row `i % rows`.
    """
    num, height, width, channels = images.shape
    scale = enlarge(height, width)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    if rows:
        columns = math.ceil(num / rows)
        places = [(i % rows, i // rows) for i in range(num)]
    else:
        columns = columns or math.ceil(math.sqrt(num))
        rows = math.ceil(num / columns)
        places = [(i // columns, i % columns) for i in range(num)]
    height, width = height * scale + GAP, width * scale + GAP
    canvas = np.full((rows * height + GAP, columns * width + GAP, channels), 255, np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        top, left = GAP + row * height, GAP + column * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image
    return canvas
