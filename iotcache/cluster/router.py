"""Where a key is to be read and written now: its owner, or the nodes it fails over to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from iotcache.cluster.fence import Fences
from iotcache.cluster.node import Node
from iotcache.cluster.placement import Placement
from iotcache.cluster.wire import protocol

MEMO_MAX: Final = 500_000
"""Keys remembered; some 400 bytes each."""


class Route(NamedTuple):
    """What never changes about a key: looked up once, used for every request."""

    owner: int
    get: bytes
    key: bytes


class Targets(NamedTuple):
    """Where a key has to be written, so that whoever reads it anywhere finds it."""

    nodes: tuple[int, ...]
    """All of them; a node that is returning or settling first, the one that is up for everybody last."""
    skipped: tuple[int, ...]
    """Nodes that are out and would come first: everybody must know of that."""


class Router:
    """Keys to nodes, by index into ``nodes``; everything about a key that can be remembered is."""

    def __init__(self, nodes: Sequence[Node], placement: Placement, fences: Fences) -> None:
        self.nodes = nodes
        self.fences = fences
        self.all_up = False
        """Every node is up, and nobody takes one for out any more: a key is its owner's."""
        self.failover = True
        """Whether other nodes take over for one that is out."""
        self.observe = False
        """Whether reads leave the nodes' LRU as it is. Set before the first key is placed."""
        self._placement = placement
        self._memo: dict[str, Route] = {}
        self._orders: dict[str, tuple[int, ...]] = {}

    def place(self, key: str) -> Route:
        """Raises `KeyFormatError` for what is no key."""
        place = self._memo.get(key)
        if place is None:
            wire = protocol.checked_key(key)
            get = protocol.look_request if self.observe else protocol.get_request
            place = Route(self._placement.owner(key), get(wire), wire)
            if len(self._memo) >= MEMO_MAX:
                self._memo.clear()
            self._memo[key] = place
        return place

    def places(self, keys: Iterable[str]) -> list[Route]:
        """The place of each key. Raises `KeyFormatError`."""
        memo = self._memo
        try:
            return [memo[key] for key in keys]
        except KeyError:
            return [self.place(key) for key in keys]

    def _order(self, key: str) -> tuple[int, ...]:
        order = self._orders.get(key)
        if order is None:
            if len(self._orders) >= MEMO_MAX:
                self._orders.clear()
            order = self._orders[key] = tuple(self._placement.order(key))
        return order

    def failover_node(self, key: str) -> int:
        """The first node in the key's own order that is up; -1 for none, and where none may take over."""
        if not self.failover:
            return -1
        return next((index for index in self._order(key) if self.nodes[index].up), -1)

    def read_route(self, key: str, owner: int) -> tuple[int, int | None] | None:
        """Which node to ask for ``key``, and above which CAS unique its items count; ``None``: none."""
        fences = self.fences
        if self.nodes[owner].up:
            return (owner, fences.floors[owner] or None) if fences.usable(owner) else None
        if not self.failover:
            return None
        skipped: list[int] = []
        for index in self._order(key):
            if self.nodes[index].up:
                floor = fences.failover_floor(index, skipped) if fences.usable(index) else None
                return None if floor is None else (index, floor)
            skipped.append(index)
        return None

    def targets(self, key: str, owner: int) -> Targets:
        """Where to write ``key``."""
        fences = self.fences
        if not self.failover:
            there = self.nodes[owner].up or owner in fences.returning
            return Targets((owner,), ()) if there else Targets((), (owner,))
        found: list[int] = []
        skipped: list[int] = []
        for index in self._order(key):
            if self.nodes[index].up:
                found.append(index)
                if not fences.settling(index):
                    break
            elif index in fences.returning:
                found.append(index)
            else:
                skipped.append(index)
        return Targets(tuple(found), tuple(skipped))

    def changed(self) -> None:
        """Some node is in another state than before."""
        self.all_up = all(
            node.up and not self.fences.settling(index) for index, node in enumerate(self.nodes)
        )
