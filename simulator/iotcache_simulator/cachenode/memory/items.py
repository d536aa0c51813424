"""The items a node holds: expiry, the byte limit, eviction of the least recently used, and flushing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from iotcache_simulator.cachenode.memory.counters import NodeCounters, Slab, Slabs
from iotcache_simulator.cachenode.tokens import expiry

KEY_MAX_BYTES = 250  # protocol.txt, "Keys"
_ITEM_BYTES = 56  # memcached's item header and its CAS unique, which is what it counts an item as
_FLAGS_BYTES = 4  # only kept when not 0
_LINE_END_BYTES = 2  # memcached stores a value with its line end

FETCHED = 1
"""Read since it was stored."""
ACTIVE = 2
"""Read more than once since."""
STALE = 4
"""Marked stale by ``md … I``, or stored with an older CAS unique under ``I``."""
WON = 8
"""A client holds the right to recache it."""
BINARY_KEY = 16
"""The key came in base64."""


def item_bytes(key: bytes, value_bytes: int, flags: int) -> int:
    """What an item counts against the limit: memcached's ``ITEM_ntotal``."""
    extra = _FLAGS_BYTES if flags else 0
    return _ITEM_BYTES + len(key) + 1 + extra + value_bytes + _LINE_END_BYTES


class Item:
    """One key and its value. Times are epoch seconds; ``expires_at`` 0 is never."""

    __slots__ = ("cas", "expires_at", "flags", "key", "slab", "state", "used_at", "value")

    def __init__(self, key: bytes, value: bytes, flags: int, expires_at: int) -> None:
        self.key = key
        self.value = value
        self.flags = flags
        self.expires_at = expires_at
        self.cas = 0
        self.used_at = 0
        self.state = 0
        self.slab: Slab

    @property
    def size_bytes(self) -> int:
        """What it counts against the limit."""
        return item_bytes(self.key, len(self.value), self.flags)


class Items:
    """All items of a node, the least recently used first.

    ``now`` (epoch seconds) stands still until :meth:`advance` moves it, so that one batch of commands sees
    one time; like memcached's, it has whole seconds only. An expired or flushed item goes when somebody
    asks for it, when it is next to be evicted, or when :meth:`crawl` comes by.
    """

    def __init__(self, counters: NodeCounters, *, limit_bytes: int, max_item_bytes: int, now: float) -> None:
        self.counters = counters
        self.slabs = Slabs()
        self.limit_bytes = limit_bytes
        self.max_item_bytes = max_item_bytes
        self.bytes = 0
        self.now = int(now)
        self._by_use: OrderedDict[bytes, Item] = OrderedDict()
        self._flushed_until = 0
        self._last_cas = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def advance(self, now: float) -> None:
        """Move the clock on; it never goes back."""
        self.now = max(self.now, int(now))

    def next_cas(self) -> int:
        """A CAS unique that this node has not given yet."""
        self._last_cas += 1
        return self._last_cas

    def expiry(self, exptime: int) -> int:
        """``exptime`` of a command as the epoch second an item dies at; see :func:`.tokens.expiry`."""
        return expiry(exptime, self.now)

    def find(self, key: bytes) -> Item | None:
        """The live item of a key, or ``None``. Counts an expired or flushed one; touches nothing else."""
        item = self._by_use.get(key)
        if item is None:
            return None
        if item.used_at <= self._flushed_until <= self.now:
            self.counters.get_flushed += 1
            self.drop(item)
            return None
        if item.expires_at and item.expires_at <= self.now:
            self.counters.get_expired += 1
            self.drop(item)
            return None
        return item

    def bump(self, item: Item) -> None:
        """Note that an item was read."""
        item.state |= ACTIVE if item.state & FETCHED else FETCHED
        self.promote(item)

    def promote(self, item: Item) -> None:
        """Make an item the most recently used, without counting it as read."""
        item.used_at = self.now
        self._by_use.move_to_end(item.key)

    def fits(self, key: bytes, value_bytes: int, flags: int) -> bool:
        """Whether such an item may be stored at all."""
        return item_bytes(key, value_bytes, flags) <= min(self.max_item_bytes, self.limit_bytes)

    def put(self, item: Item, cas: int = 0) -> None:
        """Store an item in place of its key's old one, and evict until the limit holds again.

        ``cas`` 0 gives it a new CAS unique.
        """
        old = self._by_use.get(item.key)
        if old is not None:
            self._forget(old)
        item.cas = cas or self.next_cas()
        item.used_at = self.now
        size = item.size_bytes
        item.slab = slab = self.slabs.holding(size)
        slab.items += 1
        slab.item_bytes += size
        self.bytes += size
        self.counters.total_items += 1
        self._by_use[item.key] = item
        self._by_use.move_to_end(item.key)
        if self.bytes > self.limit_bytes:
            self._evict()

    def drop(self, item: Item) -> None:
        """Remove an item that is held."""
        del self._by_use[item.key]
        self._forget(item)

    def flush(self, exptime: int) -> None:
        """Invalidate everything last used before ``exptime`` (0: before now); see ``flush_all``.

        What was stored in this very second goes at once, so that what is stored after the flush may stay.
        """
        self._flushed_until = (expiry(exptime, self.now) if exptime > 0 else self.now) - 1
        for item in [item for item in self._by_use.values() if item.used_at >= self._flushed_until]:
            self.drop(item)

    def resize(self, limit_bytes: int) -> None:
        """Change the byte limit, evicting down to it."""
        self.limit_bytes = limit_bytes
        self._evict()

    def oldest(self, count: int) -> Iterator[Item]:
        """Up to ``count`` items, the least recently used first; nothing may be stored meanwhile."""
        for item, _ in zip(self._by_use.values(), range(count), strict=False):
            yield item

    def keys(self) -> list[bytes]:
        """Every key now held, dead ones too."""
        return list(self._by_use)

    def peek(self, key: bytes) -> Item | None:
        """The live item of a key without counting anything."""
        item = self._by_use.get(key)
        return None if item is None or self._dead(item) else item

    def crawl(self, keys: list[bytes]) -> None:
        """Reclaim those of ``keys`` that are dead."""
        for key in keys:
            item = self._by_use.get(key)
            if item is None:
                continue
            counters = item.slab.counters
            counters.crawler_items_checked += 1
            if self._dead(item):
                counters.crawler_reclaimed += 1
                if not item.state & FETCHED:
                    counters.expired_unfetched += 1
                self.drop(item)

    def _dead(self, item: Item) -> bool:
        return bool(item.expires_at and item.expires_at <= self.now) or (
            item.used_at <= self._flushed_until <= self.now
        )

    def _forget(self, item: Item) -> None:
        size = item.size_bytes
        self.bytes -= size
        item.slab.items -= 1
        item.slab.item_bytes -= size

    def _evict(self) -> None:
        while self.bytes > self.limit_bytes and self._by_use:
            _, item = self._by_use.popitem(last=False)
            counters = item.slab.counters
            fetched = item.state & FETCHED
            if self._dead(item):
                counters.reclaimed += 1
                counters.expired_unfetched += not fetched
            else:
                counters.evicted += 1
                counters.evicted_nonzero += bool(item.expires_at)
                counters.evicted_time = self.now - item.used_at
                counters.evicted_unfetched += not fetched
                counters.evicted_active += bool(item.state & ACTIVE)
            self._forget(item)
