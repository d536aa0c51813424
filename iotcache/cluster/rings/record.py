"""The ring record: what clients tell each other of the ring, an item on every node; no socket.

It names the ring that is complete, those before it, and the change under way with its phase. Of two records
the one with the higher (``seq``, ``stamp``) counts; whoever writes a new one takes a ``seq`` one higher and a
``stamp`` at random, so that of two written at once all clients agree on one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from iotcache.cluster.copies.hot_keys import HotKeys, sound_hot_keys, unread
from iotcache.cluster.outage import Claim
from iotcache.cluster.rings.types import RingPhase
from iotcache.config.urls import parse_node
from iotcache.errors import ConfigError

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

RECORD_KEY: Final = b"iotcache:ring"
RECORD_TTL_S: Final = 2_592_000
"""30 days, the longest relative TTL; every look of a client that writes gives it as much again."""
RECORD_MOST_BYTES: Final = 262_144
MOST_NODES: Final = 1_000
REMEMBERED: Final = 4
"""Rings that are remembered, the present one included: see `iotcache.cluster.rings.view`."""
_SCHEMA: Final = 1
_MOST_NUMBER: Final = 1 << 62

NEXT: Final = {
    RingPhase.INVITED: RingPhase.ANNOUNCED,
    RingPhase.ANNOUNCED: RingPhase.HANDING_OVER,
    RingPhase.HANDING_OVER: RingPhase.CLOSING,
    RingPhase.CLOSING: RingPhase.STEADY,
}
BACK: Final = {
    RingPhase.INVITED: RingPhase.STEADY,
    RingPhase.ANNOUNCED: RingPhase.STEADY,
    RingPhase.HANDING_OVER: RingPhase.ANNOUNCED,
    RingPhase.CLOSING: RingPhase.HANDING_OVER,
}
"""The phase before it, when a change is undone."""


class PastRing(Struct, frozen=True):
    """A ring that was complete once, or is."""

    epoch: int
    nodes: tuple[str, ...]
    fenced: tuple[str, ...] = ()
    """Nodes that have an item `floor_key` of this epoch: what lies below it of keys that the node gained
    with this ring does not count."""


class RingTransition(Struct, frozen=True):
    """A change under way."""

    id: int
    epoch: int
    """Of the ring to be; no other change, undone ones included, ever has it."""
    nodes: tuple[str, ...]
    phase: RingPhase
    driver: Claim
    undo: bool = False
    fenced: tuple[str, ...] = ()


class RingRecord(Struct, frozen=True):
    """The value of the item."""

    seq: int
    stamp: int
    placement: str
    rings: tuple[PastRing, ...]
    """Those remembered, the one that is complete now last."""
    last_epoch: int
    """The highest that was given to any change."""
    change: RingTransition | None = None
    hot: HotKeys | None = None
    """Keys that have copies; see `iotcache.cluster.copies.hot_keys`."""
    schema: int = _SCHEMA

    @property
    def rank(self) -> tuple[int, int]:
        """What decides between two."""
        return self.seq, self.stamp

    @property
    def present(self) -> PastRing:
        """The ring that is complete."""
        return self.rings[-1]

    @property
    def phase(self) -> RingPhase:
        """Of the change under way."""
        return self.change.phase if self.change is not None else RingPhase.STEADY


def floor_key(epoch: int) -> bytes:
    """The key of the item whose CAS unique bounds what counts of keys gained with the ring of ``epoch``."""
    return b"iotcache:epoch:%d" % epoch


def encode_record(record: RingRecord) -> bytes:
    """As it is stored; JSON, so that anybody can read it."""
    return msgspec.json.encode(record)


def decode_record(value: bytes) -> RingRecord | None:
    """What was found; ``None`` for what is no record of ours, whoever has put it there."""
    if len(value) > RECORD_MOST_BYTES:
        return None
    try:
        record = msgspec.json.decode(value, type=RingRecord)
    except msgspec.MsgspecError:
        return None
    return record if _sound(record) else None


def _sound(record: RingRecord) -> bool:
    """Whether everything in it can be used: an item of a shared node may be anybody's."""
    numbers = [record.seq, record.stamp, record.last_epoch, *(ring.epoch for ring in record.rings)]
    lists = [ring.nodes for ring in record.rings]
    change = record.change
    if change is not None:
        numbers += [change.epoch, change.id]
        lists.append(change.nodes)
        if change.phase is RingPhase.STEADY:
            return False
    if record.schema != _SCHEMA or not record.rings or len(record.rings) > REMEMBERED:
        return False
    if any(not 0 <= number < _MOST_NUMBER for number in numbers):
        return False
    if record.hot is not None and not sound_hot_keys(record.hot):
        return False
    try:
        return all(_sound_list(nodes) for nodes in lists)
    except ConfigError:
        return False


def _sound_list(nodes: tuple[str, ...]) -> bool:
    names = [parse_node(text).name for text in nodes]
    return 0 < len(names) <= MOST_NODES and len(set(names)) == len(names)


def node_text(address: NodeAddress) -> str:
    """A node with its weight, as `parse_node` reads it and as all clients write it."""
    return f"{address.name}={address.weight} {address.ring_name}".rstrip()


def texts(nodes: Iterable[NodeAddress]) -> tuple[str, ...]:
    """A list of nodes."""
    return tuple(node_text(node) for node in nodes)


def same_list(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lists name the same nodes with the same weights; their order says nothing."""
    return sorted(one) == sorted(other)


@lru_cache(maxsize=64)
def addresses(nodes: tuple[str, ...]) -> tuple[NodeAddress, ...]:
    """The nodes of a list."""
    return tuple(parse_node(text) for text in nodes)


def step(record: RingRecord, stamp: int, *, driver: Claim | None = None) -> RingRecord:
    """The next phase of the change under way: onward, or back while it is undone."""
    change = record.change
    assert change is not None
    phase = BACK[change.phase] if change.undo else NEXT[change.phase]
    base = replace(record, seq=record.seq + 1, stamp=stamp, hot=_copied_in(phase, record.hot))
    if phase is not RingPhase.STEADY:
        return replace(base, change=replace(change, phase=phase, driver=driver or change.driver))
    if change.undo:
        return replace(base, change=None)
    ring = PastRing(change.epoch, change.nodes, change.fenced)
    return replace(base, rings=(*record.rings, ring)[-REMEMBERED:], change=None)


def _copied_in(phase: RingPhase, hot: HotKeys | None) -> HotKeys | None:
    """Copies while the ring changes: they are read no more from its beginning, and written until the old
    ring is read no more. So no client writes none while another may still read one.
    """
    return None if phase in (RingPhase.HANDING_OVER, RingPhase.CLOSING) else unread(hot)
