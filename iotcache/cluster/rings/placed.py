"""A ring of nodes with its placement, by the indexes that the cluster client gives to nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from iotcache.cluster.placement import placement
from iotcache.cluster.rings.record import addresses

_ORDERS_MAX: Final = 500_000
"""Keys remembered; some 300 bytes each."""


class PlacedRing:
    """Which node owns a key on one ring, and which stand in for it."""

    def __init__(self, epoch: int, nodes: tuple[str, ...], placed: str, indexes: Mapping[str, int]) -> None:
        """``indexes``: of each node by its name. Raises `ConfigError` for an unknown placement."""
        found = addresses(nodes)
        self.epoch = epoch
        self.nodes = nodes
        self.indexes = tuple(indexes[address.name] for address in found)
        self._placement = placement(placed, found)
        self._orders: dict[str, tuple[int, ...]] = {}

    def owner(self, key: str) -> int:
        """The node that owns ``key``."""
        return self.indexes[self._placement.owner(key)]

    def order(self, key: str) -> tuple[int, ...]:
        """All nodes in the order in which they stand in for each other for ``key``: the owner first."""
        order = self._orders.get(key)
        if order is None:
            if len(self._orders) >= _ORDERS_MAX:
                self._orders.clear()
            order = tuple(self.indexes[at] for at in self._placement.order(key))
            self._orders[key] = order
        return order


def gained_with(rings: Sequence[PlacedRing], key: str) -> int:
    """The epoch of the ring with which the key's present owner, on the last of ``rings``, gained it.

    Where it owned the key on all of them, the epoch of the first.
    """
    owner = rings[-1].owner(key)
    for at in range(len(rings) - 1, 0, -1):
        if rings[at - 1].owner(key) != owner:
            return rings[at].epoch
    return rings[0].epoch
