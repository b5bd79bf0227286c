"""The page of a report: sections, each with one column a run."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from train.report import about, scores, shown
from train.report.gather import Findings
from train.report.markup import document, element
from train.report.runs import Runs
from train.report.style import POLICY, style
from train.run.config_json import versions


class Section(NamedTuple):
    """A section.

    Attributes:
      anchor: its id.
      title: its heading.
      make: gives its elements; none leave it out.
      is_narrow: two of these stand side by side, if there is one run only.
    """

    anchor: str
    title: str
    make: Callable[[Runs], list[Element]]
    is_narrow: bool = False


SECTIONS = (
    Section("training", "What was trained, and how", about.training),
    Section("curve", "Curve", scores.curve),
    Section("results", "Beside published results", scores.results),
    Section("samples", "Samples", shown.samples, is_narrow=True),
    Section("completions", "Completions", shown.completions, is_narrow=True),
    Section("maps", "Likelihood maps", shown.maps),
    Section("extremes", "Best and worst images", shown.extremes),
    Section("histogram", "Scores of the test images", scores.histogram, is_narrow=True),
    Section("calibration", "Calibration", scores.calibration, is_narrow=True),
    Section("field", "Receptive field", shown.field),
)


def page(findings: Sequence[Findings]) -> str:
    """The HTML of the report on one run, or on several side by side."""
    runs = Runs(findings)
    made = [(section, section.make(runs)) for section in SECTIONS]
    made = [(section, elements) for section, elements in made if elements]
    links = [element("a", section.title, href=f"#{section.anchor}") for section, _ in made]
    title = " and ".join(runs.names) if len(runs.names) < 3 else f"{len(runs.names)} runs"
    body = element(
        "main",
        element(
            "header",
            element("h1", title),
            about.overview(runs),
            element("nav", links, aria_label="Sections"),
        ),
        _body(made, runs),
        element("footer", element("p", _made_by(), class_="soft")),
    )
    return document(
        element(
            "html",
            element(
                "head",
                element("meta", charset="utf-8"),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("meta", http_equiv="Content-Security-Policy", content=POLICY),
                element("meta", name="color-scheme", content="light dark"),
                element("title", f"{title}: pixelcnn_tf"),
                element("style", style()),
            ),
            element("body", body),
            lang="en",
        )
    )


def _body(made, runs):
    """The sections; narrow ones that follow each other side by side."""
    found, beside = [], None
    for section, elements in made:
        title = element("h2", section.title)
        whole = element("section", title, elements, id=section.anchor)
        if not section.is_narrow or runs.several:
            beside = None
            found.append(whole)
        elif beside is None:
            beside = element("div", whole, class_="pair")
            found.append(beside)
        else:
            beside.append(whole)
            beside = None
    return found


def _made_by():
    with_what = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Made by train.report on {time.strftime('%Y-%m-%d %H:%M')} with {with_what}."
