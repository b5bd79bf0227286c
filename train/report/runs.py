"""The runs of a report: what they are called, and whether their scores can be compared."""

import os
from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from train.report.gather import Findings
from train.report.markup import element
from train.scoring.published_scores import Published, published

# Fields of `Config`.
SAME_DATA = ("dataset", "resize", "crop", "binarize", "condition", "eval_split")
UNITS = {"bits_per_dim": "bits/dim", "energy_distance": "energy distance"}


class Runs:
    """The runs side by side; each has its name and, by its place, its colour.

    Args:
      findings: of each run.

    Attributes:
      names: the last part of each folder, or the whole where two have the same.
      comparable: whether all scores are of the same images and levels.
    """

    def __init__(self, findings: Sequence[Findings]):
        self.findings = list(findings)
        paths = [each.workdir for each in self.findings]
        names = [os.path.basename(os.path.abspath(path)) for path in paths]
        self.names = names if len(set(names)) == len(names) else paths
        self.comparable = len({self._data(each) for each in self.findings}) == 1

    @staticmethod
    def _data(findings):
        config = findings.saved.config
        fields = tuple(getattr(config, name) for name in SAME_DATA)
        return fields + findings.saved.data[:2] + (findings.metric,)

    def __iter__(self) -> Iterator[tuple[int, str, Findings]]:
        """Number, name, findings of each."""
        return iter(zip(range(len(self.names)), self.names, self.findings, strict=True))

    @property
    def several(self) -> bool:
        return len(self.names) > 1

    def heading(self, number: int, tag: str = "h3") -> Element | None:
        """The name of a run, with its colour; None if there is one run only."""
        if not self.several:
            return None
        badge = element("span", class_=f"badge c{number}", aria_hidden="true")
        return element(tag, badge, self.names[number])

    def columns(self, make: Callable[[int, Findings], list[Element]]) -> list[Element]:
        """A column for each run that has something to show; none if no run has.

        Args:
          make: gives a run's elements, none if it has nothing to show.
        """
        made = [(number, make(number, findings)) for number, _, findings in self]
        if not any(elements for _, elements in made):
            return []
        nothing = element("p", "Nothing to show of this run.", class_="soft")
        columns = [
            element("div", self.heading(number), elements or nothing) for number, elements in made
        ]
        return [element("div", columns, class_="columns")]

    @staticmethod
    def unit(findings: Findings) -> str:
        return UNITS.get(findings.metric, findings.metric)

    @staticmethod
    def published(findings: Findings) -> Published:
        """The published results that a run's scores stand beside."""
        benchmark = findings.dataset.benchmark if findings.dataset else ""
        return published(benchmark, findings.saved.data.image_shape)
