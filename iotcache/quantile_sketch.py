"""Count, min, max, mean and quantiles of a stream of numbers, in bounded memory, and mergeable.

Quantiles come from buckets whose bounds grow by a constant factor (as in DDSketch: Masson, Rim, Lee, VLDB
2019): a quantile is within 1 % of a value that was really seen at that rank. At most `BUCKETS_LIMIT` buckets
are kept of each sign; beyond, those nearest to zero are joined, so that only quantiles among them are less
exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil, inf, isfinite, log
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


class QuantileSketch(Struct, gc=False, omit_defaults=True):
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
        self.add_all((value,))

    def add_all(self, values: Sequence[float]) -> None:
        """`add` each."""
        # Every reading passes here, and built-in functions take a fraction of a loop's time.
        total, low, high = sum(values), min(values, default=inf), max(values, default=-inf)
        if not (isfinite(total) and low > -VALUE_LIMIT and high < VALUE_LIMIT):
            fit = [value for value in values if -VALUE_LIMIT < value < VALUE_LIMIT]
            if fit:
                self.add_all(fit)
            return
        self.n += len(values)
        self.total += total
        self.low = min(self.low, low)
        self.high = max(self.high, high)
        if low > _TINY:
            _count(self.positive, values)
            return
        positive = [value for value in values if value > _TINY]
        negative = [-value for value in values if value < -_TINY]
        self.zeros += len(values) - len(positive) - len(negative)
        _count(self.positive, positive)
        _count(self.negative, negative)

    def merge(self, other: QuantileSketch) -> None:
        """Count all that ``other`` counted."""
        self.n += other.n
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.zeros += other.zeros
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for bucket, count in theirs.items():
                mine[bucket] = mine.get(bucket, 0) + count
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
        for bucket in sorted(self.negative, reverse=True):
            seen += self.negative[bucket]
            if seen >= rank:
                return self._within(-_middle(bucket))
        seen += self.zeros
        if seen >= rank:
            return self._within(0.0)
        for bucket in sorted(self.positive):
            seen += self.positive[bucket]
            if seen >= rank:
                return self._within(_middle(bucket))
        return self.high

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def _middle(bucket: int) -> float:
    """The number that no other in the bucket is further from than the error, in proportion."""
    try:
        return 2 * _GAMMA**bucket / (_GAMMA + 1)
    except OverflowError:
        return inf


def _count(buckets: dict[int, int], magnitudes: Iterable[float]) -> None:
    """Count numbers above zero in their buckets."""
    for bucket, count in Counter([ceil(log(value) * _PER_LOG) for value in magnitudes]).items():
        buckets[bucket] = buckets.get(bucket, 0) + count
    while len(buckets) > BUCKETS_LIMIT:
        _join_lowest(buckets)


def _join_lowest(buckets: dict[int, int]) -> None:
    first, second = sorted(buckets)[:2]
    buckets[second] += buckets.pop(first)
