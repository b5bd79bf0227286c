"""The sections of a report that show pictures; see `train/report/about.py`."""

import math
from xml.etree.ElementTree import Element

import numpy as np

from train.report.gather import FIELD_IMAGES, most_bits
from train.report.markup import element
from train.report.parts import figure, paragraph, which_images
from train.report.pictures import (
    colours_of,
    completion_rows,
    enlarged,
    field_colours,
    heat,
    picture,
    tiles,
)
from train.report.runs import Runs
from train.scoring.receptive_field import radius, seen_share


def samples(runs: Runs) -> list[Element]:
    """Samples of the averaged weights."""

    def column(number, findings):
        if findings.samples is None:
            return []
        images = colours_of(findings.samples, findings.saved.data.num_levels)
        columns = math.ceil(math.sqrt(len(images)))
        alt = f"{len(images)} images sampled from {runs.names[number]}"
        shown = figure(tiles(images, columns), alt, class_="limited")
        if not findings.saved.config.class_conditional:
            return [shown]
        classes = findings.saved.data.num_classes
        return [shown, paragraph(f"Classes 0 to {classes - 1} in turn, row by row.")]

    made = runs.columns(column)
    return made and [paragraph("Not chosen: the first of one seed."), *made]


def completions(runs: Runs) -> list[Element]:
    """Completions of test images, of which the upper half was given."""

    def column(number, findings):
        found = findings.completions
        if found is None:
            return []
        num, each = found.completed.shape[:2]
        originals = colours_of(found.originals, findings.saved.data.num_levels)
        rows = completion_rows(
            originals, found.mask, colours_of(found.completed, findings.saved.data.num_levels)
        )
        alt = (
            f"{num} rows: a test image, its upper half, and {each} completions by "
            f"{runs.names[number]}"
        )
        return [figure(tiles(rows, each + 2), alt, class_="limited")]

    made = runs.columns(column)
    return made and [
        paragraph(
            "Each row: a test image, its upper half, which was given, and lower halves that the "
            "model drew."
        ),
        *made,
    ]


def _scale(findings):
    return element(
        "div",
        "0",
        element("span", role="img", aria_label="colours from black to yellow"),
        f"{most_bits(findings):.3g} bits a pixel and more",
        class_="scale",
    )


def _cards(findings, chosen):
    """Images beside their maps of bits."""
    cards = []
    for scored in chosen:
        image = colours_of(scored.image.levels, findings.saved.data.num_levels)
        both = tiles(np.stack([image, heat(scored.bits, most_bits(findings))]), 2)
        score = f"{scored.score.bits_per_dim:.3f} bits/dim"
        alt = f"Image {scored.image.name} and its map of bits, {score}"
        cards.append(figure(both, alt, f"{score}\n{scored.image.name}"))
    return element("div", cards, class_="cards")


def maps(runs: Runs) -> list[Element]:
    """The first test images, and where their bits are."""
    made = runs.columns(lambda _, f: [_scale(f), _cards(f, f.first)] if f.first else [])
    return made and [
        paragraph(
            "What each pixel cost, given those before it. The brightest colour is what a pixel "
            "costs of which nothing is known."
        ),
        *made,
    ]


def extremes(runs: Runs) -> list[Element]:
    """The images with the fewest and the most bits."""

    def column(number, findings):
        if not findings.best:
            return []
        parts = []
        for title, chosen in (("Fewest bits", findings.best), ("Most bits", findings.worst)):
            parts += [element("h3", title), _cards(findings, chosen)]
        of = which_images(findings, len(findings.scores))
        return [paragraph(f"Of {of}, with the colours of the maps above."), *parts]

    return runs.columns(column)


def field(runs: Runs) -> list[Element]:
    """What one pixel sees."""

    def column(number, findings):
        if findings.field is None:
            return []
        height, width = findings.field.shape
        (row, left), share = findings.place, seen_share(findings.field, findings.place)
        half, most = (radius(findings.field, findings.place, s) for s in (0.5, 0.9))
        alt = (
            f"Influence of every pixel on that in row {row + 1}, column {left + 1}: "
            f"{100 * share:.0f} per cent of those before it have some, half of it comes from "
            f"within {half} pixels, nine tenths from within {most}"
        )
        # The rows below have none.
        shown = enlarged(field_colours(findings.field, findings.place)[: row + 1])
        caption = (
            f"{100 * share:.0f} % of the pixels before the white one have an influence on it. Half "
            f"of the influence comes from within {half} pixels, nine tenths from within {most}."
        )
        blind = None
        if share < 1.0:
            box = element("span", class_="swatch-box unseen", aria_hidden="true")
            blind = element("figcaption", box, " before the white pixel, but not seen")
        return [
            element(
                "figure",
                picture(shown, alt),
                element("figcaption", caption),
                blind,
                class_="field",
            )
        ]

    made = runs.columns(column)
    return made and [
        paragraph(
            "How much the distribution of the white pixel depends on each pixel before it: the "
            f"mean size of gradients over {FIELD_IMAGES} test images, in logarithmic colours over "
            "5 decades."
        ),
        *made,
    ]
