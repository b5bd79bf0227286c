"""A level as a path in a binary tree, with an exact probability for each binary decision.

The levels from `low` to `high` - 1 are halved until one is left: at most 16 binary decisions for
65,536 levels, each of which needs one value of the distribution function. A decision's probability
is the quotient of integer cumulative frequencies F at the three boundaries:

    F(b) = floor(P(level < b) * (2^bits - num_levels) + OFFSET) + b

so every level has a count of at least one out of 2^bits. The quotient of two integers is the same
on every machine. So is the floor, unless P is so close to a jump that another order of summation
may cross it. The encoder estimates how close that is, and stores the index and the rounding of such
decisions as corrections, which the decoder applies.
"""

from collections.abc import Iterator

import numpy as np

# P = 0, P = 1 and fractions such as 1/2 are frequent, and must not be at a jump.
OFFSET = 0.41421356
ROUNDING = 1e-8  # rounding error of a scaled probability, in counts
FEW_LEVELS, FEW_BITS, MANY_BITS = 4096, 22, 24


def frequency_bits(num_levels: int) -> int:
    """Log2 of the sum of the frequencies; one count per level costs less than 0.006 bits."""
    return FEW_BITS if num_levels <= FEW_LEVELS else MANY_BITS


def depth(num_levels: int) -> int:
    """The largest number of binary decisions for a level."""
    return (num_levels - 1).bit_length()


class Descent:
    """The paths of N sub-pixels through the tree, one binary decision at a time.

    Args:
      num: N.
      num_levels: number of levels.

    Attributes:
      low: `[N]`, the lowest level left; the level itself after all decisions.
      open: bool `[N]`, whether a decision is left.
      middle: `[N]`, the boundary of the next decision, in 1 ... num_levels - 1.
    """

    def __init__(self, num: int, num_levels: int):
        self.num_levels = num_levels
        total = 2 ** frequency_bits(num_levels)
        self.free = total - num_levels
        self.low, self.high = np.zeros(num, np.int64), np.full(num, num_levels, np.int64)
        self.below, self.above = np.zeros(num, np.int64), np.full(num, total, np.int64)
        self._next_boundary()

    def _next_boundary(self):
        self.open = self.high - self.low > 1
        self.middle = np.maximum((self.low + self.high) // 2, 1)

    def scaled(self, cumulative: np.ndarray) -> np.ndarray:
        """P(level < middle) in counts, before rounding, `[N]`."""
        return cumulative * self.free + OFFSET

    def probabilities(self, counts: np.ndarray) -> np.ndarray:
        """The probability `[N]` of the upper half, float64, from the rounded counts `[N]`."""
        counts = counts.astype(np.int64) + self.middle
        # Rounding errors may exceed the probability of a level: each keeps at least one count.
        least, most = self.middle - self.low, self.high - self.middle
        self.between = np.clip(counts, self.below + least, self.above - most)
        return (self.above - self.between) / (self.above - self.below)

    def decide(self, upper: np.ndarray) -> None:
        """Makes the decisions: bool `[N]`, whether the upper half; ignored unless `open`."""
        up, down = upper & self.open, ~upper & self.open
        self.low = np.where(up, self.middle, self.low)
        self.below = np.where(up, self.between, self.below)
        self.high = np.where(down, self.middle, self.high)
        self.above = np.where(down, self.between, self.above)
        self._next_boundary()


def decisions(pixels, levels: np.ndarray) -> Iterator[tuple]:
    """The binary decisions of given levels.

    Args:
      pixels: the distributions of N pixels, such as `MixturePixels`, with a channel selected.
      levels: int `[N]`.

    Yields:
      For every decision `(upper, probabilities, open, doubtful, lower)`, each `[N]`: the decision,
      the probability of `upper`, whether it exists, whether its rounding needs a correction, and
      whether it was rounded down at the nearest jump.
    """
    descent = Descent(len(levels), pixels.num_levels)
    for _ in range(depth(pixels.num_levels)):
        cumulative, error = pixels.below_with_error(descent.middle)
        scaled = descent.scaled(cumulative)
        counts, nearest = np.floor(scaled), np.rint(scaled)
        doubtful = (np.abs(scaled - nearest) <= error * descent.free + ROUNDING) & descent.open
        probabilities = descent.probabilities(counts)
        upper = levels >= descent.middle
        yield upper, probabilities, descent.open, doubtful, counts < nearest
        descent.decide(upper)
