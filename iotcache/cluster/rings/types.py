"""What is told of the ring and its changes, as small frozen structs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress


class RingPhase(StrEnum):
    """How far a change of the ring is."""

    STEADY = "steady"
    """No change is under way."""
    INVITED = "invited"
    """Clients connect to nodes that join, and do nothing else differently."""
    ANNOUNCED = "announced"
    """Written to the owners of both rings, read from the old one."""
    HANDING_OVER = "handing over"
    """Written to both, read from the new one, on a miss from the old one."""
    CLOSING = "closing"
    """Written to both, read from the new one only."""


class RingFollower(Struct, frozen=True):
    """A client that follows the ring."""

    host: str
    pid: int
    role: str
    epoch: int
    """Of the ring it reads now."""
    phase: RingPhase
    age_s: float
    """Since it was last heard of."""
    handed_over: int = 0
    """Entries that it has copied from old to new owners, in this change or the last one."""
    reads_saved: int = 0
    """Its misses at new owners that old ones answered: as many store reads less."""
    copy_reads: int = 0
    """Its gets that copies of hot keys answered, since its start."""
    copy_writes: int = 0
    """Its sets and deletes that went to copies."""


class RingStatus(Struct, frozen=True):
    """The ring as one client knows it."""

    epoch: int
    """0: it was never changed."""
    phase: RingPhase
    nodes: tuple[NodeAddress, ...]
    """Of the ring that is complete."""
    target: tuple[NodeAddress, ...]
    """Of the ring that it is being changed to; the same as ``nodes`` when steady."""
    undoing: bool = False
    driver: str = ""
    """The client that carries the change out: role, pid and host. Empty when steady."""
    share_moved: float = 0.0
    """Of all keys, 0 to 1, by this change."""
    handed_over: int = 0
    """Entries that this client has copied from old to new owners, by reads and by the walk."""
    handed_over_bytes: int = 0
    reads_saved: int = 0
    """Misses of this client at a new owner that the old one answered: as many store reads less."""
    walked: int = 0
    """Entries of leaving or shrinking nodes that this client has looked through."""
    to_walk: int = 0
    hot_keys: tuple[str, ...] = ()
    """Keys whose reads are spread over several nodes."""
    hot_nodes: int = 0
    """Over so many, for each of them."""
    left_s: float | None = None
    """Until the change is complete, as far as this client can tell."""


class ResizeResult(Struct, frozen=True):
    """What became of a change."""

    epoch: int
    """Of the ring that is complete now."""
    undone: bool
    share_moved: float
    handed_over: int
    """By this client: those that were not read meanwhile, for the most part."""
    handed_over_bytes: int
    walked: int
    took_s: float
    handed_over_by_all: int = 0
    """By this client and all others that follow the ring, as they have told of it."""
    reads_saved: int = 0
    """Store reads that all of them were spared."""
