"""How often each series reports, learnt from the times of its readings."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable

from iotcache.model import Series

SERIES_REMEMBERED = 500_000
MEMORY_LIMIT_BYTES = 256 * 1024 * 1024
"""For names of usual length the number of series is reached first; a stranger may choose longer ones."""
_SERIES_BYTES = 400
"""Of one series, without its names: the dictionary's entry, the tuples and numbers, rounded up."""
_NOT_SEEN_YET = 0
_GAPS = 5
"""Gaps remembered a series."""
_GAPS_NEEDED = 2
"""One gap alone says little: a device that greets at its start reports again at its own time."""
_RECALLED_WEIGHT = 3


class Intervals:
    """An estimate per series, of bounded number: the series that was silent longest is forgotten first.

    It is the median of the last gaps, the upper one of two: neither an outage nor an extra reading (a
    greeting at start, a change reported at once) passes for an interval, and a new one is learnt within
    three readings. Too long an estimate costs a little memory, too short a one a store read each time.
    """

    def __init__(self, bound: int = SERIES_REMEMBERED, limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        self._bound = bound
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[str, str], tuple[int, tuple[int, ...], float]] = OrderedDict()
        """The time of the last reading, the gaps (ms) before it, and their median (s)."""

    def __len__(self) -> int:
        return len(self._known)

    def note(self, device: str, sensor: str, ts_us: int) -> float:
        """Take in a reading's time; the interval in seconds as now estimated, 0 while unknown."""
        key = (device, sensor)
        known = self._known.get(key)
        if known is None:
            self._known[key] = (ts_us, (), 0.0)
            self._bytes += _size_bytes(key)
            while len(self._known) > self._bound or self._bytes > self._limit_bytes:
                self._bytes -= _size_bytes(self._known.popitem(last=False)[0])
            return 0.0
        self._known.move_to_end(key)
        last_us, gaps, interval_s = known
        if last_us == _NOT_SEEN_YET:
            self._known[key] = (ts_us, gaps, interval_s)
        elif ts_us > last_us:
            gap = (ts_us - last_us + 500) // 1_000
            oldest = gaps[0] if len(gaps) == _GAPS else None
            gaps = (*gaps[1 - _GAPS :], gap)
            if gap != oldest:  # as for most: one like it goes as it comes, so the median stays
                interval_s = sorted(gaps)[len(gaps) // 2] / 1e3 if len(gaps) >= _GAPS_NEEDED else 0.0
            self._known[key] = (ts_us, gaps, interval_s)
        return interval_s

    def recall(self, known: Iterable[tuple[Series, float]]) -> None:
        """Take over intervals that a store remembers, for series not seen yet."""
        for series, interval_s in known:
            key = (series.device, series.sensor)
            if interval_s <= 0 or len(self._known) >= self._bound or key in self._known:
                continue
            size_bytes = _size_bytes(key)
            if self._bytes + size_bytes <= self._limit_bytes:
                gaps = (round(interval_s * 1e3),) * _RECALLED_WEIGHT
                self._known[key] = (_NOT_SEEN_YET, gaps, interval_s)
                self._bytes += size_bytes


def _size_bytes(key: tuple[str, str]) -> int:
    return _SERIES_BYTES + sys.getsizeof(key[0]) + sys.getsizeof(key[1])
