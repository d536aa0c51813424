"""What the node counts: one set of tallies for the node, and one for each size class of items."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(slots=True)
class NodeCounters:
    """Counters of the whole node since its start or the last ``stats reset``; names as in ``stats``."""

    total_connections: int = 0
    rejected_connections: int = 0
    conn_yields: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    cmd_get: int = 0
    cmd_flush: int = 0
    cmd_touch: int = 0
    cmd_meta: int = 0
    get_misses: int = 0
    get_expired: int = 0
    get_flushed: int = 0
    delete_misses: int = 0
    incr_misses: int = 0
    decr_misses: int = 0
    cas_misses: int = 0
    touch_misses: int = 0
    store_too_large: int = 0
    total_items: int = 0


@dataclass(slots=True)
class SlabCounters:
    """Counters of one size class that ``stats reset`` clears."""

    get_hits: int = 0
    cmd_set: int = 0
    delete_hits: int = 0
    incr_hits: int = 0
    decr_hits: int = 0
    cas_hits: int = 0
    cas_badval: int = 0
    touch_hits: int = 0
    evicted: int = 0
    evicted_nonzero: int = 0
    evicted_time: int = 0
    """Seconds since the last access to the item evicted most recently."""
    evicted_unfetched: int = 0
    evicted_active: int = 0
    expired_unfetched: int = 0
    reclaimed: int = 0
    crawler_reclaimed: int = 0
    crawler_items_checked: int = 0


@dataclass(slots=True, eq=False)
class Slab:
    """One size class: what it holds and what happened in it."""

    number: int
    """The class id that ``me``, ``stats items`` and ``stats slabs`` show."""
    chunk_bytes: int
    """The greatest item of the class."""
    items: int = 0
    item_bytes: int = 0
    counters: SlabCounters = field(default_factory=SlabCounters)


class Slabs:
    """memcached's default size classes, so that a dashboard sees items in the classes it would see there.

    Only the numbering is theirs: memory is not cut into pages here, and eviction does not go by class.
    Source: ``slabs.c``, ``slabs_init`` (factor 1.25 from 96 bytes, aligned to 8, the last class 512 KiB).
    """

    _FACTOR = 1.25
    _SMALLEST_BYTES = 96
    _LARGEST_BYTES = 512 * 1024
    _ALIGN_BYTES = 8

    def __init__(self) -> None:
        sizes: list[int] = []
        size = self._SMALLEST_BYTES
        while size < self._LARGEST_BYTES / self._FACTOR:
            size += -size % self._ALIGN_BYTES
            sizes.append(size)
            size = int(size * self._FACTOR)
        self._sizes = [*sizes, self._LARGEST_BYTES]
        self._slabs = [Slab(number, size) for number, size in enumerate(self._sizes, start=1)]

    def holding(self, item_bytes: int) -> Slab:
        """The class for an item of this many bytes, overhead counted; above 512 KiB, the last."""
        return self._slabs[min(bisect_left(self._sizes, item_bytes), len(self._sizes) - 1)]

    def used(self) -> list[Slab]:
        """Classes that hold an item now, smallest first."""
        return [slab for slab in self._slabs if slab.items]

    def reset(self) -> None:
        """Clear every counter; what is held stays held."""
        for slab in self._slabs:
            slab.counters = SlabCounters()

    def total(self, name: str) -> int:
        """The sum of one counter over all classes."""
        return sum(getattr(slab.counters, name) for slab in self._slabs)
