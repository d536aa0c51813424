"""The windows of all sites' sensors as readings fill them: pure and bounded; the time is passed in.

A window takes readings by their own time, from a little before its start by our clock until `late_s` after
its end. A window is doubtful when its count may be wrong: the worker started within it, some readings came
twice, or some were missed.
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
    written: bool = False
    """It was written to the cache, beside the parts of other workers."""


class PairWindows(Struct):
    """The windows of one pair."""

    open: dict[int, OpenWindow]
    closed: Window | None = None
    """The newest one that takes no more."""


class Windows:
    """All pairs and their windows."""

    def __init__(self, late_s: float, now_us: int) -> None:
        self._late_us = round(late_s * 1e6)
        self._since_us = now_us
        self._pairs: dict[Pair, PairWindows] = {}
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
            window_key = (reading.site, reading.sensor, ts_us // WINDOW_US * WINDOW_US)
            if window_key in figures:
                figures[window_key].append(figure)
            else:
                figures[window_key] = [figure]
        for (site, sensor, start), values in figures.items():
            pair = (site, sensor)
            pair_windows = self._pairs.get(pair) or self._add_pair(pair)
            if pair_windows is None:
                self.left_out += len(values)
                continue
            window = pair_windows.open.get(start)
            if window is None:
                # Within the clocks' difference, readings of it may have come before we started.
                early = start < self._since_us + AHEAD_US
                window = pair_windows.open[start] = OpenWindow(start, QuantileSketch(), early)
            window.sketch.add_all(values)
            if doubtful:
                window.doubtful = True
            self._changed[pair] = None

    def doubt(self, now_us: int) -> None:
        """Readings were missed: no window that was open until now is certain."""
        self._since_us = max(self._since_us, now_us)
        for pair_windows in self._pairs.values():
            for window in pair_windows.open.values():
                window.doubtful = True

    def take_changed(self, limit: int) -> list[Pair]:
        """Up to ``limit`` pairs that changed, the longest waiting first."""
        taken = list(self._changed)[:limit]
        for pair in taken:
            del self._changed[pair]
        return taken

    def changed_again(self, pair: Pair) -> None:
        """A pair that was taken could not be written."""
        self._changed.setdefault(pair)

    def open_of(self, pair: Pair) -> list[OpenWindow]:
        """The windows of a pair that still take readings, oldest first."""
        pair_windows = self._pairs.get(pair)
        return (
            [pair_windows.open[start] for start in sorted(pair_windows.open)]
            if pair_windows is not None
            else []
        )

    def newest(self, pair: Pair) -> tuple[Window, Window | None] | None:
        """The newest window of a pair, and the one before it."""
        pair_windows = self._pairs.get(pair)
        if pair_windows is None:
            return None
        known = {
            window.start: window_of(window.start, WINDOW_S, window.sketch, exact=not window.doubtful)
            for window in pair_windows.open.values()
        }
        if pair_windows.closed is not None:
            known.setdefault(pair_windows.closed.start, pair_windows.closed)
        if not known:
            return None
        start = max(known)
        return known[start], known.get(start - WINDOW_US)

    def ended(self, now_us: int) -> Iterator[tuple[Pair, OpenWindow]]:
        """Windows that take no more readings."""
        first_us = window_start(now_us - self._late_us)
        for pair, pair_windows in list(self._pairs.items()):
            for start in sorted(pair_windows.open):
                if start < first_us:
                    yield pair, pair_windows.open[start]

    def close(self, pair: Pair, window: Window) -> None:
        """``window`` is final."""
        pair_windows = self._pairs[pair]
        pair_windows.open.pop(window.start, None)
        if pair_windows.closed is None or window.start >= pair_windows.closed.start:
            pair_windows.closed = window

    def drop(self, pair: Pair, start: int) -> None:
        """An open window is given up, and its figures with it."""
        pair_windows = self._pairs.get(pair)
        if pair_windows is not None:
            pair_windows.open.pop(start, None)

    def forget(self, now_us: int) -> None:
        """Drop pairs that had no reading in the last windows."""
        first_us = window_start(now_us - self._late_us) - 2 * WINDOW_US
        for pair, pair_windows in list(self._pairs.items()):
            if not pair_windows.open and (
                pair_windows.closed is None or pair_windows.closed.start < first_us
            ):
                del self._pairs[pair]

    def _add_pair(self, pair: Pair) -> PairWindows | None:
        if not pair[0] or not pair[1] or len(self._pairs) >= PAIRS_LIMIT:
            return None
        pair_windows = self._pairs[pair] = PairWindows({})
        return pair_windows
