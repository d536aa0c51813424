"""What the sampler counts, by group of keys, at the scale of its sample; and the correction of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Tallies:
    """Plain counts, for the sampler to add to."""

    def __init__(self, groups: int, columns: int) -> None:
        """``columns``: one for each cache on paper."""
        self._groups = range(groups)
        self.hits = np.zeros((groups, columns))
        """By cache on paper; but for …"""
        self.hits_of_all = [0.0] * groups
        """… those that all of them have, which are the most."""
        self.gets = [0.0] * groups
        self.censored = [0.0] * groups
        """Gets of entries that were there before we looked, of unknown distance and left out."""
        self.writes = [0.0] * groups
        self.unread_writes = [0.0] * groups
        """Writes in vain."""
        self.misses = [0.0] * groups
        self.fills = [0.0] * groups
        self.seen = [0.0] * groups
        """Gets of all keys, sampled or not."""

    def scale(self, share: float, groups: Sequence[int] | None = None) -> None:
        """Let all but `seen` weigh only ``share`` of what it does."""
        chosen = list(self._groups if groups is None else groups)
        self.hits[chosen] *= share
        for counts in (
            self.hits_of_all, self.gets, self.censored, self.writes, self.unread_writes,
            self.misses, self.fills,
        ):  # fmt: skip
            for group in chosen:
                counts[group] *= share

    def fade(self, share: float, groups: Sequence[int] | None = None) -> None:
        """Let everything weigh only ``share`` of what it does."""
        self.scale(share, groups)
        for group in self._groups if groups is None else groups:
            self.seen[group] *= share

    def corrected(
        self, rate: float, groups: Iterable[int] | None = None
    ) -> tuple[NDArray[np.float64], float]:
        """Hits by column and gets, at the sample's scale, as they would be were the sample a fair one.

        ``rate`` is the share of keys sampled. What the sample should have seen and did not is gets of the
        most popular keys, which by chance are in it or not: they are hits at distance zero (SHARDS-adj,
        section 4.2 of the paper).
        """
        hits, gets = np.zeros(self.hits.shape[1]), 0.0
        for group in self._groups if groups is None else groups:
            sampled = self.gets[group] + self.censored[group]
            expected = self.seen[group] * rate
            hits += self.hits[group] + self.hits_of_all[group] + (expected - sampled)
            gets += expected - self.censored[group]
        return np.maximum(hits, 0.0), max(gets, 0.0)
