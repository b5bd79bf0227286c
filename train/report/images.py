"""Images inside the page: PNG files as text in their `src`."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from pixelcnn_tf.grid import to_uint8
from train.scoring.figures import COLOURS

SHOWN_SIDE = 112  # pixels to which the longer side of a smaller image is enlarged
GAP = 6  # transparent pixels between the images of a picture
NOT_GIVEN = (128, 140, 160)  # pixels that a completion was not given
UNSEEN = (214, 39, 40)  # earlier pixels without influence
DARKEST = 0.12  # of the colours: above it they differ from a black page
DECADES = 5  # of the receptive field's colours


class Picture(NamedTuple):
    """An image of the page: the `src` of an `<img>`, what it shows in words, and its size."""

    src: str
    alt: str
    width: int
    height: int


def picture(pixels: np.ndarray, alt: str) -> Picture:
    """A PNG file inside the page, of uint8 `[H, W, 3]` or `[H, W, 4]`."""
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(source, alt, pixels.shape[1], pixels.shape[0])


def colours_of(levels: np.ndarray, num_levels: int) -> np.ndarray:
    """Levels `[..., C]` as uint8 `[..., 3]`."""
    shown = to_uint8(levels, num_levels)
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown


def heat(bits: np.ndarray, most: float) -> np.ndarray:
    """Bits per pixel, `[...]`, as uint8 `[..., 3]`: those of `train.score --maps`."""
    import matplotlib

    return matplotlib.colormaps[COLOURS](np.clip(bits / most, 0.0, 1.0), bytes=True)[..., :3]


def heat_gradient() -> str:
    """The colours of `heat` as a gradient of CSS, the lowest first."""
    stops = heat(np.linspace(0.0, 1.0, 9), 1.0)
    return f"linear-gradient(to right, {', '.join(f'rgb({r}, {g}, {b})' for r, g, b in stops)})"


def tiles(images: np.ndarray, columns: int) -> np.ndarray:
    """Images `[N, H, W, 3]` row by row, with transparent gaps: uint8 `[H', W', 4]`."""
    num, height, width, _ = images.shape
    scale = max(1, math.ceil(SHOWN_SIDE / max(height, width)))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale + GAP, width * scale + GAP
    rows = -(-num // columns)
    canvas = np.zeros([rows * height - GAP, columns * width - GAP, 4], np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height, number % columns * width
        canvas[top : top + height - GAP, left : left + width - GAP, :3] = image
        canvas[top : top + height - GAP, left : left + width - GAP, 3] = 255
    return canvas


def completion_rows(originals: np.ndarray, mask: np.ndarray, completed: np.ndarray) -> np.ndarray:
    """Rows of the original, its given part, and its completions.

    Args:
      originals: uint8 `[N, H, W, 3]`.
      mask: `[H, W]`, 1 where the pixel was given.
      completed: uint8 `[N, K, H, W, 3]`.

    Returns:
      uint8 `[N * (K + 2), H, W, 3]`.
    """
    given = np.where(mask[..., None] == 1, originals, np.uint8(NOT_GIVEN))
    rows = np.concatenate([originals[:, None], given[:, None], completed], axis=1)
    return rows.reshape(-1, *originals.shape[1:])


def field_colours(field: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """A receptive field `[H, W]` as uint8 `[H, W, 4]`: logarithmic colours, `UNSEEN` where a pixel
    before `place` has no influence, transparent from `place` on, which is white."""
    import matplotlib

    height, width = field.shape
    before = np.arange(height * width).reshape(height, width) < place[0] * width + place[1]
    shown = np.zeros([height, width, 4], np.uint8)
    with np.errstate(divide="ignore"):
        strength = 1.0 + np.log10(field / max(field.max(), 1e-300)) / DECADES
    seen = DARKEST + (1.0 - DARKEST) * np.clip(strength, 0.0, 1.0)
    shown[before] = matplotlib.colormaps[COLOURS](seen, bytes=True)[before]
    shown[before & (field == 0.0)] = (*UNSEEN, 255)
    shown[place] = (255, 255, 255, 255)
    return shown


def enlarged(pixels: np.ndarray, side: int = 3 * SHOWN_SIDE) -> np.ndarray:
    """An image enlarged by a whole factor, its longer side to at least `side`."""
    scale = max(1, math.ceil(side / max(pixels.shape[:2])))
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
