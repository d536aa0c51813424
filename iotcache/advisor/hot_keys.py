"""The most frequent keys of a stream in bounded memory: the space-saving algorithm.

Source: Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data
streams", ICDT 2005. A counter that is not among the kept takes over the smallest one, whose count becomes
its error; so a count is never too low, and too high by its error at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heapreplace, nlargest
from typing import Final

from msgspec import Struct

CAPACITY: Final = 1_024


class HotKey(Struct, frozen=True):
    """One frequent key."""

    key: bytes
    count: float
    """At most this often …"""
    error: float
    """… and at least this much less often."""


class SpaceSaving:
    """Counts of at most ``capacity`` keys; everything that occurs more than total/capacity times is kept."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.total = 0.0
        self._capacity = capacity
        self._counts: dict[bytes, float] = {}
        self._errors: dict[bytes, float] = {}

    def add(self, counts: Mapping[bytes, float]) -> None:
        """Count a batch: how often each of its keys occurred."""
        kept = self._counts
        fresh: list[tuple[bytes, float]] = []
        for key, count in counts.items():
            self.total += count
            if key in kept:
                kept[key] += count
            else:
                fresh.append((key, count))
        spare = self._capacity - len(kept)
        for key, count in fresh[:spare]:
            kept[key], self._errors[key] = count, 0.0
        if len(fresh) > spare:
            self._replace(fresh[spare:])

    def _replace(self, fresh: list[tuple[bytes, float]]) -> None:
        """Each key takes over the counter that is the smallest then."""
        heap = [(count, key) for key, count in self._counts.items()]
        heapify(heap)
        for key, count in sorted(fresh, key=lambda one: one[1]):
            least, gone = heap[0]
            del self._counts[gone], self._errors[gone]
            self._counts[key], self._errors[key] = least + count, least
            heapreplace(heap, (least + count, key))

    def fade(self, share: float) -> None:
        """Let what was counted until now weigh only ``share`` of what it does."""
        self.total *= share
        self._counts = {key: count * share for key, count in self._counts.items() if count * share >= 0.5}
        self._errors = {key: self._errors[key] * share for key in self._counts}

    def top(self, number: int) -> list[HotKey]:
        """The ``number`` most frequent keys, the most frequent first."""
        # Ordered by what they have at least: a count that is mostly error is no hot key.
        best = nlargest(number, self._counts.items(), key=lambda one: one[1] - self._errors[one[0]])
        return [HotKey(key, count, self._errors[key]) for key, count in best]

    def share(self, number: int = 1) -> float:
        """The least share of all that the ``number`` most frequent keys have."""
        return sum(one.count - one.error for one in self.top(number)) / self.total if self.total else 0.0
