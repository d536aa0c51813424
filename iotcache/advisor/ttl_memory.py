"""How much memory the entries of a sample take under each TTL, seen now and then and smoothed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SMOOTH: Final = 0.25
"""Weight of the newest look."""


class TtlMemory:
    """A figure for each cache on paper; those of other sizes, which come first, stay as today's."""

    def __init__(self, columns: int, first: int, groups: int) -> None:
        """``first``: the first column with another TTL."""
        self._first = first
        self.swell = np.ones(columns)
        """How many times as much memory live entries take under a shorter TTL as under today's."""
        self.shares = np.ones((groups, columns - first))
        """The same, for longer TTLs too, where those of one group of keys alone are changed."""
        self.undead = np.zeros(columns)
        """Share of the entries expired under today's TTL that would still live under the column's."""

    def look(
        self, live: NDArray[np.bool_], sizes: NDArray[np.int32], groups: NDArray[np.uint8], now: int
    ) -> None:
        """``live``: a row a slot, a column a cache; ``sizes`` and ``groups`` of the slots; ``now``: today's
        column."""
        first = self._first
        taken = np.array([sizes[column].sum() for column in live[:, first:].T], np.float64)
        today, every = float(sizes[live[:, now]].sum()), float(sizes.sum())
        if today > 0:
            self.swell[first:] += _SMOOTH * (np.clip(taken / today, 1e-3, 1.0) - self.swell[first:])
            more = (live[:, first:].astype(np.int32) - live[:, now, None]) * sizes[:, None]
            of_groups = [np.bincount(groups, weights=column, minlength=len(self.shares)) for column in more.T]
            if of_groups:
                self.shares += _SMOOTH * (1.0 + np.array(of_groups).T / today - self.shares)
        if every > today:
            share = np.clip((taken - today) / (every - today), 0.0, 1.0)
            self.undead[first:] += _SMOOTH * (share - self.undead[first:])
