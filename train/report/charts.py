"""Charts of a report, drawn by matplotlib, as SVG images inside the page."""

import base64
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

COLOURS = ("#2563eb", "#c2570c", "#0b8a62", "#c0267e", "#6d3fd1", "#5b6675")  # they cycle
STYLES = {
    "line": dict(linewidth=1.6),
    "dots": dict(linewidth=1.6, marker="o", markersize=4),
    "thin": dict(linewidth=0.8, alpha=0.7),
    "dashed": dict(linewidth=1.2, linestyle="--"),
}
SIZE = (4.6, 3.2)  # inches
MAX_POINTS = 300  # of a curve


class Series(NamedTuple):
    """A curve: its name in the legend, points `[N, 2]`, number of its colour, one of `STYLES`."""

    name: str
    points: Sequence
    colour: int
    style: str = "line"


class Chart(NamedTuple):
    """A chart: the `src` of an `<img>`, and what it shows in words."""

    src: str
    alt: str


def _axes(labels):
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.locator_params(nbins=5)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _finish(axes, alt):
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, [name.replace("$", r"\$") for name in names], fontsize="small")
    file = io.BytesIO()
    axes.figure.savefig(file, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(file.getvalue()).decode()
    return Chart(f"data:image/svg+xml;base64,{encoded}", alt)


def curves(
    series: Sequence[Series], labels: tuple[str, str], published: Sequence[tuple[float, str]]
) -> Chart:
    """Scores against steps or hours, with dotted lines at published results `(score, model)`.

    The first steps are cut off where their scores would flatten the rest.
    """
    axes = _axes(labels)
    for each in series:
        points = np.asarray(each.points, float)[:: max(1, len(each.points) // MAX_POINTS)]
        colour = COLOURS[each.colour % len(COLOURS)]
        axes.plot(*points.T, color=colour, label=each.name, **STYLES[each.style])
    for score, model in published:
        axes.axhline(score, color="#8a93a0", linewidth=0.8, linestyle=":")
        axes.annotate(
            model, (1.0, score), xycoords=("axes fraction", "data"), ha="right", fontsize="x-small"
        )
    lowest = min(min(y for _, y in each.points) for each in series)
    ends = [lowest, _upper_end(series), *(score for score, _ in published)]
    margin = 0.05 * (max(ends) - min(ends)) or 0.1
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    described = "; ".join(_in_words(each) for each in series)
    return _finish(axes, f"{labels[1]} against {labels[0]}: {described}")


def _upper_end(series):
    """The upper end of an axis without the first steps, which are much worse than the rest."""
    ends = []
    for each in series:
        values = np.asarray(each.points, float)[:, 1]
        values = values[np.isfinite(values)]
        ends.append(np.quantile(values, 0.95) if len(values) > 10 else values.max())
    return max(end for end in ends if math.isfinite(end))


def _in_words(series):
    def text(point):
        place = f"{point[0]:,}" if isinstance(point[0], int) else f"{point[0]:.3g}"
        return f"{point[1]:.3f} at {place}"

    if len(series.points) == 1:
        return f"{series.name} {text(series.points[0])}"
    return f"{series.name} from {text(series.points[0])} to {text(series.points[-1])}"


def histogram(scores: np.ndarray, edges: np.ndarray, colour: int, highest: float | None) -> Chart:
    """A histogram of bits/dim; `highest`: the upper end of the axis, a share of the images."""
    axes = _axes(("bits/dim", "share of the images"))
    weights = np.full(len(scores), 1.0 / len(scores))
    axes.hist(scores, edges, weights=weights, color=COLOURS[colour % len(COLOURS)])
    axes.axvline(scores.mean(), color="#1c2430", linestyle="--", linewidth=1.0)
    if highest is not None:
        axes.set_ylim(0.0, 1.05 * highest)
    low, mean, high = scores.min(), scores.mean(), scores.max()
    return _finish(
        axes,
        f"Histogram of the bits/dim of {len(scores):,} images: from {low:.3f} to {high:.3f}, mean "
        f"{mean:.3f}",
    )


def bins(values: Sequence[np.ndarray], count: int = 32) -> np.ndarray:
    """Edges of bins that suit several sets of values."""
    everything = np.concatenate(values)
    low, high = everything.min(), everything.max()
    margin = 0.0 if high > low else 0.5
    return np.linspace(low - margin, high + margin, count + 1)


def calibration(coverage: dict, quantiles: np.ndarray, names: dict, colour: int) -> Chart:
    """Share of the values below the quantiles of their distributions."""
    axes = _axes(("quantile", "values below it"))
    axes.plot([0, 1], [0, 1], color="#8a93a0", linestyle=":", linewidth=1.0)
    worst = 0.0
    for (kind, found), style in zip(coverage.items(), ("line", "dashed"), strict=False):
        axes.plot(
            quantiles,
            found.below,
            color=COLOURS[colour % len(COLOURS)],
            label=names[kind],
            **STYLES[style],
        )
        worst = max(worst, float(np.abs(found.below - quantiles).max()))
    return _finish(
        axes,
        "Share of the values below the quantiles of their distributions: at most "
        f"{100 * worst:.1f} per cent from the diagonal, which is perfect calibration",
    )
