"""How well the distributions of the pixels are calibrated: how often a value lies below their
quantiles.

If a model is right, a share q of all values lies below its q-quantile. Levels are discrete, so
that a value's place in its distribution is an interval, from the probability of the levels below it
to that of the levels up to it; its mass is spread evenly over it (the nonrandomized probability
integral transform of Czado, Gneiting and Held 2009, "Predictive model assessment for count data").
"""

from typing import NamedTuple

import numpy as np

from pixelcnn_tf.codec.engine import DISTRIBUTIONS
from pixelcnn_tf.levels import level_values
from pixelcnn_tf.likelihoods.base import Likelihood

QUANTILES = np.linspace(0.0, 1.0, 41)
CENTRAL = (0.5, 0.8, 0.9, 0.95)  # central intervals; their ends are among the quantiles
SURE = 0.95  # of a value's darkest or brightest level: more than this, and it is a sure one
SLAB = 2**15  # pixels whose distributions are computed at a time


class Coverage(NamedTuple):
    """What `Calibration` has found.

    Attributes:
      count: how many values.
      below: share of them below their own q-quantile, for each q of `QUANTILES`.
    """

    count: int
    below: np.ndarray

    def central(self, share: float) -> float:
        """Share of the values within the central interval of this probability."""
        ends = (0.5 - share / 2, 0.5 + share / 2)
        low, high = np.interp(ends, QUANTILES, self.below)
        return float(high - low)


def is_calibratable(likelihood: Likelihood) -> bool:
    """Whether the likelihood has distribution functions that `Calibration` knows."""
    return isinstance(likelihood, tuple(DISTRIBUTIONS))


class Calibration:
    """Counts, over any number of batches, how many values lie below the quantiles.

    Args:
      likelihood: the model's; `is_calibratable`.
    """

    def __init__(self, likelihood: Likelihood):
        self.likelihood = likelihood
        kinds = [k for kind, k in DISTRIBUTIONS.items() if isinstance(likelihood, kind)]
        self.distribution = kinds[0]
        self.values = level_values(likelihood.num_levels)
        self.sums = {name: np.zeros(len(QUANTILES)) for name in ("all", "unsure")}
        self.counts = {name: 0 for name in self.sums}

    def add(self, levels: np.ndarray, parameters: np.ndarray) -> None:
        """Adds images.

        Args:
          levels: integers `[B, H, W, C]`.
          parameters: what the network gives for them, `[B, H, W, P]`.
        """
        channels = levels.shape[-1]
        levels = levels.reshape(-1, channels).astype(np.int64)
        parameters = parameters.reshape(len(levels), -1).astype(np.float64)
        for begin in range(0, len(levels), SLAB):
            self._add(levels[begin : begin + SLAB], parameters[begin : begin + SLAB])

    def _add(self, levels, parameters):
        pixels, top = self.distribution(self.likelihood, parameters), self.likelihood.num_levels - 1
        for channel in range(levels.shape[-1]):
            pixels.select(channel)
            here = levels[:, channel]
            low = np.where(here == 0, 0.0, pixels.below(np.maximum(here, 1)))
            high = np.where(here == top, 1.0, pixels.below(np.minimum(here + 1, top)))
            darkest = pixels.below(np.full_like(here, 1))
            brightest = 1.0 - pixels.below(np.full_like(here, top))
            unsure = (darkest < SURE) & (brightest < SURE)
            width = np.maximum(high - low, 1e-12)
            for number, quantile in enumerate(QUANTILES):
                below = np.clip((quantile - low) / width, 0.0, 1.0)
                self.sums["all"][number] += below.sum()
                self.sums["unsure"][number] += below[unsure].sum()
            self.counts["all"] += len(here)
            self.counts["unsure"] += int(unsure.sum())
            pixels.set(here, self.values[here])

    def result(self) -> dict[str, Coverage]:
        """`all` values, and the `unsure` ones: neither their darkest nor their brightest level has
        more than 95 %. A set without values is left out."""
        return {
            name: Coverage(count, self.sums[name] / count)
            for name, count in self.counts.items()
            if count
        }
