"""What several sections of a report are made of."""

from xml.etree.ElementTree import Element

import numpy as np

from train.report.gather import Findings
from train.report.markup import Child, element
from train.report.pictures import picture


def paragraph(*text: Child) -> Element:
    """A paragraph that explains."""
    return element("p", *text, class_="soft")


def figure(pixels: np.ndarray, alt: str, caption: str = "", class_: str | None = None) -> Element:
    """A picture (see `picture`) with a caption."""
    return element(
        "figure",
        picture(pixels, alt),
        element("figcaption", caption) if caption else None,
        class_=class_,
    )


def which_images(findings: Findings, number: int) -> str:
    """ "the 300 test images", or "the first 100 test images" of more."""
    whole = number == findings.dataset.eval.num_examples
    return f"the {'' if whole else 'first '}{number:,} {findings.dataset.eval_name} images"
