"""Where the copies of hot keys lie: on the nodes that follow the owner in the key's own order."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from iotcache.cluster.copies.hot_keys import HotKeys

if TYPE_CHECKING:
    from iotcache.cluster.rings.placed import PlacedRing


class CopyPlacement:
    """The list of hot keys on one ring."""

    def __init__(self, hot: HotKeys, ring: PlacedRing) -> None:
        self.hot = hot
        self.written = hot.written
        """Keys whose copies are written."""
        self.read = hot.read
        """Keys whose copies are read."""
        self._ring = ring

    def nodes_read(self, key: str) -> tuple[int, ...]:
        """The nodes that have copies of ``key``, by index; its owner is not among them."""
        return tuple(islice(self._ring.order(key), 1, self.hot.copies))

    def nodes_written(self, key: str) -> tuple[int, ...]:
        """The nodes on which copies of ``key`` are written: nobody reads one anywhere else."""
        return tuple(islice(self._ring.order(key), 1, self.hot.nodes_written))

    def written_with(self, other: CopyPlacement | None) -> bool:
        """Whether who writes by ``other`` writes all that has to be written by this."""
        if not self.written:
            return True
        return (
            other is not None
            and self.written <= other.written
            and self.hot.nodes_written <= other.hot.nodes_written
        )
