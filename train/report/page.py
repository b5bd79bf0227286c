"""The page of a report: one column for each run, rendered by Jinja2."""

import dataclasses
import functools
import math
import os
import shlex
import time
from collections.abc import Sequence
from typing import NamedTuple

import jinja2
import numpy as np

from train.config.config import Config
from train.config.models import MODEL_FIELDS, MODELS
from train.config.presets import command_of
from train.progress import duration
from train.report import charts, images
from train.report.gather import CALIBRATED, FIELD_IMAGES, ReportData, most_bits
from train.run.config_json import versions
from train.scoring.calibration import CENTRAL, QUANTILES
from train.scoring.published_scores import notes, published
from train.scoring.receptive_field import radius, seen_share

# Runs are comparable if these fields of `Config` are the same.
SAME_DATA = ("dataset", "resize", "crop", "binarize", "condition", "eval_split")
UNITS = {"bits_per_dim": "bits/dim", "energy_distance": "energy distance"}
COVERAGE = {"all": "all values", "unsure": "uncertain values"}


class Column(NamedTuple):
    """A run of the report: its name, the number of its colour, its data."""

    name: str
    number: int
    data: ReportData

    @property
    def colour(self) -> str:
        return charts.COLOURS[self.number % len(charts.COLOURS)]


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this package; everything that they show is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("train.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(data: Sequence[ReportData]) -> str:
    """The HTML of the report on one run, or on several side by side."""
    paths = [each.workdir for each in data]
    names = [os.path.basename(os.path.abspath(path)) for path in paths]
    names = names if len(set(names)) == len(names) else paths
    columns = [Column(*each) for each in zip(names, range(len(names)), data, strict=True)]
    comparable = len({_kind_of_data(each) for each in data}) == 1
    groups = [columns] if comparable else [[column] for column in columns]
    made_by = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        environment()
        .get_template("report.html")
        .render(
            title=" and ".join(names) if len(names) < 3 else f"{len(names)} runs",
            columns=columns,
            comparable=comparable,
            overview=[_overview(column) for column in columns],
            training=[_training(column) for column in columns],
            configuration=_configuration(columns),
            curves=[found for group in groups if (found := _curves(group))],
            results=[found for group in groups if (found := _results(group))],
            samples=_each(columns, _samples),
            completions=_each(columns, _completions),
            maps=_each(columns, lambda column: _cards(column, column.data.first)),
            extremes=_each(columns, _extremes),
            histogram=_histograms(columns, comparable),
            calibration=_each(columns, _calibration),
            field=_each(columns, _field),
            calibrated=CALIBRATED,
            field_images=FIELD_IMAGES,
            gradient=images.heat_gradient(),
            unseen="rgb({}, {}, {})".format(*images.UNSEEN),
            footer=f"Made by train.report on {time.strftime('%Y-%m-%d %H:%M')} with {made_by}.",
        )
    )


def _each(columns, make):
    """What `make` gives for each column, or [] if it gives nothing for any."""
    found = [make(column) for column in columns]
    return found if any(found) else []


def _kind_of_data(data):
    fields = tuple(getattr(data.saved.config, name) for name in SAME_DATA)
    return fields + data.saved.data[:2] + (data.metric,)


def _unit(data):
    return UNITS.get(data.metric, data.metric)


def _published(data):
    benchmark = data.dataset.benchmark if data.dataset else ""
    return published(benchmark, data.saved.data.image_shape)


def _which_images(data, number):
    """ "the 300 test images", or "the first 100 test images" of more."""
    whole = number == data.dataset.eval.num_examples
    return f"the {'' if whole else 'first '}{number:,} {data.dataset.eval_name} images"


def _overview(column):
    data = column.data
    config, kind = data.saved.config, data.saved.data
    height, width, channels = kind.image_shape
    about = (
        f"{config.model} on {config.dataset}: {'grey' if channels == 1 else 'colour'} images of "
        f"{height} x {width} pixels, {kind.num_levels:,} levels per channel"
    )
    if config.class_conditional:
        about += f", conditioned on {kind.num_classes} classes"
    if config.condition:
        about += f", conditioned on {config.condition}"
    raw = "" if data.averaged else " Samples, scores and maps are of the raw weights."
    facts, last = [], data.last_score
    if last:
        place = f"at step {last.step:,}" if last.step != data.step else ""
        if last.error is not None:
            place = f"+- {last.error:.4f} (standard error) {place}".rstrip()
        facts.append((f"{_unit(data)}, {last.split}", f"{last.value:.4f}", place))
    elif data.scores:
        mean = np.mean([row.bits_per_dim for row in data.scores])
        facts.append((_unit(data), f"{mean:.4f}", f"{len(data.scores):,} images"))
    if last and last.loss is not None and data.metric == "bits_per_dim":
        facts.append(("nats/image", f"{last.loss:,.2f}", ""))
    facts.append(("steps", f"{data.step:,}", ""))
    if data.curves.hours:
        facts.append(("training", duration(3600 * data.curves.hours[-1][1]), ""))
    facts.append(("weights", f"{data.num_weights:,}", ""))
    return dict(about=f"{about}.{raw}", facts=facts)


def _training(column):
    """The command that trained the run, and the package versions."""
    data = column.data
    recorded = ", ".join(f"{n} {v}" for n, v in data.saved.versions.items())
    version_text = "Package versions were not recorded for this run."
    if recorded:
        version_text = f"Last started with {recorded}."
    if data.card:
        title, command = "The command, from the model card:", data.card["command"]
    else:
        arguments = [shlex.quote(text) for text in command_of(data.saved.config)]
        title = "The command, reconstructed from config.json:"
        command = " \\\n  ".join(["python -m train.main", *arguments])
    note = data.card.get("note", "")
    return dict(title=title, command=command, note=note, versions=version_text)


def _configuration(columns):
    rows = []
    for field in dataclasses.fields(Config):
        values = []
        for column in columns:
            config = column.data.saved.config
            foreign = field.name in MODEL_FIELDS and field.name not in MODELS[config.model].fields()
            values.append("" if foreign else str(getattr(config, field.name)))
        differs = len(set(values)) > 1 and field.name != "workdir"
        rows.append(dict(name=field.name, values=values, differs=differs))
    return rows


def _curves(group):
    """Charts of scores against steps and hours, of runs that can be compared."""
    data = group[0].data
    results = _published(data)
    unit = "nats/image" if results.unit == "nats" else _unit(data)
    marks = [(each.score, each.model) for each in results.results]
    found = []
    for hours, label in ((False, "step"), (True, "hours of training")):
        series = _series(group, results.factor, hours)
        if series:
            found.append(charts.curves(series, (label, unit), marks))
    return found


def _series(group, factor, hours):
    found, several = [], len(group) > 1
    for column in group:
        curves, scored = column.data.curves, column.data.curve_split
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
                name = f"{column.name}: {about}" if several else about
                colour = column.number if several else colour
                found.append(charts.Series(name, points, colour, style))
    return found


def _results(group):
    """The runs beside published results, in columns of their own."""
    data = group[0].data
    if data.dataset is None or data.metric != "bits_per_dim":
        return None
    found = _published(data)
    rows = [
        dict(score=each.score, name=each.model, published=f"{each.score:.2f}", about=each.paper)
        for each in found.results
    ]
    for column in group:
        each = column.data
        if each.last_score:
            step, value = each.last_score.step, each.last_score.value
            about = f"step {step:,}, all {each.dataset.eval.num_examples:,} images"
        elif each.scores:
            value = float(np.mean([row.bits_per_dim for row in each.scores]))
            about = f"step {each.step:,}, {_which_images(each, len(each.scores))}"
        else:
            continue
        value *= found.factor
        here = f"{value:.{found.decimals}f}"
        error = each.last_score.error if each.last_score else None
        if error is not None:
            here += f" +- {error * found.factor:.{found.decimals}f}"
        rows.append(dict(score=value, name=column.name, here=here, about=about))
    if not rows:
        return None
    unit = "nats/image" if found.unit == "nats" else found.unit
    about = f"{data.dataset.name}, {data.dataset.eval_name}, in {unit}."
    if not found.results:
        about += " No published results are of these images and levels, or none is listed."
    return dict(
        about=about,
        rows=sorted(rows, key=lambda row: -row["score"]),
        has_published=bool(found.results),
        notes=[f"{note[0].upper()}{note[1:]}." for note in notes(data.dataset)],
    )


def _colours(column, levels):
    return images.colours_of(levels, column.data.saved.data.num_levels)


def _samples(column):
    data = column.data
    if data.samples is None:
        return None
    drawn = _colours(column, data.samples)
    alt = f"{len(drawn)} images sampled from {column.name}"
    shown = images.picture(images.tiles(drawn, math.ceil(math.sqrt(len(drawn)))), alt)
    classes = data.saved.data.num_classes if data.saved.config.class_conditional else None
    caption = f"Classes 0 to {classes - 1}, repeated row by row." if classes else ""
    return dict(picture=shown, caption=caption)


def _completions(column):
    found = column.data.completions
    if found is None:
        return None
    num, each = found.completed.shape[:2]
    rows = images.completion_rows(
        _colours(column, found.originals), found.mask, _colours(column, found.completed)
    )
    alt = f"{num} rows: a test image, its upper half, and {each} completions by {column.name}"
    return dict(picture=images.picture(images.tiles(rows, each + 2), alt), caption="")


def _cards(column, chosen):
    """Images beside their bits-per-pixel maps."""
    if not chosen:
        return None
    most, cards = most_bits(column.data), []
    for scored in chosen:
        image = _colours(column, scored.image.levels)
        both = images.tiles(np.stack([image, images.heat(scored.bits, most)]), 2)
        score = f"{scored.score.bits_per_dim:.3f} bits/dim"
        alt = f"Image {scored.image.name} and its bits-per-pixel map, {score}"
        cards.append(dict(picture=images.picture(both, alt), score=score, name=scored.image.name))
    return dict(cards=cards, most=f"{most:.3g}")


def _extremes(column):
    data = column.data
    if not data.best:
        return None
    return dict(
        about=f"Of {_which_images(data, len(data.scores))}, with the colours of the maps above.",
        groups=[
            ("Fewest bits", _cards(column, data.best)["cards"]),
            ("Most bits", _cards(column, data.worst)["cards"]),
        ],
    )


def _histograms(columns, comparable):
    values = [np.array([row.bits_per_dim for row in column.data.scores]) for column in columns]
    present = [each for each in values if len(each)]
    edges, highest = None, None
    if present and comparable:  # one axis for all
        edges = charts.bins(present)
        highest = max(np.histogram(each, edges)[0].max() / len(each) for each in present)

    def make(column):
        scores = values[column.number]
        if not len(scores):
            return None
        own = charts.bins([scores]) if edges is None else edges
        low, median, high = np.percentile(scores, [5, 50, 95])
        which = _which_images(column.data, len(scores))
        caption = (
            f"{which[0].upper()}{which[1:]}: mean {scores.mean():.3f}, median {median:.3f}, 5 % "
            f"below {low:.3f}, 5 % above {high:.3f}."
        )
        return dict(chart=charts.histogram(scores, own, column.number, highest), caption=caption)

    return _each(columns, make)


def _calibration(column):
    coverage = column.data.coverage
    if not coverage:
        return None
    rows = [
        dict(
            name=f"{COVERAGE[kind]}, {found.count:,}",
            shares=[f"{100 * found.central(share):.1f} %" for share in CENTRAL],
        )
        for kind, found in coverage.items()
    ]
    chart = charts.calibration(coverage, QUANTILES, COVERAGE, column.number)
    return dict(chart=chart, intervals=[f"{100 * share:.0f} %" for share in CENTRAL], rows=rows)


def _field(column):
    field, place = column.data.field, column.data.place
    if field is None:
        return None
    share = seen_share(field, place)
    half, most = (radius(field, place, part) for part in (0.5, 0.9))
    text = (
        f"{100 * share:.0f} % of the earlier pixels influence the white one. Half of the "
        f"influence comes from within {half} pixels, nine tenths from within {most}."
    )
    # The rows below have no influence.
    shown = images.enlarged(images.field_colours(field, place)[: place[0] + 1])
    alt = f"Receptive field of the pixel in row {place[0] + 1}, column {place[1] + 1}. {text}"
    return dict(picture=images.picture(shown, alt), caption=text, has_unseen=share < 1.0)
