"""The windows of all sites' sensors as readings fill them: pure, bounded, told the time.

A window takes readings by their own time, from a little before its start by our clock until `late_s` after
its end. What a worker cannot vouch for it calls doubtful: it began to follow within the window, or some
readings came twice, or passed it by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from iotcache.cache.aggregates.recount import WINDOW_S, WINDOW_US, window_start
from iotcache.cache.aggregates.values import Window, window_of
from iotcache.model import Reading, figure_of
from iotcache.quantile_sketch import QuantileSketch

AHEAD_US: Final = 5_000_000
"""A device's clock may be that far ahead of ours; beyond it, its readings are in no window."""
PAIRS_LIMIT: Final = 10_000

Pair = tuple[str, str]
"""Site and sensor."""


class OpenWindow(Struct, gc=False):
    """One open window."""

    start: int
    sketch: QuantileSketch
    doubtful: bool = False
    told: bool = False
    """It was written to the cache, among the parts of others."""


class WindowsTouched(Struct):
    """The windows of one pair."""

    open: dict[int, OpenWindow]
    closed: Window | None = None
    """The newest one that takes no more."""


class Windows:
    """All pairs and their windows."""

    def __init__(self, late_s: float, now_us: int) -> None:
        self._late_us = round(late_s * 1e6)
        self._since_us = now_us
        self._pairs: dict[Pair, WindowsTouched] = {}
        self._changed: dict[Pair, None] = {}
        self.outside = 0
        """Readings too late, or too far in the future, for any window."""
        self.left_out = 0
        """Readings of pairs beyond `PAIRS_LIMIT`, and of devices without a site."""

    def __len__(self) -> int:
        return len(self._pairs)

    def follow(self, readings: Sequence[Reading], now_us: int, *, doubtful: bool = False) -> None:
        """Count readings. ``doubtful``: some of them had been there before."""
        first_us = window_start(now_us - self._late_us)
        last_us = now_us + AHEAD_US
        figures: dict[tuple[str, str, int], list[float]] = {}
        for reading in readings:
            ts_us = reading.ts_us
            if not first_us <= ts_us <= last_us:
                self.outside += 1
                continue
            value = reading.value
            figure = value if type(value) is float else figure_of(value)
            if figure is None:
                continue
            place = (reading.site, reading.sensor, ts_us // WINDOW_US * WINDOW_US)
            if place in figures:
                figures[place].append(figure)
            else:
                figures[place] = [figure]
        for (site, sensor, start), values in figures.items():
            pair = (site, sensor)
            filled = self._pairs.get(pair) or self._meet(pair)
            if filled is None:
                self.left_out += len(values)
                continue
            tally = filled.open.get(start)
            if tally is None:
                # Up to the clocks' difference we may have begun after readings of it came.
                early = start < self._since_us + AHEAD_US
                tally = filled.open[start] = OpenWindow(start, QuantileSketch(), early)
            tally.sketch.add_all(values)
            if doubtful:
                tally.doubtful = True
            self._changed[pair] = None

    def doubt(self, now_us: int) -> None:
        """Readings passed us by: no window that was open until now is certain."""
        self._since_us = max(self._since_us, now_us)
        for filled in self._pairs.values():
            for tally in filled.open.values():
                tally.doubtful = True

    def take_changed(self, limit: int) -> list[Pair]:
        """Up to ``limit`` pairs that changed, those first that have waited longest."""
        taken = list(self._changed)[:limit]
        for pair in taken:
            del self._changed[pair]
        return taken

    def changed_again(self, pair: Pair) -> None:
        """What was taken could not be written."""
        self._changed.setdefault(pair)

    def open_of(self, pair: Pair) -> list[OpenWindow]:
        """The windows of a pair that still take readings, oldest first."""
        filled = self._pairs.get(pair)
        return [filled.open[start] for start in sorted(filled.open)] if filled is not None else []

    def shown(self, pair: Pair) -> tuple[Window, Window | None] | None:
        """The newest window of a pair, and the one before it."""
        filled = self._pairs.get(pair)
        if filled is None:
            return None
        known = {
            tally.start: window_of(tally.start, WINDOW_S, tally.sketch, exact=not tally.doubtful)
            for tally in filled.open.values()
        }
        if filled.closed is not None:
            known.setdefault(filled.closed.start, filled.closed)
        if not known:
            return None
        newest = max(known)
        return known[newest], known.get(newest - WINDOW_US)

    def over(self, now_us: int) -> Iterator[tuple[Pair, OpenWindow]]:
        """Windows that take no more readings."""
        first_us = window_start(now_us - self._late_us)
        for pair, filled in list(self._pairs.items()):
            for start in sorted(filled.open):
                if start < first_us:
                    yield pair, filled.open[start]

    def close(self, pair: Pair, window: Window) -> None:
        """A window is as ``window`` says, for good."""
        filled = self._pairs[pair]
        filled.open.pop(window.start, None)
        if filled.closed is None or window.start >= filled.closed.start:
            filled.closed = window

    def forget(self, now_us: int) -> None:
        """Let pairs go that no reading came for in the last windows."""
        first_us = window_start(now_us - self._late_us) - 2 * WINDOW_US
        for pair, filled in list(self._pairs.items()):
            if not filled.open and (filled.closed is None or filled.closed.start < first_us):
                del self._pairs[pair]

    def _meet(self, pair: Pair) -> WindowsTouched | None:
        if not pair[0] or not pair[1] or len(self._pairs) >= PAIRS_LIMIT:
            return None
        filled = self._pairs[pair] = WindowsTouched({})
        return filled
