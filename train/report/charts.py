"""Charts as SVG inside the page: they take its colours, light or dark, and its font.

All are drawn about as wide as a telephone, so that their letters have the size of text there, and
a little more on a wide screen, where they stand side by side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from train.report.markup import element

WIDTH, HEIGHT = 400, 264
LEFT, TOP, RIGHT, BOTTOM = 46, 28, 18, 40
NAMES = 116  # room at the right for the names of marks
TEXT = 11  # pixels of height, and about 0.56 of it of width a letter
MAX_POINTS = 300  # of a curve


class Series(NamedTuple):
    """A curve.

    Attributes:
      name: in the legend.
      points: `[N, 2]`.
      colour: number of its colour.
      style: "line", "dots" (and a line), "thin" or "dashed".
    """

    name: str
    points: Sequence
    colour: int
    style: str = "line"


class Mark(NamedTuple):
    """A horizontal line with a name at its right end."""

    value: float
    name: str


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    margin = 1e-9 * (high - low)
    return [float(v) for v in values if low - margin <= v <= high + margin]


def number_text(value: float, step: float) -> str:
    """A number on an axis whose ticks are `step` apart."""
    decimals = 0
    while decimals < 6 and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6:
        decimals += 1
    return f"{value + 0.0:,.{decimals}f}"


class _Plot:
    """The frame of a chart: where a value lies, axes, what is drawn."""

    def __init__(self, x_range, y_range, labels, alt, right=RIGHT, percent=(False, False)):
        self.x_range, self.y_range = x_range, y_range
        self.right, self.bottom = WIDTH - right, HEIGHT - BOTTOM
        self.svg = element(
            "svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=alt, class_="chart"
        )
        self._axes(labels, percent)

    def x(self, value):
        low, high = self.x_range
        return LEFT + (self.right - LEFT) * (value - low) / (high - low)

    def y(self, value):
        low, high = self.y_range
        return self.bottom - (self.bottom - TOP) * (value - low) / (high - low)

    def add(self, tag, *children, **attributes):
        made = element(tag, *children, **attributes)
        self.svg.append(made)
        return made

    def text(self, text, x, y, anchor="middle", class_="tick"):
        self.add("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=class_)

    def _axes(self, labels, percent):
        for values, is_x in ((ticks(*self.x_range), True), (ticks(*self.y_range), False)):
            step = values[1] - values[0] if len(values) > 1 else values[0] if values else 1.0
            for value in values:
                if percent[0 if is_x else 1]:
                    text = f"{number_text(100 * value, 100 * step)} %"
                else:
                    text = number_text(value, step)
                if is_x:
                    x = self.x(value)
                    self.add(
                        "path", d=_path([(x, self.bottom), (x, self.bottom + 4)]), class_="axis"
                    )
                    self.text(text, x, self.bottom + 17)
                else:
                    y = self.y(value)
                    self.add("path", d=_path([(LEFT, y), (self.right, y)]), class_="gridline")
                    self.text(text, LEFT - 6, y + 0.35 * TEXT, "end")
        self.add("path", d=_path([(LEFT, self.bottom), (self.right, self.bottom)]), class_="axis")
        self.text(labels[0], (LEFT + self.right) / 2, HEIGHT - 6, class_="label")
        self.text(labels[1], 2, 13, "start", "label")


def _path(points):
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _thinned(points):
    """At most about `MAX_POINTS` of the points, the last among them."""
    stride = -(-len(points) // MAX_POINTS)
    return list(points[:-1:stride]) + [points[-1]]


def _spread(places, distance, low, high):
    """Places moved apart as little as it takes to be `distance` from each other, ascending."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, float)[order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + distance)
    if len(moved) and moved[-1] > high:
        moved[-1] = high
        for index in range(len(moved) - 2, -1, -1):
            moved[index] = min(moved[index], moved[index + 1] - distance)
    result = np.empty(len(moved))
    result[order] = np.maximum(moved, low)
    return result


def line_chart(
    series: Sequence[Series],
    labels: tuple[str, str],
    alt: str,
    marks: Sequence[Mark] = (),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    diagonal: bool = False,
) -> list[Element]:
    """A chart of curves, and its legend.

    Args:
      series: the curves, each with at least one point; what lies outside the ranges is cut off.
      labels: of the two axes.
      alt: what the chart shows, in words.
      marks: horizontal lines.
      x_range, y_range: default: that of the points, with x = 0.
      percent: shares of 1 are told in per cent, on both axes.
      diagonal: draw the line of equal values.
    """
    everything = np.concatenate([np.asarray(each.points, float) for each in series])
    x_range = x_range or _wide(min(0.0, everything[:, 0].min()), everything[:, 0].max(), 0.0)
    if y_range is None:
        ends = [*everything[:, 1], *(mark.value for mark in marks)]
        y_range = _wide(min(ends), max(ends), 0.04)
    right = NAMES if marks else RIGHT
    plot = _Plot(x_range, y_range, labels, alt, right, (percent, percent))
    if diagonal:
        ends = [(plot.x(value), plot.y(value)) for value in (0.0, 1.0)]
        plot.add("path", d=_path(ends), class_="diagonal")
    _draw_marks(plot, marks)
    # The frame cuts off what lies outside: an SVG of its own needs no names, as a clipPath would.
    width, height = plot.right - LEFT, plot.bottom - TOP
    inner = plot.add(
        "svg",
        x=LEFT - 4,
        y=TOP - 4,
        width=width + 8,
        height=height + 8,
        viewBox=f"{LEFT - 4} {TOP - 4} {width + 8} {height + 8}",
    )
    for each in series:
        points = [(plot.x(x), plot.y(y)) for x, y in _thinned(each.points)]
        if len(points) > 1:
            style = {"dots": "line"}.get(each.style, each.style)
            inner.append(element("path", d=_path(points), class_=f"{style} c{each.colour}"))
        if each.style == "dots" or len(points) == 1:
            for (x, y), (step, value) in zip(points, _thinned(each.points), strict=True):
                told = element("title", f"{each.name}: {value:.4g} at {step:,.6g}")
                dot = element("circle", told, cx=x, cy=y, r=3, class_=f"dot c{each.colour}")
                inner.append(dot)
    return [plot.svg, legend(series)] if len(series) > 1 else [plot.svg]


def _wide(low, high, margin):
    """A range that is not empty, with a margin."""
    if high <= low:
        return low - 0.5 * abs(low or 1.0), high + 0.5 * abs(high or 1.0)
    return low - margin * (high - low), high + margin * (high - low)


def _draw_marks(plot, marks):
    lines = [plot.y(mark.value) for mark in marks]
    names = _spread(lines, TEXT + 1, TOP, plot.bottom)
    for mark, line, name in zip(marks, lines, names, strict=True):
        ends = [(LEFT, line), (plot.right, line)]
        plot.add("path", d=_path(ends), class_="mark")
        leader = [(plot.right, line), (plot.right + 8, name)]
        plot.add("path", d=_path(leader), class_="leader")
        shown = mark.name if len(mark.name) <= 16 else mark.name[:15] + "…"
        text = f"{mark.value:.2f} {shown}"
        x, y = float(plot.right + 11), float(name + 0.35 * TEXT)
        told = element("title", f"{mark.value:.2f} {mark.name}")
        plot.add("text", told, text, x=x, y=y, class_="name")


def legend(series: Sequence[Series]) -> Element:
    """Which colour is which curve."""
    swatch = {"dots": "line"}
    return element(
        "ul",
        [
            element(
                "li",
                element("span", class_=f"swatch {swatch.get(s.style, s.style)} c{s.colour}"),
                s.name,
            )
            for s in series
        ],
        class_="legend",
    )


def histogram(
    values: np.ndarray,
    edges: np.ndarray,
    labels: tuple[str, str],
    alt: str,
    colour: int = 0,
    highest: float | None = None,
) -> Element:
    """A histogram with the mean as a line.

    Args:
      values: `[N]`, N at least 1.
      edges: of the bins, ascending.
      labels: of the two axes.
      alt: what the chart shows, in words.
      colour: number of the bars' colour.
      highest: share at the top of the axis, default: that of the highest bar.
    """
    shares = np.histogram(values, edges)[0] / len(values)
    top = 1.08 * (highest or shares.max())
    plot = _Plot((edges[0], edges[-1]), (0.0, top), labels, alt, percent=(False, True))
    for share, low, high in zip(shares, edges[:-1], edges[1:], strict=True):
        if share:
            x, y = plot.x(low) + 0.5, plot.y(share)
            told = element("title", f"{low:.4g} to {high:.4g}: {100 * share:.3g} %")
            width = max(0.5, plot.x(high) - x - 0.5)
            shape = dict(x=x, y=y, width=width, height=plot.bottom - y)
            plot.add("rect", told, **shape, class_=f"bar c{colour}")
    mean = float(np.mean(values))
    x = plot.x(mean)
    plot.add("path", d=_path([(x, TOP - 4), (x, plot.bottom)]), class_="mean")
    anchor = "end" if x > (LEFT + plot.right) / 2 else "start"
    shift = -5 if anchor == "end" else 5
    plot.text(f"mean {mean:.3f}", x + shift, TOP + 4, anchor, "name")
    return plot.svg


def bins(values: Sequence[np.ndarray], count: int = 32) -> np.ndarray:
    """Edges of bins that suit several sets of values."""
    everything = np.concatenate(values)
    low, high = _wide(everything.min(), everything.max(), 0.0)
    return np.linspace(low, high, count + 1)


def upper_end(series: Sequence[Series]) -> float:
    """Where a chart of falling curves may end at the top: the first steps of a training are worse
    by far, and would flatten the rest."""
    ends = []
    for each in series:
        values = np.asarray(each.points, float)[:, 1]
        values = values[np.isfinite(values)]
        ends.append(np.quantile(values, 0.95) if len(values) > 10 else values.max())
    return max(end for end in ends if math.isfinite(end))
