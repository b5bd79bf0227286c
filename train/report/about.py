"""The sections of a report about what was trained, and how.

Each section takes `Runs` and gives the elements below its heading, none if there is nothing to
show.
"""

import dataclasses
import shlex
from xml.etree.ElementTree import Element

import numpy as np

from train.config.config import Config
from train.config.models import MODEL_FIELDS, MODELS
from train.config.presets import command_of
from train.progress import duration
from train.report.markup import element
from train.report.parts import paragraph
from train.report.runs import Runs


def overview(runs: Runs) -> list[Element]:
    """The most important numbers of each run."""
    return [
        element("div", runs.heading(number, "h2"), _about(findings), _facts(runs, findings))
        for number, _, findings in runs
    ]


def _about(findings):
    config, data = findings.saved.config, findings.saved.data
    height, width, channels = data.image_shape
    kind = "grey" if channels == 1 else "colour"
    text = (
        f"{config.model} on {config.dataset}: {kind} images of {height} x {width} pixels, "
        f"{data.num_levels:,} levels a channel"
    )
    if config.class_conditional:
        text += f", conditioned on {data.num_classes} classes"
    if config.condition:
        text += f", given the condition {config.condition}"
    raw = "" if findings.averaged else " Samples, scores and maps are of the raw weights."
    return paragraph(f"{text}.{raw}")


def _facts(runs, findings):
    curves, unit, last = findings.curves, runs.unit(findings), findings.last_score
    facts = []
    if last:
        later = f"at step {last.step:,}" if last.step != findings.step else ""
        facts.append((f"{unit}, {last.split}", f"{last.value:.4f}", later))
    elif findings.scores:
        mean = np.mean([row.bits_per_dim for row in findings.scores])
        facts.append((unit, f"{mean:.4f}", f"{len(findings.scores):,} images"))
    if last and last.loss is not None and findings.metric == "bits_per_dim":
        facts.append(("nats an image", f"{last.loss:,.2f}", ""))
    facts.append(("steps", f"{findings.step:,}", ""))
    if curves.hours:
        text = duration(3600 * curves.hours[-1][1])
        facts.append(("training", text, ""))
    facts.append(("weights", f"{findings.num_weights:,}", ""))
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", name),
                element("dd", value, element("small", more) if more else None),
            )
            for name, value, more in facts
        ],
        class_="facts",
    )


def training(runs: Runs) -> list[Element]:
    """Command, versions and configuration."""

    def column(number, findings):
        computed_with = ", ".join(f"{n} {v}" for n, v in findings.saved.versions.items())
        return [
            *_command(findings),
            paragraph(
                f"Last started with {computed_with}."
                if computed_with
                else "The run does not tell its versions: it is older than their being kept."
            ),
        ]

    return [
        *runs.columns(column),
        element(
            "details",
            element("summary", "The whole configuration"),
            _configuration(runs),
        ),
    ]


def _command(findings):
    """The command that trained a run; of packed weights the one of their card."""
    if findings.card:
        made = [paragraph("The command, from the card:"), element("pre", findings.card["command"])]
        note = findings.card.get("note")
        return [*made, paragraph(note)] if note else made
    arguments = [shlex.quote(text) for text in command_of(findings.saved.config)]
    command = " \\\n  ".join(["python -m train.main", *arguments])
    return [paragraph("The command, put together from config.json:"), element("pre", command)]


def _configuration(runs):
    rows = []
    for field in dataclasses.fields(Config):
        values = []
        for _, _, findings in runs:
            config = findings.saved.config
            foreign = field.name in MODEL_FIELDS and field.name not in MODELS[config.model].fields()
            values.append("" if foreign else str(getattr(config, field.name)))
        differs = len(set(values)) > 1 and field.name != "workdir"
        rows.append(
            element(
                "tr",
                element("td", field.name, title=field.metadata["help"]),
                [element("td", value, class_="value") for value in values],
                class_="differs" if differs else None,
            )
        )
    heads = [
        element("th", name, scope="col") for name in (runs.names if runs.several else ["value"])
    ]
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", element("th", "flag", scope="col"), heads)),
            element("tbody", rows),
        ),
        class_="table",
    )
