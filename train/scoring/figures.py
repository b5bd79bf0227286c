"""Figures of scores: bits-per-pixel maps beside their images, and histograms."""

import io
import math
import os

import numpy as np

from pixelcnn_tf.grid import to_uint8
from train.data.image_sources import Image
from train.files import atomic_write

COLOURS = "magma"
DPI = 100
BINS = 50


def map_path(folder: str, name: str) -> str:
    """Where the map of an image goes: its name below the folder, ending in .png."""
    return os.path.join(folder, name if name.lower().endswith(".png") else name + ".png")


def write_map(path: str, image: Image, bits: np.ndarray, title: str) -> None:
    """Writes an image and its bits per pixel side by side as PNG, atomically.

    The colours are the same for all images of a model: from 0 to the bits of a uniform
    distribution, `C log2(num_levels)`; pixels that cost more have the last colour.

    Args:
      path: of the picture; its folder is made.
      image: as the model took it.
      bits: `[H, W]`.
      title: of the picture.

    Raises:
      OSError: if it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = to_uint8(image.levels, image.num_levels)
    channels = shown.shape[-1]
    left.imshow(shown if channels == 3 else shown[..., 0], cmap="gray", vmin=0, vmax=255)
    top = channels * math.log2(image.num_levels)
    colours = right.imshow(bits, cmap=COLOURS, vmin=0, vmax=top)
    figure.colorbar(colours, ax=right, extend="max", label="bits a pixel")
    for axes in (left, right):
        axes.set_axis_off()
    figure.suptitle(title, parse_math=False)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    _save(figure, path)


def write_histogram(
    path: str, measures: dict[str, tuple[np.ndarray, np.ndarray]], names: tuple[str, str]
) -> None:
    """Writes histograms of two sets of scores, one axes a measure, whole or not at all.

    Args:
      path: of the picture; its ending decides the format.
      measures: label of the axis -> the scores of the images `[N]` and of the reference `[M]`.
      names: of the images and of the reference.

    Raises:
      OSError: if it cannot be written.
    """
    from matplotlib.figure import Figure

    size = (4.5 * len(measures), 3.4)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    columns = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, (label, both) in zip(columns, measures.items(), strict=True):
        bins = np.histogram_bin_edges(np.concatenate(both), BINS)
        for scores, name in zip(both, names, strict=True):
            shares = np.full(len(scores), 1 / len(scores))
            axes.hist(scores, bins, weights=shares, alpha=0.6, label=name)
        axes.set_xlabel(label)
        axes.set_ylabel("share of the images")
    legend = figure.legend(*columns[0].get_legend_handles_labels(), loc="outside upper center")
    for text in legend.get_texts():
        text.set_parse_math(False)
    _save(figure, path)


def figure_extensions() -> list[str]:
    """The endings that a picture may have, without the dot."""
    from matplotlib.backend_bases import FigureCanvasBase

    return sorted(FigureCanvasBase.get_supported_filetypes())


def _save(figure, path):
    # Drawn in memory first: what fails in writing is then the disk's fault.
    picture = io.BytesIO()
    figure.savefig(picture, format=os.path.splitext(path)[1].removeprefix(".").lower())
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(picture.getvalue())
