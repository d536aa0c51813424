"""How much memory the entries of a sample take under each TTL, seen now and then and smoothed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SMOOTH: Final = 0.25
"""Weight of the newest look."""


class TtlMemory:
    """A figure for each cache on paper; those of other sizes, which come first, stay as today's."""

    def __init__(self, columns: int, first: int) -> None:
        """``first``: the first column with another TTL."""
        self._first = first
        self.swell = np.ones(columns)
        """How many times as much memory live entries take under a shorter TTL as under today's."""
        self.shares = np.ones(columns)
        """The same, for longer TTLs too."""
        self.undead = np.zeros(columns)
        """Share of the entries expired under today's TTL that would still live under the column's."""

    def look(self, live: NDArray[np.bool_], sizes: NDArray[np.int32], now: int) -> None:
        """``live``: a row a slot, a column a cache; ``sizes`` of the slots; ``now``: today's column."""
        first = self._first
        taken = np.array([sizes[column].sum() for column in live[:, first:].T], np.float64)
        today, every = float(sizes[live[:, now]].sum()), float(sizes.sum())
        if today > 0:
            self.swell[first:] += _SMOOTH * (np.clip(taken / today, 1e-3, 1.0) - self.swell[first:])
            self.shares[first:] += _SMOOTH * (taken / today - self.shares[first:])
        if every > today:
            share = np.clip((taken - today) / (every - today), 0.0, 1.0)
            self.undead[first:] += _SMOOTH * (share - self.undead[first:])
