"""What the device cache counts, for a dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from iotcache.model import MissReason


class CacheCounters(Struct, frozen=True):
    """Totals since the cache was made. Rates are the difference of two snapshots."""

    reads: int
    """Series asked for."""
    hits: int
    """Answered from a cache node."""
    misses: Mapping[MissReason, int]
    """Not answered from a cache node, by reason; their sum is reads less hits."""
    store_reads: int
    """Calls to the store that misses caused."""
    store_series: int
    """Series that those calls asked for: below the misses where readers shared one answer."""
    store_failures: int
    """Calls to the store that failed."""
    refused: int
    """Misses not taken to the store, because a node is out and its share of store reads was used up."""
    repopulated: int
    """Entries put back into the cache after a miss."""
    writes: int
    """Entries that a writer set."""
    write_failures: int
    """Entries that a writer could not set; their keys became dirty."""
    repaired: int
    """Dirty keys invalidated since."""
    dirty: int
    """Keys that are dirty now."""
    dirty_dropped: int
    """Dirty keys forgotten for want of room: their entries may be old until they expire."""
    lease_wins: int = 0
    """Misses that this cache loaded on behalf of all readers everywhere."""
    lease_waits: int = 0
    """Misses for which somebody else's loading was waited."""


class CacheCountersBuilder:
    """The running totals behind `CacheCounters`."""

    def __init__(self) -> None:
        self.reads = 0
        self.hits = 0
        self.misses: Counter[MissReason] = Counter()
        self.store_reads = 0
        self.store_series = 0
        self.store_failures = 0
        self.refused = 0
        self.repopulated = 0
        self.writes = 0
        self.write_failures = 0
        self.repaired = 0
        self.lease_wins = 0
        self.lease_waits = 0

    def snapshot(self, dirty: int, dirty_dropped: int) -> CacheCounters:
        return CacheCounters(
            reads=self.reads,
            hits=self.hits,
            misses=dict(self.misses),
            store_reads=self.store_reads,
            store_series=self.store_series,
            store_failures=self.store_failures,
            refused=self.refused,
            repopulated=self.repopulated,
            writes=self.writes,
            write_failures=self.write_failures,
            repaired=self.repaired,
            dirty=dirty,
            dirty_dropped=dirty_dropped,
            lease_wins=self.lease_wins,
            lease_waits=self.lease_waits,
        )
