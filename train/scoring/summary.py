"""Tables of scores on the terminal: their distribution, and the comparison with a reference."""

import numpy as np

from train.scoring.detection import TPR, detect
from train.scoring.figures import write_histogram
from train.scoring.scores import Score

QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # per cent
COLUMNS = ("log_prob_nats", "bits_per_dim", "likelihood_ratio_nats")
COLUMNS += ("complexity_bits", "complexity_score")


def print_summary(title: str, scores: list[Score]) -> None:
    """Prints mean and quantiles of every column."""
    print(f"{title}\n{'':22}{'mean':>12}" + "".join(f"{f'{q} %':>12}" for q in QUANTILES))
    for column in COLUMNS:
        if getattr(scores[0], column) is not None:
            values = [getattr(score, column) for score in scores]
            numbers = [np.mean(values), *np.percentile(values, QUANTILES)]
            print(f"{column:22}" + "".join(f"{number:12.7g}" for number in numbers))


def compare(
    scores: list[Score], reference: list[Score], names: tuple[str, str], histogram: str
) -> None:
    """Prints how well images can be distinguished from a reference, and draws the histograms.

    Args:
      scores: of the images.
      reference: of images known to be in-distribution.
      names: what the two are called.
      histogram: figure to write.

    Raises:
      OSError: if the figure cannot be written.
    """

    def per_dim(column):
        both = [[getattr(s, column) / s.dims for s in each] for each in (scores, reference)]
        return [np.array(each) for each in both]

    bits = [np.array([score.bits_per_dim for score in each]) for each in (scores, reference)]
    # score -> (label of the axis, sign: then higher is less like the reference, values of both)
    measures = {"likelihood": ("bits/dim", 1, bits)}
    if scores[0].likelihood_ratio_nats is not None:
        measures["ratio"] = ("likelihood ratio, nats/dim", -1, per_dim("likelihood_ratio_nats"))
    measures["complexity"] = ("bits/dim minus complexity", 1, per_dim("complexity_score"))
    print(
        f"{names[0]} ({len(scores):,}) against the reference {names[1]} ({len(reference):,}); "
        f"AUROC 0.5 is chance\n{'score':12}{'AUROC':>8}  FPR at {TPR:.0%} TPR"
    )
    for name, (_, sign, both) in measures.items():
        auroc, fpr = detect(*(sign * values for values in both))
        print(f"{name:12}{auroc:8.4f}{fpr:10.4f}")
    write_histogram(histogram, {axis: both for axis, _, both in measures.values()}, names)
