"""Charts and images of a page, as data URIs: charts by matplotlib (SVG), images as PNG."""

import base64
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from pixelcnn_tf.grid import to_uint8
from train.scoring.calibration import QUANTILES, Coverage
from train.scoring.figures import COLOURS as HEAT

COLOURS = ("#2563eb", "#c2570c", "#0b8a62", "#c0267e", "#6d3fd1", "#5b6675")  # they cycle
STYLES = {
    "line": dict(linewidth=1.6),
    "dots": dict(linewidth=1.6, marker="o", markersize=4),
    "thin": dict(linewidth=0.8, alpha=0.7),
    "dashed": dict(linewidth=1.2, linestyle="--"),
}
GREY = "#6b7480"
SIZE = (4.6, 3.2)  # inches
MAX_POINTS = 300  # of a curve
NUM_BINS = 32
NOT_GIVEN = (128, 140, 160)  # pixels that are not given to the model
PLACE = (0, 160, 255)  # the pixel whose receptive field is shown
UNSEEN = (214, 39, 40)  # earlier pixels without influence
DARKEST = 0.12  # colour of the weakest influence, which differs from black
DECADES = 5  # of influence that the colours cover


class Picture(NamedTuple):
    """A chart or an image of the page: the `src` of an `<img>`, and a description in words."""

    src: str
    alt: str


class Series(NamedTuple):
    """A curve: its name in the legend, points `(x, y)`, number of its colour, one of `STYLES`."""

    name: str
    points: Sequence
    colour: int
    style: str = "line"


def colour(number: int) -> str:
    """The colour of a run; the colours cycle."""
    return COLOURS[number % len(COLOURS)]


def _axes(xlabel, ylabel):
    from matplotlib.figure import Figure

    axes = Figure(figsize=SIZE, layout="constrained").subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.locator_params(nbins=5)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _finish(axes, alt, legend=()):
    if legend:  # name -> line; below the chart, where it hides nothing
        names = [name.replace("$", r"\$") for name in legend]
        axes.figure.set_figheight(SIZE[1] + 0.2 * len(names))
        axes.figure.legend(legend.values(), names, fontsize="small", loc="outside lower left")
    file = io.BytesIO()
    axes.figure.savefig(file, format="svg", metadata={"Date": None})
    return Picture(_data_uri("image/svg+xml", file), alt)


def _data_uri(kind, file):
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def curves(
    series: Sequence[Series], xlabel: str, ylabel: str, published: Sequence[tuple[float, str]] = ()
) -> Picture:
    """Scores against steps or hours, with dotted lines at published results `(score, model)`.
    The axis omits the scores of the first steps if they would flatten the rest."""
    axes = _axes(xlabel, ylabel)
    ends, described, lines = [score for score, _ in published], [], {}
    for each in series:
        points = np.asarray(each.points, float)
        thinned = points[:: max(1, len(points) // MAX_POINTS)]
        (lines[each.name],) = axes.plot(*thinned.T, color=colour(each.colour), **STYLES[each.style])
        scores = points[:, 1]
        ends += [scores.min(), np.quantile(scores, 0.95) if len(scores) > 10 else scores.max()]
        first, last = (f"{y:.3f} at {x:,.{0 if x >= 10 else 4}f}" for x, y in points[[0, -1]])
        described.append(f"{each.name} {first if len(points) == 1 else f'from {first} to {last}'}")
    margin, named = 0.05 * (max(ends) - min(ends)) or 0.1, math.inf
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    place = dict(xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="x-small")
    for score, model in sorted(published, reverse=True):
        axes.axhline(score, color=GREY, linewidth=0.8, linestyle=":")
        if named - score > margin:  # else the names would overlap
            axes.annotate(model, (1.0, named := score), color=GREY, **place)
    return _finish(axes, f"{ylabel} against {xlabel}: {'; '.join(described)}", lines)


def histogram(scores: np.ndarray, span: tuple[float, float], number: int) -> Picture:
    """A histogram of bits/dim `[N]` over this span, with a line at the mean."""
    axes = _axes("bits/dim", "share of the images")
    weights = np.full(len(scores), 1.0 / len(scores))
    axes.hist(scores, NUM_BINS, span, weights=weights, color=colour(number))
    axes.axvline(scores.mean(), color="black", linestyle="--", linewidth=1.0)
    low, mean, high = scores.min(), scores.mean(), scores.max()
    text = f"Histogram of the bits/dim of {len(scores):,} images: from {low:.3f} to {high:.3f}"
    return _finish(axes, f"{text}, mean {mean:.3f}")


def calibration(coverage: dict[str, Coverage], number: int) -> Picture:
    """Share of the values below the quantiles of their predicted distributions: a curve for each
    of at most two sets of values, name -> what `Calibration` has counted."""
    axes = _axes("quantile", "share of the values below it")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.0)
    lines = {
        name: axes.plot(QUANTILES, found.below, color=colour(number), **STYLES[style])[0]
        for (name, found), style in zip(coverage.items(), ("line", "dashed"), strict=False)
    }
    worst = max(np.abs(found.below - QUANTILES).max() for found in coverage.values())
    return _finish(
        axes,
        "Share of the values below the quantiles of their predicted distributions: at most "
        f"{100 * worst:.1f} % from the diagonal, which is perfect calibration",
        lines,
    )


def picture(pixels: np.ndarray, alt: str = "") -> Picture:
    """An image of uint8 `[H, W, 3]` or `[H, W, 4]`; part of a labelled group without `alt`."""
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", optimize=True)
    return Picture(_data_uri("image/png", file), alt)


def to_rgb(levels: np.ndarray, num_levels: int) -> np.ndarray:
    """Levels `[..., C]` as uint8 `[..., 3]`."""
    shown = to_uint8(levels, num_levels)
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown


def heat(values: np.ndarray, most: float) -> np.ndarray:
    """Values from 0 to `most` as uint8 `[..., 3]`, in the colours of `train.score --maps`."""
    import matplotlib

    return matplotlib.colormaps[HEAT](np.clip(values / most, 0.0, 1.0), bytes=True)[..., :3]


def heat_gradient() -> str:
    """The colours of `heat` as a gradient of CSS, the lowest first."""
    stops = heat(np.linspace(0.0, 1.0, 9), 1.0)
    return f"linear-gradient(to right, {', '.join(f'rgb({r}, {g}, {b})' for r, g, b in stops)})"


def uniform_bits(image_shape: tuple, num_levels: int) -> float:
    """Bits per pixel of a uniform distribution: the brightest colour of a bits-per-pixel map."""
    return image_shape[-1] * math.log2(num_levels)


def receptive_field(field: np.ndarray, place: tuple[int, int], alt: str) -> Picture:
    """A receptive field `[H, W]` up to the row of its pixel `place`: logarithmic colours, `UNSEEN`
    for earlier pixels without influence, transparent for later pixels."""
    height, width = field.shape
    before = np.arange(height * width).reshape(height, width) < place[0] * width + place[1]
    with np.errstate(divide="ignore"):
        strength = 1.0 + np.log10(field / max(field.max(), 1e-300)) / DECADES
    shown = np.zeros([height, width, 4], np.uint8)
    shown[..., :3] = heat(DARKEST + (1.0 - DARKEST) * np.clip(strength, 0.0, 1.0), 1.0)
    shown[field == 0.0, :3] = UNSEEN
    shown[..., 3] = 255 * before
    shown[place] = (*PLACE, 255)
    return picture(shown[: place[0] + 1], alt)
