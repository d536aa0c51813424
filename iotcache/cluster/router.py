"""Where a key is to be read and written now: its owner, or the node that stands in for it."""

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


class Router:
    """Keys to nodes, by index into ``nodes``; everything about a key that can be remembered is."""

    def __init__(self, nodes: Sequence[Node], placement: Placement, fences: Fences) -> None:
        self.nodes = nodes
        self.fences = fences
        self.all_up = False
        self.observe = False
        """Whether reads leave the nodes' LRU as it is. Set before the first key is placed."""
        self._failover = True
        self._placement = placement
        self._memo: dict[str, Route] = {}
        self._stand_ins: dict[str, int] = {}

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

    @property
    def failover(self) -> bool:
        """Whether another node stands in for one that is out."""
        return self._failover

    @failover.setter
    def failover(self, failover: bool) -> None:
        self._failover = failover
        self._stand_ins.clear()

    def stand_in(self, key: str) -> int:
        """The first node in the key's own order that is up; -1 for none, and where none may stand in."""
        if not self._failover:
            return -1
        found = self._stand_ins.get(key)
        if found is None:
            found = next((index for index in self._placement.order(key) if self.nodes[index].up), -1)
            if len(self._stand_ins) >= MEMO_MAX:
                self._stand_ins.clear()
            self._stand_ins[key] = found
        return found

    def read_route(self, key: str, owner: int) -> tuple[int, int | None] | None:
        """Which node to ask for ``key``, and above which CAS unique its items count; ``None``: none."""
        if self.nodes[owner].up:
            return owner, self.fences.floors[owner] or None
        stand_in = self.stand_in(key)
        if stand_in < 0:
            return None
        floor = self.fences.stand_in_floor(stand_in, owner)
        return None if floor is None else (stand_in, floor)

    def changed(self) -> None:
        """Some node is in another state than before."""
        self._stand_ins.clear()
        self.all_up = all(node.up for node in self.nodes)
