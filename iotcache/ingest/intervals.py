"""How often each series reports, learnt from the times of its readings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from iotcache.model import Series

SERIES_REMEMBERED = 500_000
_NOT_SEEN_YET = 0
_SHARE = 1 / 8


class Intervals:
    """An estimate per series, of bounded number: the series that was silent longest is forgotten first.

    A pause moves the estimate by an eighth at most, so that an outage does not pass for a new interval; a
    gap of less than half of it halves it, as the first gap seen may have been a pause.
    """

    def __init__(self, bound: int = SERIES_REMEMBERED) -> None:
        self._bound = bound
        self._known: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, device: str, sensor: str, ts_us: int) -> float:
        """Take in a reading's time; the interval in seconds as now estimated, 0 while unknown."""
        key = (device, sensor)
        known = self._known.get(key)
        if known is None:
            self._known[key] = (ts_us, 0.0)
            if len(self._known) > self._bound:
                self._known.popitem(last=False)
            return 0.0
        self._known.move_to_end(key)
        last_us, interval_s = known
        if last_us == _NOT_SEEN_YET:
            self._known[key] = (ts_us, interval_s)
            return interval_s
        gap_s = (ts_us - last_us) / 1e6
        if gap_s <= 0:
            return interval_s
        if not interval_s:
            interval_s = gap_s
        else:
            step = min(max(gap_s, interval_s / 2), interval_s * 2) - interval_s
            interval_s += step if gap_s < interval_s / 2 else step * _SHARE
        interval_s = round(interval_s, 3)
        self._known[key] = (ts_us, interval_s)
        return interval_s

    def recall(self, known: Iterable[tuple[Series, float]]) -> None:
        """Take over intervals that a store remembers, for series not seen yet."""
        for series, interval_s in known:
            if interval_s > 0 and len(self._known) < self._bound:
                self._known.setdefault((series.device, series.sensor), (_NOT_SEEN_YET, interval_s))
