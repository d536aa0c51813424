"""What goes into the cluster client and what comes out, as small frozen structs."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from iotcache.model import MissReason

FOREVER_S = float("inf")


class Mode(StrEnum):
    """When a set takes effect (memcached's ``ms`` modes)."""

    SET = "set"
    ADD = "add"
    """Only where the key is not there: a reader's repopulation, which must not undo a writer's set."""


class Lease(StrEnum):
    """Who loads a value that is not there, among all readers on all machines."""

    WON = "won"
    """You: load it and give it to `Cluster.cas_many`, or give up with `Cluster.release_many`."""
    HELD = "held"
    """Somebody else is at it: ask again shortly."""


class SetItem(Struct, frozen=True, gc=False):
    """A value to be set."""

    key: str
    value: bytes
    flags: int
    ttl_s: int
    """Life in seconds, > 0."""
    mode: Mode = Mode.SET


class GetResult(Struct, frozen=True, gc=False):
    """The answer for one key of a `get_many`."""

    hit: bool
    value: bytes = b""
    flags: int = 0
    ttl_s: float = FOREVER_S
    """The server's own remaining life of the item, in whole seconds; ``inf`` when it never expires."""
    node: str = ""
    """Who answered, or should have: the owner, or the node that stands in for it."""
    failure: MissReason | None = None
    """``NODE_DOWN`` or ``TIMEOUT`` when the key's owner could not answer (also when a stand-in did, and had
    nothing), ``CORRUPT`` when its answer made no sense. ``None`` with ``hit`` False: it is not there."""
    latency_ms: float = 0.0
    """Of the node's batch."""
    cas: int = 0
    """The item's CAS unique, when it was asked for or came along; 0 otherwise."""
    lease: Lease | None = None
    """Of `Cluster.lease_many`: who is to load the value; ``None`` when nobody needs to."""


class WriteResult(Struct, frozen=True, gc=False):
    """What became of one set, delete or touch."""

    ok: bool
    node: str
    reason: str = ""
    """Why it did not happen; safe to show. Empty when it did."""


class ItemInfo(Struct, frozen=True, gc=False):
    """An item as the node holds it, looked at without disturbing it."""

    present: bool
    node: str
    ttl_s: float = FOREVER_S
    age_s: float = 0.0
    """Since the last access."""
    size: int = 0
    """Bytes of the whole item, memcached's own overhead included."""
    fetched: bool = False
    """Whether it was ever read since it was set."""
    failure: MissReason | None = None
