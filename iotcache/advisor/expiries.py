"""When each sampled entry ends in each cache on paper.

A write stores an entry in all of them at once, so that its row follows from the moment and the TTL: it is
written out only where the caches come to differ, which is when one of them misses what another has.
"""

from __future__ import annotations

from array import array
from math import isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEVER: Final = -np.inf
"""The end of an entry that is not there."""
UNKNOWN: Final = np.nan


class Expiries:
    """A row of ends a slot, a column a cache; seconds since the sampler began."""

    def __init__(self, slots: int, factors: NDArray[np.float32]) -> None:
        """``factors``: of each column, by which it multiplies TTLs."""
        self.factors = factors
        self.least = float(factors.min())
        self._rows = np.full((slots, len(factors)), NEVER, np.float32)
        self.soonest = array("f", [NEVER]) * slots
        """At most the least of the slot's row: until then all columns hold it, memory permitting."""
        self.ttl_s = array("f", [UNKNOWN]) * slots
        """As last set; NaN: no set of it has been seen yet."""
        self.stored_s = array("f", [UNKNOWN]) * slots
        """Not NaN: all caches stored it then, and its row is not written out yet."""

    def store(self, slot: int, from_s: float, ttl_s: float) -> None:
        """All caches store it anew, ``from_s`` being the last tick of their clock."""
        self.ttl_s[slot] = ttl_s
        self.stored_s[slot] = from_s
        self.soonest[slot] = from_s + self.least * ttl_s

    def end_at(self, slot: int, end_s: float) -> None:
        """In all caches."""
        self.stored_s[slot] = UNKNOWN
        self._rows[slot] = self.soonest[slot] = end_s

    def row(self, slot: int) -> NDArray[np.float32]:
        """The ends of the slot; a view."""
        row: NDArray[np.float32] = self._rows[slot]
        stored_s = self.stored_s[slot]
        if not isnan(stored_s):
            row[:] = stored_s + self.factors * np.float32(self.ttl_s[slot])
            self.stored_s[slot] = UNKNOWN
        return row

    def table(self) -> NDArray[np.float32]:
        """The rows of all slots; a view."""
        stored_s = np.frombuffer(self.stored_s, np.float32)
        slots = np.flatnonzero(~np.isnan(stored_s))
        if len(slots):
            ttls_s = np.frombuffer(self.ttl_s, np.float32)[slots, None]
            self._rows[slots] = stored_s[slots, None] + self.factors * ttls_s
            for slot in slots.tolist():
                self.stored_s[slot] = UNKNOWN
        return self._rows
