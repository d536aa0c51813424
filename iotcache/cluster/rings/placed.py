"""A ring of nodes with its placement, by the indexes that the cluster client gives to nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from iotcache.cluster.placement import placement
from iotcache.cluster.rings.record import addresses

ORDERS_MAX: Final = 50_000
"""Keys remembered; some 200 bytes each."""
_FIRST: Final = 6
"""So many nodes of an order are remembered: seldom are more of them out at once."""


class PlacedRing:
    """Which node owns a key on one ring, and which stand in for it."""

    def __init__(self, epoch: int, nodes: tuple[str, ...], placed: str, indexes: Mapping[str, int]) -> None:
        """``indexes``: of each node by its name; what has left before this client began has none, and is only
        told apart from all others. Raises `ConfigError` for an unknown placement.
        """
        found = addresses(nodes)
        self.epoch = epoch
        self.nodes = nodes
        self.indexes = tuple(indexes.get(address.name, -1 - at) for at, address in enumerate(found))
        self._placement = placement(placed, found)
        self._orders: dict[str, tuple[int, ...]] = {}

    def owner(self, key: str) -> int:
        """The node that owns ``key``."""
        return self.indexes[self._placement.owner(key)]

    def order(self, key: str) -> Iterable[int]:
        """All nodes in the order in which they stand in for each other for ``key``: the owner first."""
        first = self._orders.get(key)
        if first is None:
            if len(self._orders) >= ORDERS_MAX:
                self._orders.clear()
            first = tuple(self._order_from(key, 0, _FIRST))
            self._orders[key] = first
        return first if len(self.indexes) <= _FIRST else chain(first, self._order_from(key, _FIRST, None))

    def _order_from(self, key: str, start: int, stop: int | None) -> Iterable[int]:
        """A part of the order, worked out only when it is asked for."""
        indexes = self.indexes
        return (indexes[at] for at in islice(self._placement.order(key), start, stop))


def gained_with(rings: Sequence[PlacedRing], key: str) -> int:
    """The epoch of the ring with which the key's present owner, on the last of ``rings``, gained it.

    Where it owned the key on all of them, the epoch of the first.
    """
    owner = rings[-1].owner(key)
    for at in range(len(rings) - 1, 0, -1):
        if rings[at - 1].owner(key) != owner:
            return rings[at].epoch
    return rings[0].epoch
