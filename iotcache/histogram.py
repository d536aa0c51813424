"""Durations in log-spaced buckets: percentiles within a known error, mergeable, of fixed size.

Each power of two is cut into 32 equal steps, as HdrHistogram does with five significant bits, so a
percentile is at most 1/32 (3.2 %) above the true value. From 1 µs to about 70 minutes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

_SUB_BITS = 5
_SUB = 1 << _SUB_BITS
_TOP_BITS = 32
_SIZE = _SUB + (_TOP_BITS - _SUB_BITS) * _SUB
_LARGEST_US = (1 << _TOP_BITS) - 1


def _bucket(us: int) -> int:
    if us < _SUB:
        return us
    shift = us.bit_length() - _SUB_BITS - 1
    return (shift << _SUB_BITS) + (us >> shift)


def _upper_us(bucket: int) -> int:
    """The largest whole microsecond that falls into ``bucket``."""
    if bucket < _SUB:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return (((bucket & (_SUB - 1)) + _SUB + 1) << shift) - 1


class DurationHistogram:
    """Counts of durations. Not thread-safe: one owner, hand over a `copy`."""

    __slots__ = ("_counts", "count", "max_ms", "total_ms")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _SIZE))
        self.count = 0
        self.total_ms = 0.0
        self.max_ms = 0.0

    def add(self, ms: float, times: int = 1) -> None:
        """Count one duration in milliseconds, ``times`` times; a negative one counts as 0."""
        ms = max(ms, 0.0)
        us = min(int(ms * 1000.0), _LARGEST_US)
        self._counts[_bucket(us)] += times
        self.count += times
        self.total_ms += ms * times
        self.max_ms = max(self.max_ms, ms)

    def merge(self, others: Iterable[DurationHistogram]) -> DurationHistogram:
        """Add the counts of ``others`` to this one; returns itself."""
        for other in others:
            if other.count:
                for bucket, count in enumerate(other._counts):
                    if count:
                        self._counts[bucket] += count
                self.count += other.count
                self.total_ms += other.total_ms
                self.max_ms = max(self.max_ms, other.max_ms)
        return self

    def since(self, earlier: DurationHistogram) -> DurationHistogram:
        """What was counted after ``earlier``, a copy from before; its maximum is a bucket's end."""
        histogram = DurationHistogram()
        for bucket, (count, before) in enumerate(zip(self._counts, earlier._counts, strict=True)):
            if count > before:
                histogram._counts[bucket] = count - before
                histogram.count += count - before
                histogram.max_ms = min((_upper_us(bucket) + 1) / 1000.0, self.max_ms)
        histogram.total_ms = max(self.total_ms - earlier.total_ms, 0.0)
        return histogram

    def sparse(self) -> list[tuple[int, int]]:
        """The filled buckets, to be sent to another process; see `of_sparse`."""
        return [(bucket, count) for bucket, count in enumerate(self._counts) if count]

    @classmethod
    def of_sparse(
        cls, buckets: Iterable[tuple[int, int]], total_ms: float, max_ms: float
    ) -> DurationHistogram:
        """A histogram of the buckets that `sparse` gave. Raises `IndexError` for one that does not exist."""
        histogram = cls()
        for bucket, count in buckets:
            histogram._counts[bucket] += count
            histogram.count += count
        histogram.total_ms, histogram.max_ms = total_ms, max_ms
        return histogram

    def copy(self) -> DurationHistogram:
        duplicate = DurationHistogram()
        duplicate._counts = array("Q", self._counts)
        duplicate.count, duplicate.total_ms, duplicate.max_ms = self.count, self.total_ms, self.max_ms
        return duplicate

    def clear(self) -> None:
        self._counts = array("Q", bytes(8 * _SIZE))
        self.count, self.total_ms, self.max_ms = 0, 0.0, 0.0

    @property
    def mean_ms(self) -> float:
        return self.total_ms / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds that ``share`` (0 to 100) of the durations do not exceed; 0 when empty."""
        if not self.count:
            return 0.0
        wanted = max(1, -(-self.count * share // 100))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min((_upper_us(bucket) + 1) / 1000.0, self.max_ms)
        return self.max_ms
