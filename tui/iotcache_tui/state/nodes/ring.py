"""The ring of nodes as all clients follow it, and the requests that change it."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from iotcache_tui.state.requests import Request


class Follower(Struct, frozen=True):
    """One client that follows the ring. Texts are safe to show."""

    host: str
    pid: int
    role: str
    epoch: int
    phase: str
    age_s: float
    """Since it was last heard of."""
    handed_over: int = 0
    """Entries that it has copied, in this change or the last one."""
    reads_saved: int = 0
    """Its misses at new owners that old ones answered."""
    copy_reads: int = 0
    """Its gets that copies of hot keys answered, since its start."""
    copy_writes: int = 0
    """Its sets and deletes that went to copies."""


class RingFigures(Struct, frozen=True, kw_only=True):
    """The ring, and how far a change of it is."""

    epoch: int = 0
    """How often it was changed."""
    phase: str = "steady"
    undoing: bool = False
    driver: str = ""
    """Who makes the change. Safe to show."""
    joining: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    share_moved: float = 0.0
    left_s: float | None = None
    followers: tuple[Follower, ...] = ()
    hot_keys: tuple[str, ...] = ()
    """Keys that have copies on further nodes. Safe to show."""
    hot_nodes: int = 0
    """On so many nodes each of them is, its owner included."""

    @property
    def changing(self) -> bool:
        return self.phase != "steady"

    @property
    def handed_over(self) -> int:
        """By all clients."""
        return sum(each.handed_over for each in self.followers)

    @property
    def reads_saved(self) -> int:
        """Of all clients."""
        return sum(each.reads_saved for each in self.followers)

    @property
    def copy_reads(self) -> int:
        """Of all clients."""
        return sum(each.copy_reads for each in self.followers)

    @property
    def copy_writes(self) -> int:
        """Of all clients."""
        return sum(each.copy_writes for each in self.followers)


class Foretold(Struct, frozen=True):
    """What the what-if said before the act."""

    share_moved: float
    items: int
    takes_s: float


class ResizeRing(Request, frozen=True):
    """Change the ring to these nodes, as ``cache.nodes`` has them. Answers `ResizeProgress`, and at the end a
    short text of what happened beside what was foretold.
    """

    acts: ClassVar[bool] = True
    nodes: tuple[str, ...]
    foretold: Foretold


class ResizeProgress(Struct, frozen=True):
    """How far this dashboard's own change is."""

    phase: str
    walked: int
    to_walk: int
    handed_over: int
    handed_over_bytes: int
    reads_saved: int
    left_s: float | None


class UndoResize(Request, frozen=True):
    """Let the change under way, whoever makes it, go back. Answers a short text."""

    acts: ClassVar[bool] = True
