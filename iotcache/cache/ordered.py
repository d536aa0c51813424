"""Several writers of one series: an older reading is never seen where a newer one was written.

Two workers commit one after the other, but their sets may reach the node in the other order, and until the
older one were corrected every reader would see it. So a set is a compare-and-set:

1. Look at the entry, with its CAS unique. Where there is none, a lease's empty item takes its place.
2. A newer entry stays. An older one is replaced by our reading. Where there is no readable entry, the store
   is read *after* the look: a newer reading may have been written and deleted again since our commit.
3. Set, where the entry still is the one looked at. Where it is not, look again.

So whatever a write stores is at least as new as all that was written when it looked; and what was written
after the look has changed the CAS unique, so that the set is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from iotcache.cache.context import CacheContext
from iotcache.cache.entry_kind import LOAD_LEASE_S
from iotcache.cluster import CONFLICTS
from iotcache.cluster.types import GetResult, Mode, SetItem, WriteResult
from iotcache.entry_codec import CachedReading, decode_cached
from iotcache.errors import CorruptValue, StoreError
from iotcache.model import NodeState, Series, StoredReading
from iotcache.store.rows import NO_SEQ, age_key

MAX_ROUNDS: Final = 4
"""More rounds than this mean a series that others write faster than we can follow."""
_NEWER: Final = "a newer reading is there already"


class OrderedResult(Struct):
    """What became of the readings, by their positions."""

    results: dict[int, WriteResult] = field(default_factory=dict)
    """Of those that are in the cache now, or for which a newer one is; of refused ones why."""
    items: dict[int, SetItem] = field(default_factory=dict)
    """What was set for them."""
    contested: dict[int, StoredReading] = field(default_factory=dict)
    """Others were faster, time and again, or it is not known what is newest: to be deleted."""
    unreachable: dict[int, StoredReading] = field(default_factory=dict)
    """Their node does not answer: there is nothing to compare with."""
    same_as: dict[int, int] = field(default_factory=dict)
    """Where one series came more than once: the position of its newest reading, whose result serves all."""


class OrderedSets:
    """Compare-and-sets of ``latest`` entries by the age of their readings."""

    def __init__(self, context: CacheContext, item: Callable[[StoredReading], SetItem]) -> None:
        self._context = context
        self._item = item

    async def set_many(self, newest: Sequence[StoredReading]) -> OrderedResult:
        """Set each reading where nothing newer is. Never raises for a node's or the store's sake."""
        ordered = OrderedResult()
        by_series: dict[Series, int] = {}
        for at, stored in enumerate(newest):
            before = by_series.setdefault(stored.reading.series, at)
            if age_key(newest[before].reading) <= age_key(stored.reading):
                by_series[stored.reading.series] = at
        remaining = {at: newest[at] for at in by_series.values()}
        for _ in range(MAX_ROUNDS):
            if not remaining:
                break
            remaining = await self._round(remaining, ordered)
        ordered.contested.update(remaining)
        if len(by_series) < len(newest):
            ordered.same_as = {at: by_series[stored.reading.series] for at, stored in enumerate(newest)}
        return ordered

    async def _round(
        self, remaining: Mapping[int, StoredReading], ordered: OrderedResult
    ) -> dict[int, StoredReading]:
        """One look and one set; those whose entry has changed in between."""
        context = self._context
        keys = context.keys.latest_many([stored.reading.series for stored in remaining.values()])
        if context.leases:
            looks = await context.cluster.lease_many(keys, stub_s=LOAD_LEASE_S)
        else:  # an entry set *and* deleted between our look and our set goes unnoticed
            looks = await context.cluster.get_many(keys, cas=True)
        seen: dict[int, GetResult] = {}
        unknown: list[int] = []
        for (at, stored), key, look in zip(remaining.items(), keys, looks, strict=True):
            if look.failure is not None or look.node != context.cluster.node_of(key):
                ordered.unreachable[at] = stored
                continue
            cached = _reading_of(look)
            if cached is None:
                unknown.append(at)
            elif _age(cached) >= age_key(stored.reading):
                newer = _age(cached) > age_key(stored.reading)
                ordered.results[at] = WriteResult(True, look.node, _NEWER if newer else "")
                continue
            seen[at] = look
        wanted = {at: remaining[at] for at in seen}
        if unknown:
            try:
                latest = await context.store.latest_many([remaining[at].reading.series for at in unknown])
            except StoreError:
                for at in unknown:
                    ordered.contested[at] = wanted.pop(at)
            else:
                wanted.update((at, _newer(remaining[at], latest)) for at in unknown)
        return await self._set(wanted, seen, ordered)

    async def _set(
        self, wanted: Mapping[int, StoredReading], seen: Mapping[int, GetResult], ordered: OrderedResult
    ) -> dict[int, StoredReading]:
        cluster = self._context.cluster
        items: dict[int, SetItem] = {}
        for at, stored in wanted.items():
            item = self._item(stored)
            if len(item.value) <= self._context.max_value_bytes:
                items[at] = item
            else:
                ordered.contested[at] = stored
        swapped = [at for at in items if seen[at].cas]
        added = [at for at in items if not seen[at].cas]
        results = list(await cluster.cas_many([items[at] for at in swapped], [seen[at] for at in swapped]))
        if added:
            results += await cluster.set_many([replace(items[at], mode=Mode.ADD) for at in added])
        again: dict[int, StoredReading] = {}
        out = {node.name for node in cluster.health() if node.state is not NodeState.UP}
        for at, result in zip([*swapped, *added], results, strict=True):
            if result.ok:
                ordered.results[at] = result
                ordered.items[at] = items[at]
            elif result.node in out:
                ordered.unreachable[at] = wanted[at]
            elif result.reason in CONFLICTS:
                again[at] = wanted[at]
            else:
                ordered.results[at] = result
                ordered.items[at] = items[at]
        return again


def _reading_of(look: GetResult) -> CachedReading | None:
    """What an entry holds; ``None`` for none, and for one that cannot be read."""
    if not look.hit:
        return None
    try:
        return decode_cached(look.value, look.flags)
    except CorruptValue:
        return None


def _age(cached: CachedReading) -> tuple[int, int, str]:
    """As `age_key`."""
    return cached.ts, NO_SEQ if cached.seq is None else cached.seq, cached.boot


def _newer(stored: StoredReading, latest: Mapping[Series, StoredReading]) -> StoredReading:
    in_store = latest.get(stored.reading.series, stored)
    return in_store if age_key(in_store.reading) > age_key(stored.reading) else stored
