"""The sections of a report about scores; see `train/report/about.py`."""

from xml.etree.ElementTree import Element

import numpy as np

from train.report.charts import Mark, Series, bins, line_chart, upper_end
from train.report.charts import histogram as draw_histogram
from train.report.gather import CALIBRATED
from train.report.markup import element
from train.report.parts import paragraph, which_images
from train.report.runs import Runs
from train.scoring.calibration import CENTRAL, QUANTILES
from train.scoring.published_scores import notes


def curve(runs: Runs) -> list[Element]:
    """Scores against steps and hours: of all runs in one chart where that makes sense."""
    if runs.comparable:
        made = _curve_charts(runs, list(runs))
    else:
        made = runs.columns(
            lambda number, f: _curve_charts(runs, [(number, runs.names[number], f)])
        )
    if not made:
        return []
    about = paragraph(
        "Hours are those of the training steps alone, summed up from the images/s of the log. The "
        "first steps are cut off where they are too high. Dotted lines: published results on the "
        "same data set, if any are listed."
    )
    if runs.comparable:
        return [about, *made]
    apart = (
        "The runs are scored on different images or levels, so that their scores cannot be "
        "compared: each has charts of its own."
    )
    return [element("p", apart, class_="notice"), about, *made]


def _curve_charts(runs, members):
    findings = members[0][2]
    published = runs.published(findings)
    unit = "nats an image" if published.unit == "nats" else runs.unit(findings)
    series = _series(members, published.factor)
    if not series:
        return []
    marks = [Mark(each.score, each.model) for each in published.results]
    lowest = min(min(y for _, y in each.points) for each in series)
    ends = [lowest, upper_end(series), *(mark.value for mark in marks)]
    margin = 0.05 * (max(ends) - min(ends)) or 0.1
    y_range = (min(ends) - margin, max(ends) + margin)
    charts = []
    for what, shown in (
        ("step", series),
        ("hours of training", _series(members, published.factor, hours=True)),
    ):
        if shown:
            alt = f"{unit} against {what}: " + "; ".join(_told(each) for each in shown)
            chart = line_chart(shown, (what, unit), alt, marks, y_range=y_range)
            charts.append(element("figure", chart))
    return [element("div", charts, class_="columns")]


def _told(series):
    """Where a curve begins and ends, in words."""

    def text(point):
        place = f"{point[0]:,}" if isinstance(point[0], int) else f"{point[0]:.3g}"
        return f"{point[1]:.3f} at {place}"

    if len(series.points) == 1:
        return f"{series.name} {text(series.points[0])}"
    return f"{series.name} from {text(series.points[0])} to {text(series.points[-1])}"


def _series(members, factor, hours=False):
    """The curves of some runs, in the unit that bits/dim times `factor` have."""
    found, several = [], len(members) > 1
    for number, name, findings in members:
        curves = findings.curves
        scored = findings.curve_split
        kinds = [
            (curves.train, "train, with dropout", "thin", 0),
            (curves.raw, f"{scored}, raw weights", "dashed", 1),
            (curves.averaged, f"{scored}, averaged weights", "dots", 2),
        ]
        if several:
            kinds.pop(1)  # it would hide the others
        for points, about, style, colour in kinds:
            if hours:
                points = curves.against_hours(points) if curves.hours else []
            points = [(place, factor * value) for place, value in points]
            if points:
                label, colour = (f"{name}: {about}", number) if several else (about, colour)
                found.append(Series(label, points, colour, style))
    return found


def results(runs: Runs) -> list[Element]:
    """The runs beside published results, which have a column of their own."""
    if runs.comparable:
        return _results_table(runs, list(runs))
    return runs.columns(lambda number, f: _results_table(runs, [(number, runs.names[number], f)]))


def _results_table(runs, members):
    findings = members[0][2]
    if findings.dataset is None or findings.metric != "bits_per_dim":
        return []
    published = runs.published(findings)
    rows = [
        (each.score, [each.model, f"{each.score:.2f}", "", each.paper], None)
        for each in published.results
    ]
    for _, name, each in members:
        if each.last_score:
            step, value = each.last_score.step, each.last_score.value
            about = f"step {step:,}, all {each.dataset.eval.num_examples:,} images"
        elif each.scores:
            value = float(np.mean([row.bits_per_dim for row in each.scores]))
            about = f"step {each.step:,}, {which_images(each, len(each.scores))}"
        else:
            continue
        value *= published.factor
        rows.append((value, [name, "", f"{value:.{published.decimals}f}", about], "own"))
    if not rows:
        return []
    rows.sort(key=lambda row: -row[0])
    columns = [("", None), ("published", "number"), ("here", "number"), ("", "value")]
    shown = [0, 1, 2, 3] if published.results else [0, 2, 3]
    head = [element("th", columns[i][0], scope="col", class_=columns[i][1]) for i in shown]
    body = [
        element("tr", [element("td", cells[i], class_=columns[i][1]) for i in shown], class_=class_)
        for _, cells, class_ in rows
    ]
    unit = "nats an image" if published.unit == "nats" else published.unit
    about = f"{findings.dataset.name}, {findings.dataset.eval_name}, in {unit}."
    if not published.results:
        about += " No published results are of these images and levels, or none is listed."
    table = element("table", element("thead", element("tr", head)), element("tbody", body))
    return [
        paragraph(about),
        element("div", table, class_="table"),
        *(paragraph(f"{note[0].upper()}{note[1:]}.") for note in notes(findings.dataset)),
    ]


def histogram(runs: Runs) -> list[Element]:
    """How the scores of the test images are spread."""
    values = [np.array([row.bits_per_dim for row in f.scores]) for _, _, f in runs]
    present = [each for each in values if len(each)]
    edges, highest = None, None
    if present and runs.comparable:  # one axis for all
        edges = bins(present)
        highest = max(np.histogram(each, edges)[0].max() / len(each) for each in present)

    def column(number, findings):
        scores = values[number]
        if not len(scores):
            return []
        low, mean, high = scores.min(), scores.mean(), scores.max()
        alt = (
            f"Histogram of the bits/dim of {len(scores):,} images: from {low:.3f} to {high:.3f}, "
            f"mean {mean:.3f}"
        )
        labels = ("bits/dim", "share of the images")
        own = bins([scores]) if edges is None else edges
        chart = draw_histogram(scores, own, labels, alt, number, highest)
        spread = np.percentile(scores, [5, 50, 95])
        caption = (
            f"{which_images(findings, len(scores))}: half of them below {spread[1]:.3f}, 5 % below "
            f"{spread[0]:.3f}, 5 % above {spread[2]:.3f}."
        )
        return [element("figure", chart, element("figcaption", _upper(caption)))]

    return runs.columns(column)


def _upper(text):
    return text[:1].upper() + text[1:]


def calibration(runs: Runs) -> list[Element]:
    """How many values lie below the quantiles of their distributions."""

    def column(number, findings):
        if not findings.coverage:
            return []
        names = {"all": "all values", "unsure": "values in doubt"}
        styles = {"all": "line", "unsure": "dashed"}
        series = [
            Series(names[kind], list(zip(QUANTILES, c.below, strict=True)), number, styles[kind])
            for kind, c in findings.coverage.items()
        ]
        worst = max(float(np.abs(c.below - QUANTILES).max()) for c in findings.coverage.values())
        alt = (
            "Share of the values below the quantiles of their distributions: at most "
            f"{100 * worst:.1f} per cent from the diagonal, which is perfect calibration"
        )
        unit = (0.0, 1.0)
        labels = ("quantile", "values below it")
        chart = line_chart(series, labels, alt, (), unit, unit, percent=True, diagonal=True)
        head = [element("th", "central interval", scope="col")] + [
            element("th", f"{100 * share:.0f} %", class_="number", scope="col") for share in CENTRAL
        ]
        rows = [
            element(
                "tr",
                element("td", f"{names[kind]}, {c.count:,}"),
                [
                    element("td", f"{100 * c.central(share):.1f} %", class_="number")
                    for share in CENTRAL
                ],
            )
            for kind, c in findings.coverage.items()
        ]
        table = element("table", element("thead", element("tr", head)), element("tbody", rows))
        return [element("figure", chart), element("div", table, class_="table")]

    made = runs.columns(column)
    return made and [
        paragraph(
            "Of a model that is right, a share q of all values lies below the q-quantiles of their "
            f"distributions. Counted on at most {CALIBRATED} test images. Where the darkest or the "
            "brightest level has more than 95 %, as in a plain background, there is little to be "
            "wrong about; the values in doubt are all others."
        ),
        *made,
    ]
