"""Keys whose entry may be older than the store, because a write or a delete did not reach their node."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.cluster import Cluster


class DirtyKeys:
    """A bounded set of keys to invalidate as soon as their node answers.

    Repair deletes and never sets: a set could put what was read a moment ago over what a writer set since.
    """

    def __init__(self, cluster: Cluster, bound: int = 100_000) -> None:
        self._cluster = cluster
        self._bound = bound
        self._keys: dict[str, None] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        if len(self._keys) >= self._bound and key not in self._keys:
            del self._keys[next(iter(self._keys))]
            self.dropped += 1
        self._keys[key] = None

    def discard(self, keys: Iterable[str]) -> None:
        """These were written since."""
        if self._keys:
            for key in keys:
                self._keys.pop(key, None)

    async def repair(self, limit: int = 1_000) -> list[str]:
        """Try to delete up to ``limit`` dirty keys, oldest first; the keys that are clean now."""
        keys = list(islice(self._keys, limit))
        if not keys:
            return []
        outcomes = await self._cluster.delete_many(keys)
        clean = [key for key, outcome in zip(keys, outcomes, strict=True) if outcome.ok]
        self.discard(clean)
        for key in keys:  # what failed goes to the end, so that one bad node does not hold up the others
            if key in self._keys:
                del self._keys[key]
                self._keys[key] = None
        return clean
