"""Caches on paper that have missed an entry and wait for the application to put it back.

A fill takes its time, and gets in between miss as well: so a cache that missed has the entry only as long
afterwards as the application's own fills are seen to take.
"""

from __future__ import annotations

from array import array
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iotcache.advisor.expiries import NEVER

_SMOOTH: Final = 0.02
"""Weight of the newest fill in the mean time that one takes."""
_DELAY_MOST_S: Final = 5.0


class WaitingFills:
    """For each slot, which caches wait and until when; seconds since the sampler began."""

    def __init__(self, slots: int, columns: int) -> None:
        """``columns``: one for each cache on paper, 32 at the most."""
        self.missed_s = array("f", [inf]) * slots
        """When the first get missed it that no fill has followed yet; ``inf``: none."""
        self.columns = array("I", [0]) * slots
        """Bit n: the cache of column n has missed it and is waiting for its fill."""
        self._until_s = array("f", [NEVER]) * slots
        self._bits = 1 << np.arange(columns, dtype=np.uint32)
        self._delay_s = 0.0
        """From a get's miss to its fill, smoothed."""

    def forget(self, slot: int) -> None:
        """Nobody has missed it."""
        self.missed_s[slot], self.columns[slot] = inf, 0

    def miss(self, slot: int, now_s: float) -> None:
        """The application was told that it is not there."""
        self.missed_s[slot] = min(self.missed_s[slot], now_s)

    def put(self, slot: int, now_s: float, *, fill: bool) -> None:
        """The application stored it: in answer to the miss that was seen, where it is a ``fill``."""
        asked_s, self.missed_s[slot] = self.missed_s[slot], inf
        if fill and asked_s <= now_s:
            self._delay_s += _SMOOTH * (min(now_s - asked_s, _DELAY_MOST_S) - self._delay_s)

    def at(self, slot: int, now_s: float) -> int:
        """The caches that still wait, a bit each."""
        waiting = self.columns[slot]
        return waiting if waiting and now_s < self._until_s[slot] else 0

    def others(self, waiting: int) -> NDArray[np.bool_]:
        """By column, whether a cache is none of those that wait."""
        others: NDArray[np.bool_] = (self._bits & np.uint32(waiting)) == 0
        return others

    def wait(self, slot: int, missed: NDArray[np.bool_], now_s: float, waiting: int) -> bool:
        """Let the caches that missed wait for their fill, together with those that do already; whether any
        does."""
        fresh = int(self._bits[missed].sum())
        self.columns[slot] = waiting | fresh
        if fresh and not waiting:
            self._until_s[slot] = now_s + self._delay_s
        return self.columns[slot] != 0
