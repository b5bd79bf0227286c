"""A level as a way through a binary tree, each turn with an exact probability.

The levels from `low` to `high` - 1 are halved until one is left: at most 16 turns for 65,536
levels, each of which asks for one value of the distribution function. Its probability is that
of the integer cumulative frequencies F at the three boundaries:

    F(b) = floor(P(level < b) * (2^bits - num_levels) + OFFSET) + b

so every level has at least one count of the 2^bits. The division of two integers is the same on
every machine; so is the floor, unless P lies so close to a jump of it that another order of sums
may end on the other side. The encoder, which knows how far that may be, writes such places and
which side it took into the list of corrections. It may judge freely: the decoder only follows.
"""

from collections.abc import Iterator

import numpy as np

# P = 0, P = 1 and fractions such as 1/2 are frequent, and must not lie at a jump.
OFFSET = 0.41421356
ROUNDING = 1e-8  # of a scaled probability, in counts
FEW_LEVELS, FEW_BITS, MANY_BITS = 4096, 22, 24


def frequency_bits(num_levels: int) -> int:
    """Logarithm of the sum of the frequencies: one count a level costs less than 0.006 bits."""
    return FEW_BITS if num_levels <= FEW_LEVELS else MANY_BITS


def depth(num_levels: int) -> int:
    """The most turns that lead to a level."""
    return (num_levels - 1).bit_length()


class Walk:
    """The ways of N sub-pixels through the tree, one turn after the other.

    Args:
      num: N.
      num_levels: number of levels.

    Attributes:
      low: `[N]`, where the ways lead to: the level, once all turns are done.
      open: bool `[N]`, whether there is a turn to take.
      middle: `[N]`, the boundary that the next turn is about; inside 1 ... num_levels - 1.
    """

    def __init__(self, num: int, num_levels: int):
        self.num_levels = num_levels
        total = 2 ** frequency_bits(num_levels)
        self.free = total - num_levels
        self.low, self.high = np.zeros(num, np.int64), np.full(num, num_levels, np.int64)
        self.below, self.above = np.zeros(num, np.int64), np.full(num, total, np.int64)
        self._look()

    def _look(self):
        self.open = self.high - self.low > 1
        self.middle = np.maximum((self.low + self.high) // 2, 1)

    def scaled(self, cumulative: np.ndarray) -> np.ndarray:
        """P(level < middle) before it is rounded to counts, `[N]`."""
        return cumulative * self.free + OFFSET

    def probabilities(self, counts: np.ndarray) -> np.ndarray:
        """The probability `[N]` of the upper half, float64, from the rounded counts `[N]`."""
        counts = counts.astype(np.int64) + self.middle
        # Sums may err by more than a level has: each keeps at least one count even so.
        least, most = self.middle - self.low, self.high - self.middle
        self.between = np.clip(counts, self.below + least, self.above - most)
        return (self.above - self.between) / (self.above - self.below)

    def turn(self, upper: np.ndarray) -> None:
        """Takes the turn: bool `[N]`, whether to the upper half. Only where `open`."""
        up, down = upper & self.open, ~upper & self.open
        self.low = np.where(up, self.middle, self.low)
        self.below = np.where(up, self.between, self.below)
        self.high = np.where(down, self.middle, self.high)
        self.above = np.where(down, self.between, self.above)
        self._look()


def turns(pixels, levels: np.ndarray) -> Iterator[tuple]:
    """The turns that lead to given levels.

    Args:
      pixels: distributions with a channel selected, as `MixturePixels`, of N pixels.
      levels: int `[N]`.

    Yields:
      For every turn `(upper, probabilities, open, doubtful, lower)`, each `[N]`: the turn, the
      probability of `upper`, whether there is a turn, whether its rounding needs a correction,
      and whether it was rounded to the lower side of the nearest jump.
    """
    walk = Walk(len(levels), pixels.num_levels)
    for _ in range(depth(pixels.num_levels)):
        cumulative, error = pixels.below_with_error(walk.middle)
        scaled = walk.scaled(cumulative)
        counts, nearest = np.floor(scaled), np.rint(scaled)
        doubtful = (np.abs(scaled - nearest) <= error * walk.free + ROUNDING) & walk.open
        probabilities = walk.probabilities(counts)
        upper = levels >= walk.middle
        yield upper, probabilities, walk.open, doubtful, counts < nearest
        walk.turn(upper)
