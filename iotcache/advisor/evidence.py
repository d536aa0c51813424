"""What advice rests on: figures of the nodes over the time that was looked at, curves, frequent keys."""

from __future__ import annotations

from msgspec import Struct

from iotcache.advisor.compression import Compression
from iotcache.advisor.curves import MemoryCurve, TtlCurve
from iotcache.advisor.hot_keys import HotKey


class SlabEvidence(Struct, frozen=True, kw_only=True):
    """One slab class of a node."""

    number: int
    chunk_bytes: int
    pages: int
    used_chunks: int
    free_chunks: int = 0
    chunks_per_page: int = 0
    evictions_per_s: float = 0.0
    item_bytes: float = 0.0
    """Mean size of its items before they were put into chunks; 0 where it is not known."""


class NodeEvidence(Struct, frozen=True, kw_only=True):
    """One node; rates over the time that was looked at."""

    name: str
    memory_bytes: int
    used_bytes: int
    gets_per_s: float
    misses_per_s: float
    marks_per_s: float = 0.0
    """Gets of our clients' own marks, which `gets_per_s` and `misses_per_s` leave out."""
    sets_per_s: float = 0.0
    evictions_per_s: float = 0.0
    evicted_unfetched_per_s: float = 0.0
    """Evictions of entries that nobody had read."""
    connections: int = 0
    connections_max: int = 0
    share: float = 0.0
    """Of all keys, that the placement gives it; 0 where it is not known."""
    weight: int = 1
    lru_segmented: bool = True
    temp_ttl_s: int = -1
    """Entries with a shorter TTL go to the segment that is never evicted; -1: off."""
    slabs: tuple[SlabEvidence, ...] = ()
    curve: MemoryCurve | None = None
    top_gets: tuple[HotKey, ...] = ()
    compression: Compression | None = None
    gets_counted: float = 0.0
    """Gets among which `top_gets` are the most frequent."""

    @property
    def hit_ratio(self) -> float | None:
        return 1.0 - self.misses_per_s / self.gets_per_s if self.gets_per_s > 0 else None


class GroupEvidence(Struct, frozen=True, kw_only=True):
    """Keys of one kind, whose TTL is set in one place."""

    name: str
    gets_per_s: float
    hit_ratio: float | None = None
    """As its gets were answered; ``None`` where nobody told."""
    set_ttl_s: float | None = None
    """The life that its last sets were given; ``None`` before there are any, and where lives are mixed."""
    ttl: TtlCurve | None = None
    jitter: float = 0.0
    """Share of the TTL that is spread today."""
    writes_per_s: float = 0.0
    unread: float | None = None
    """Share of writes that were replaced before anybody had read them."""
    entry_bytes: float = 0.0
    misses_peak: float = 1.0
    """Misses by expiry in the worst second, as a multiple of their mean: entries that expire together."""


class Evidence(Struct, frozen=True, kw_only=True):
    """All of it."""

    seconds: float
    """How long was looked."""
    nodes: tuple[NodeEvidence, ...]
    groups: tuple[GroupEvidence, ...] = ()
    prefixes: tuple[HotKey, ...] = ()
    """The most frequent beginnings of keys, among all gets."""
    skipped: float = 0.0
    """Share of the events that the nodes did not tell of; all counts are corrected by it."""

    @property
    def gets_per_s(self) -> float:
        return sum(node.gets_per_s for node in self.nodes)

    @property
    def memory_bytes(self) -> int:
        return sum(node.memory_bytes for node in self.nodes)
