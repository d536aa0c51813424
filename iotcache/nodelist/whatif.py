"""What another list of nodes would come to, before anything is done: keys, memory, time and store reads.

Shares of keys are exact, worked out from both rings. What they mean in entries, bytes and reads comes from
the nodes' own figures, as if every key of a node were as large and as busy as every other. Where some are
busier than others there are fewer store reads than that: each misses once, and is there again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from iotcache.cluster.placement.share import lost, shares
from iotcache.config.urls import parse_node
from iotcache.errors import ConfigError, UsageError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

WALK_KEYS_PER_S: Final = 20_000
"""How many entries a second are handed over at most where nobody says otherwise."""
PHASES_S: Final = 3.0
"""How long the phases of a change take without the looking through."""
MINUTE_S: Final = 60.0


class NodeLoad(Struct, frozen=True, kw_only=True):
    """What a node holds and is asked for, as its own counters say."""

    items: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0
    """0: not known."""
    gets_per_s: float = 0.0
    hits_per_s: float = 0.0
    sets_per_s: float = 0.0


class NodeForecast(Struct, frozen=True):
    """One node before and after; 0 where it is not in the list."""

    name: str
    share: float
    """Of all keys, 0 to 1."""
    share_after: float
    used_bytes: int
    used_bytes_after: int
    limit_bytes: int
    """0: not known, as of a node that joins."""

    @property
    def fits(self) -> bool:
        """Whether it has the memory for what it is to hold."""
        return not self.limit_bytes or self.used_bytes_after <= self.limit_bytes


class RingChange(Struct, frozen=True):
    """What another list does to the keys; shares are of all keys, 0 to 1, by the nodes' names."""

    shares: dict[str, float]
    shares_after: dict[str, float]
    lost: dict[str, float]
    """What each node owns, and does not own afterwards."""

    @property
    def share_moved(self) -> float:
        return sum(self.lost.values())


class RingForecast(Struct, frozen=True):
    """What a change of the list comes to."""

    share_moved: float
    """Of all keys, 0 to 1: exact."""
    items: int
    """In all nodes."""
    items_moved: int
    bytes_moved: int
    walk_items: int
    """Entries of the nodes that lose keys: a hand-over looks through all of them."""
    takes_s: float
    """How long a change takes that hands over what moves."""
    rewritten_s: float | None
    """Until every entry is written anew, at the present rate of sets; ``None`` without sets."""
    reads_per_s: float
    """Gets of all nodes."""
    store_reads_without: int
    """At most so many entries are read from the store in the minute after that would have been hits, where
    nothing is handed over."""
    store_reads_with: int
    """The same with the hand-over: a miss at the new owner is answered by the old one."""
    nodes: tuple[NodeForecast, ...]

    @property
    def percent_without(self) -> float:
        """`store_reads_without`, of all reads in that minute."""
        reads = self.reads_per_s * MINUTE_S
        return 100.0 * self.store_reads_without / reads if reads else 0.0


def changed(
    nodes: Sequence[NodeAddress],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    weight: Sequence[str] = (),
) -> tuple[NodeAddress, ...]:
    """The list after a change: nodes to ``add`` (as in ``cache.nodes``), names to ``remove``, and ``weight``
    as ``host:port=weight``. Raises `UsageError` for what cannot be done to ``nodes``.
    """
    after = {node.name: node for node in nodes}
    for node in map(_parsed, add):
        if node.name in after:
            raise UsageError(f"{node.name} is a node already")
        after[node.name] = node
    for name in remove:
        after.pop(_known(name, after).name)
    for text in weight:
        name, equals, _ = text.rpartition("=")
        if not equals:
            raise UsageError(f"{printable(text, 80)} names no weight: host:port=weight")
        after[_known(name, after).name] = structs.replace(_known(name, after), weight=_parsed(text).weight)
    if not after:
        raise UsageError("no node would be left")
    if tuple(after.values()) == tuple(nodes):
        raise UsageError("that changes nothing")
    return tuple(after.values())


def ring_change(placement: str, before: Sequence[NodeAddress], after: Sequence[NodeAddress]) -> RingChange:
    """What the change does to the keys. Raises `ConfigError` for an unknown placement."""
    return RingChange(
        {node.name: share for node, share in zip(before, shares(placement, before), strict=True)},
        {node.name: share for node, share in zip(after, shares(placement, after), strict=True)},
        {node.name: share for node, share in zip(before, lost(placement, before, after), strict=True)},
    )


def forecast(
    change: RingChange, loads: Mapping[str, NodeLoad], *, keys_per_s: int = WALK_KEYS_PER_S
) -> RingForecast:
    """What a change comes to, with the nodes' ``loads`` by their names."""
    items_moved = bytes_moved = reads = 0.0
    walk_items = 0
    for name, gone in change.lost.items():
        load, share = loads.get(name, NodeLoad()), change.shares[name]
        if not gone or not share:
            continue
        part = gone / share
        items_moved += load.items * part
        bytes_moved += load.used_bytes * part
        walk_items += load.items
        reads += load.items * part * _read_first(load)
    all_loads = [loads.get(name, NodeLoad()) for name in change.shares]
    items, used = sum(load.items for load in all_loads), sum(load.used_bytes for load in all_loads)
    sets_per_s = sum(load.sets_per_s for load in all_loads)
    return RingForecast(
        share_moved=change.share_moved,
        items=items,
        items_moved=round(items_moved),
        bytes_moved=round(bytes_moved),
        walk_items=walk_items,
        takes_s=items_moved / keys_per_s + PHASES_S,
        rewritten_s=items / sets_per_s if sets_per_s > 0 else None,
        reads_per_s=sum(load.gets_per_s for load in all_loads),
        store_reads_without=math.ceil(reads),
        store_reads_with=0,
        nodes=tuple(
            NodeForecast(
                name,
                change.shares.get(name, 0.0),
                change.shares_after.get(name, 0.0),
                loads.get(name, NodeLoad()).used_bytes,
                round(used * change.shares_after.get(name, 0.0)),
                loads.get(name, NodeLoad()).limit_bytes,
            )
            for name in dict.fromkeys([*change.shares, *change.shares_after])
        ),
    )


def _read_first(load: NodeLoad) -> float:
    """Of an entry: the chance that it is read within a minute, and before it is written anew.

    Reads and sets come at random (Poisson) and alike to every entry.
    """
    if not load.items or load.hits_per_s <= 0:
        return 0.0
    reads, sets = load.hits_per_s / load.items, load.sets_per_s / load.items
    return reads / (reads + sets) * (1.0 - math.exp(-(reads + sets) * MINUTE_S))


def _parsed(text: str) -> NodeAddress:
    try:
        return parse_node(text)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _known(name: str, nodes: dict[str, NodeAddress]) -> NodeAddress:
    """By its address, with the port left out or not, or by its name on the ring."""
    for node in nodes.values():
        if name and name in (node.name, node.ring_name, node.path):
            return node
    try:
        address = parse_node(name).name
    except ConfigError:
        address = ""
    if address not in nodes:
        raise UsageError(f"no node is called {printable(name, 80)}; there are {', '.join(nodes)}")
    return nodes[address]
