"""Count, min, max, mean and quantiles of a stream of numbers, in bounded memory, and mergeable.

Quantiles come from buckets whose bounds grow by a constant factor (as in DDSketch: Masson, Rim, Lee, VLDB
2019): a quantile is within 1 % of a value that was really seen at that rank. At most `BUCKETS_LIMIT` buckets
are kept of each sign; beyond, those nearest to zero are joined, so that only quantiles among them are less
exact.
"""

from __future__ import annotations

from math import ceil, inf, log
from typing import Final

from msgspec import Struct

RELATIVE_ERROR: Final = 0.01
BUCKETS_LIMIT: Final = 512
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG: Final = 1 / log(_GAMMA)
VALUE_LIMIT: Final = 1e290
"""So that no sum of them is beyond what a float holds."""
_TINY: Final = 1e-12
"""Nearer to zero than this is zero."""


class Sketch(Struct, gc=False, omit_defaults=True):
    """What is known of the numbers that were added."""

    n: int = 0
    total: float = 0.0
    low: float = inf
    high: float = -inf
    zeros: int = 0
    positive: dict[int, int] = {}
    negative: dict[int, int] = {}
    """How many numbers lie in each bucket, by its exponent; of negative ones, their magnitudes."""

    def add(self, value: float) -> None:
        """Count a number; those beyond `VALUE_LIMIT`, and what is none, are left out."""
        if not -VALUE_LIMIT < value < VALUE_LIMIT:
            return
        self.n += 1
        self.total += value
        # Called for every reading: a comparison takes half as long as min() and max().
        if value < self.low:  # noqa: PLR1730
            self.low = value
        if value > self.high:  # noqa: PLR1730
            self.high = value
        if value > _TINY:
            buckets = self.positive
            place = ceil(log(value) * _PER_LOG)
        elif value < -_TINY:
            buckets = self.negative
            place = ceil(log(-value) * _PER_LOG)
        else:
            self.zeros += 1
            return
        if place in buckets:
            buckets[place] += 1
        else:
            buckets[place] = 1
            if len(buckets) > BUCKETS_LIMIT:
                _join_lowest(buckets)

    def merge(self, other: Sketch) -> None:
        """Count all that ``other`` counted."""
        self.n += other.n
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.zeros += other.zeros
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for place, count in theirs.items():
                mine[place] = mine.get(place, 0) + count
            while len(mine) > BUCKETS_LIMIT:
                _join_lowest(mine)

    @property
    def mean(self) -> float:
        """0 when nothing was added."""
        return self._within(self.total / self.n) if self.n else 0.0

    def quantile(self, share: float) -> float:
        """The value at that share of the rank, 0 to 1; 0 when nothing was added."""
        if not self.n:
            return 0.0
        rank = max(1, ceil(share * self.n))
        if rank == self.n:
            return self.high
        seen = 0
        for place in sorted(self.negative, reverse=True):
            seen += self.negative[place]
            if seen >= rank:
                return self._within(-_middle(place))
        seen += self.zeros
        if seen >= rank:
            return self._within(0.0)
        for place in sorted(self.positive):
            seen += self.positive[place]
            if seen >= rank:
                return self._within(_middle(place))
        return self.high

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def _middle(place: int) -> float:
    """The number that no other in the bucket is further from than the error, in proportion."""
    try:
        return 2 * _GAMMA**place / (_GAMMA + 1)
    except OverflowError:
        return inf


def _join_lowest(buckets: dict[int, int]) -> None:
    first, second = sorted(buckets)[:2]
    buckets[second] += buckets.pop(first)
