"""Where a key is to be read and written now: its owner, or the nodes it fails over to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from iotcache.cluster.copies.counts import CopyCounts
from iotcache.cluster.fence import Fences
from iotcache.cluster.node import Node
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.wire import protocol

MEMO_MAX: Final = 500_000
"""Keys remembered; some 400 bytes each."""


class Route(NamedTuple):
    """What changes about a key only with the ring: looked up once, used for every request."""

    owner: int
    """The node that owns it on the ring that is read."""
    get: bytes
    key: bytes
    since: int = 0
    """The epoch whose floor counts for it: see `iotcache.cluster.rings.view`. 0 for none."""


class Targets(NamedTuple):
    """Where a key has to be written, so that whoever reads it anywhere finds it."""

    nodes: tuple[int, ...]
    """All of them; a node that is returning or settling first, the one that is up for everybody last."""
    skipped: tuple[int, ...]
    """Nodes that are out and would come first: everybody must know of that."""


class Router:
    """Keys to nodes, by index into ``nodes``; everything about a key that can be remembered is."""

    def __init__(self, nodes: Sequence[Node], fences: Fences) -> None:
        self.nodes = nodes
        self.fences = fences
        self.rings = fences.rings
        self.all_up = False
        """Every node is up, nobody takes one for out any more, and the ring does not change: a key is its
        owner's."""
        self.failover = True
        """Whether other nodes take over for one that is out."""
        self.observe = False
        """Whether reads leave the nodes' LRU as it is. Set before the first key is placed."""
        self.generation = 0
        """Counts up when keys may have other owners."""
        self.copy_counts = CopyCounts()
        self.copies_turn = asyncio.Lock()
        """Writes of keys with copies go one after the other: at a copy they must not overtake each other."""
        self._memo: dict[str, Route] = {}

    def place(self, key: str) -> Route:
        """Raises `KeyFormatError` for what is no key."""
        place = self._memo.get(key)
        if place is None:
            wire = protocol.checked_key(key)
            get = protocol.look_request if self.observe else protocol.get_request
            ring = self.rings.read
            place = Route(ring.owner(key), get(wire), wire, self.rings.since(ring, key))
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

    def failover_node(self, key: str) -> int:
        """The first node in the key's own order that is up; -1 for none, and where none may take over."""
        if not self.failover:
            return -1
        return next((index for index in self.rings.read.order(key) if self.nodes[index].up), -1)

    def read_route(self, key: str, ring: PlacedRing | None = None) -> tuple[int, int | None] | None:
        """Which node to ask for ``key``, and above which CAS unique its items count; ``None``: none.

        ``ring``: the one that is read, unless another is given.
        """
        fences, rings = self.fences, self.rings
        ring = ring or rings.read
        owner = ring.owner(key)
        if self.nodes[owner].up:
            if not fences.usable(owner):
                return None
            gained = rings.floor(owner, rings.since(ring, key))
            return None if gained is None else (owner, max(gained, fences.floors[owner]) or None)
        if not self.failover:
            return None
        skipped: list[int] = []
        for index in ring.order(key):
            if self.nodes[index].up:
                floor = fences.failover_floor(index, skipped, ring) if fences.usable(index) else None
                return None if floor is None else (index, floor)
            skipped.append(index)
        return None

    def targets(self, key: str, ring: PlacedRing | None = None) -> Targets:
        """Where to write ``key``, on the ring that is read or another."""
        fences = self.fences
        ring = ring or self.rings.read
        if not self.failover:
            owner = ring.owner(key)
            there = self.nodes[owner].up or owner in fences.returning
            return Targets((owner,), ()) if there else Targets((), (owner,))
        found: list[int] = []
        skipped: list[int] = []
        for index in ring.order(key):
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
        """Some node is in another state than before, or the ring is another one."""
        self.all_up = not self.rings.changing and all(
            self.nodes[index].up and not self.fences.settling(index) for index in self.fences.active
        )

    def forget_places(self) -> None:
        """Keys may have other owners."""
        self.generation += 1
        self._memo.clear()
