"""The page of a report, rendered by Jinja2: one column for each run."""

import dataclasses
import math
import os
import shlex
import time
from collections.abc import Sequence

import jinja2
import numpy as np

from train.config.config import Config
from train.config.models import MODEL_FIELDS, MODELS
from train.config.presets import command_of
from train.progress import duration
from train.report import charts
from train.report.gather import CALIBRATED, COMPLETED_PART, FIELD_IMAGES, ReportData
from train.sampling.samples import given_mask
from train.scoring.calibration import CENTRAL
from train.scoring.published_scores import notes, published
from train.scoring.receptive_field import default_place, radius, seen_share

# Runs are comparable if these fields of `Config` are the same.
SAME_DATA = ("dataset", "resize", "crop", "binarize", "condition", "eval_split")
UNITS = {"bits_per_dim": "bits/dim", "energy_distance": "energy distance", "nats": "nats/image"}
VALUES = {"all": "all values", "unsure": "uncertain values"}

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("train.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= dict(duration=duration, notes=notes, unit=lambda name: UNITS.get(name, name))


def page(data: Sequence[ReportData], versions: dict[str, str]) -> str:
    """The HTML of the report on one run, or on several side by side; `versions`: of packages."""
    paths = [each.run.config.workdir for each in data]
    names = [os.path.basename(os.path.abspath(path)) for path in paths]
    names = names if len(set(names)) == len(names) else paths
    kinds = {
        (*(getattr(run.config, name) for name in SAME_DATA), *run.data[:2], run.metric)
        for run in (each.run for each in data)
    }
    comparable = len(kinds) == 1
    bits = [row.bits_per_dim for each in data for row in each.scores]
    span = (min(bits), max(bits)) if bits and comparable else None
    runs = [_view(each, names[number], number, span) for number, each in enumerate(data)]
    groups = [runs] if comparable else [[run] for run in runs]
    return TEMPLATES.get_template("report.html").render(
        title=" and ".join(names) if len(names) < 3 else f"{len(names)} runs",
        runs=runs,
        comparable=comparable,
        flags=_flags([each.run.config for each in data]),
        curves=[found for group in groups if (found := _curves(group))],
        results=[found for group in groups if (found := _results(group))],
        intervals=CENTRAL,
        calibrated=CALIBRATED,
        field_images=FIELD_IMAGES,
        gradient=charts.heat_gradient(),
        unseen=charts.UNSEEN,
        time=time.strftime("%Y-%m-%d %H:%M"),
        versions=versions,
    )


def _flags(configs):
    """Rows of the table of flags: the name, its value in each run, whether the values differ."""
    rows = []
    for name in (field.name for field in dataclasses.fields(Config)):
        values = [
            ""
            if name in MODEL_FIELDS and name not in MODELS[config.model].fields()
            else str(getattr(config, name))
            for config in configs
        ]
        rows.append((name, values, len(set(values)) > 1 and name != "workdir"))
    return rows


def _view(data, name, number, span):
    """What the template shows of a run, besides its data; sections without content are empty."""
    run, view = data.run, dict(histogram=None, calibration=None, field=None, completions=None)
    num_levels = run.data.num_levels
    most = charts.uniform_bits(run.data.image_shape, num_levels)

    def image(levels):
        return charts.picture(charts.to_rgb(levels, num_levels))

    command = ["python -m train.main", *map(shlex.quote, command_of(run.config))]
    view |= dict(
        data=data,
        published=published(run.dataset.benchmark if run.dataset else "", run.data.image_shape),
        name=name,
        number=number,
        colour=charts.colour(number),
        image=image,
        heat=lambda bits: charts.picture(charts.heat(bits, most)),
        most=most,
        num_weights=sum(math.prod(each.shape) for each in run.model.trainable_variables),
        training=run.card["command"] if run.card else " \\\n  ".join(command),
        samples=[] if data.samples is None else list(data.samples),
        maps=data.first,
        extremes=data.best and [("Fewest bits", data.best), ("Most bits", data.worst)],
    )
    if data.completed is not None:
        given = charts.to_rgb(data.originals, num_levels)
        given[:, given_mask(COMPLETED_PART, run.data.image_shape) == 0] = charts.NOT_GIVEN
        view["completions"] = [
            [image(original), charts.picture(part), *map(image, drawn)]
            for original, part, drawn in zip(data.originals, given, data.completed, strict=True)
        ]
    if data.scores:
        scores = np.array([row.bits_per_dim for row in data.scores])
        which = "all" if len(scores) == run.dataset.eval.num_examples else "the first"
        view["images"] = f"{which} {len(scores):,} {run.dataset.eval_name} images"
        view["mean"], view["percentiles"] = scores.mean(), np.percentile(scores, [5, 50, 95])
        span = span or (scores.min(), scores.max())
        view["histogram"] = charts.histogram(scores, span, number)
    if data.coverage:
        coverage = {VALUES[kind]: found for kind, found in data.coverage.items()}
        view["calibration"] = (charts.calibration(coverage, number), coverage)
    if data.field is not None:
        place = default_place(run.data.image_shape)
        half, most_of_it = (radius(data.field, place, share) for share in (0.5, 0.9))
        share = seen_share(data.field, place)
        text = (
            f"{100 * share:.0f} % of the earlier pixels influence the blue pixel. Half of the "
            f"influence comes from pixels at most {half} away, 90 % from at most {most_of_it} away."
        )
        view["field"] = (charts.receptive_field(data.field, place, text), share < 1.0)
    return view


def _curves(group):
    """Charts of the scores of comparable runs, against steps and against hours."""
    run, results = group[0]["data"].run, group[0]["published"]
    unit = UNITS.get(results.unit if results.unit == "nats" else run.metric, run.metric)
    marks = [(each.score, each.model) for each in results.results]
    found = []
    for label in ("step", "hours of training"):
        series = _series(group, results.factor, label != "step")
        if series:
            found.append(charts.curves(series, label, unit, marks))
    return found


def _series(group, factor, in_hours):
    series, several = [], len(group) > 1
    for view in group:
        curves = view["data"].curves
        kinds = [
            (curves.train, "train, with dropout", "thin"),
            (curves.raw, f"{curves.split}, raw weights", "dashed"),
            (curves.averaged, f"{curves.split}, averaged weights", "dots"),
        ]
        hours = list(zip((0, 0.0), *curves.hours, strict=True))
        for number, (points, about, style) in enumerate(kinds):
            # Beside other runs the raw weights would hide their curves.
            if not points or (in_hours and not curves.hours) or (several and style == "dashed"):
                continue
            points = np.array(points, float) * (1.0, factor)
            if in_hours:
                points[:, 0] = np.interp(points[:, 0], *hours)
            name = f"{view['name']}: {about}" if several else about
            series.append(charts.Series(name, points, view["number"] if several else number, style))
    return series


def _results(group):
    """The scores of comparable runs, and published ones, as rows of a table; None without rows."""
    run = group[0]["data"].run
    if run.dataset is None or run.metric != "bits_per_dim":
        return None
    found, own = group[0]["published"], []
    for view in group:
        last, images = view["data"].last_score, f"all {run.dataset.eval.num_examples:,} images"
        if last:
            own.append((view["name"], last.value, last.error, f"step {last.step:,}, {images}"))
        elif view["data"].scores:
            about = f"step {view['data'].run.step:,}, {view['images']}"
            own.append((view["name"], view["mean"], None, about))
    rows = [dict(name=each.model, score=each.score, about=each.paper) for each in found.results]
    for name, value, error, about in own:
        shown = f"{value * found.factor:.{found.decimals}f}"
        if error is not None:
            shown += f" ± {error * found.factor:.{found.decimals}f}"
        rows.append(dict(name=name, score=value * found.factor, own=shown, about=about))
    rows.sort(key=lambda row: -row["score"])
    return rows and dict(
        dataset=run.dataset, unit=found.unit, rows=rows, published=bool(found.results)
    )
