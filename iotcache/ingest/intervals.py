"""How often each series reports, learnt from the times of its readings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from iotcache.model import Series

SERIES_REMEMBERED = 500_000
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

    def __init__(self, bound: int = SERIES_REMEMBERED) -> None:
        self._bound = bound
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
            if len(self._known) > self._bound:
                self._known.popitem(last=False)
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
            if interval_s > 0 and len(self._known) < self._bound:
                gaps = (round(interval_s * 1e3),) * _RECALLED_WEIGHT
                self._known.setdefault((series.device, series.sensor), (_NOT_SEEN_YET, gaps, interval_s))
