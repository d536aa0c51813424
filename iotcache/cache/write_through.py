"""The writing half of `DeviceCache`: entries follow what was committed, and failures are made good."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import Final

from iotcache.cache.context import CacheContext
from iotcache.cache.dirty import DirtyKeys
from iotcache.cache.ordered import MAX_ROUNDS, OrderedSets
from iotcache.cluster.types import SetItem, WriteResult
from iotcache.entry_codec import encode_reading
from iotcache.errors import ClusterClosed, StoreError
from iotcache.misses import Record
from iotcache.model import Reading, StoredReading
from iotcache.store.rows import age_key
from iotcache.ttl import MAX_TTL_S

REPAIR_EVERY_S: Final = 1.0
_TAGS_REMEMBERED: Final = 500_000


class WriteThrough:
    """Sets, deletes and repairs entries on behalf of a writer."""

    def __init__(self, context: CacheContext) -> None:
        self.dirty = DirtyKeys(context.cluster)
        self._context = context
        self._tag_of: dict[tuple[str, str], int] = {}
        self._placement = -1
        """The cluster's, as of which the above holds."""
        self._ordered = OrderedSets(context, self._item)
        self._repair_task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the repair in the background."""
        if self._repair_task is not None:
            self._repair_task.cancel()
            await asyncio.wait({self._repair_task})

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        """The promise of each reading's entry; see `DeviceCache.plan_ttl`."""
        context = self._context
        ttl, rng, now_s = context.ttl, context.rng, context.clock.now()
        # The policy is asked once for each interval, of which a fleet has few.
        ttl_s_of = {interval_s: ttl.volatile_s(interval_s) for interval_s in {r.interval_s for r in readings}}
        jittered = ttl.jittered
        now_us = round(now_s * 1e6)
        return context.promises.write(
            [now_us + jittered(ttl_s_of[reading.interval_s], rng) * 1_000_000 for reading in readings],
            self._tags([(reading.device, reading.sensor) for reading in readings]),
        )

    def _tags(self, names: Sequence[tuple[str, str]]) -> list[int]:
        """What a promise says of the owner of each series' entry; asked for every reading."""
        context, known = self._context, self._tag_of
        if self._placement != context.cluster.placement or len(known) > _TAGS_REMEMBERED:
            self._placement = context.cluster.placement
            known.clear()
        try:
            return [known[name] for name in names]
        except KeyError:
            owners = context.cluster.nodes_of(context.keys.latest_many(names))
            tags = [context.promises.tag(owner) for owner in owners]
            known.update(zip(names, tags, strict=True))
            return tags

    async def write_through(self, newest: Sequence[StoredReading]) -> list[WriteResult]:
        """Set the entry of each series that a commit moved on; see `DeviceCache.write_through`."""
        items: list[SetItem] = []
        accepted: list[StoredReading] = []
        too_large: dict[int, str] = {}
        for position, stored in enumerate(newest):
            item = self._item(stored)
            if self._fits(item):
                items.append(item)
                accepted.append(stored)
            else:
                too_large[position] = item.key
        if self._context.shared_writers:
            results = await self._set_in_order(accepted)
        else:
            results = list(await self._set(items))
        if too_large:
            deleted = dict(zip(too_large, await self.delete(list(too_large.values())), strict=True))
            of_accepted = iter(results)
            results = [
                WriteResult(False, deleted[position].node, "the value is larger than cache.max_value_bytes")
                if position in deleted
                else next(of_accepted)
                for position in range(len(newest))
            ]
        return results

    async def delete(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete entries; what could not be deleted is dirty."""
        results = list(await self._context.cluster.delete_many(keys))
        deleted = [key for key, result in zip(keys, results, strict=True) if result.ok]
        self._note_deleted(deleted)
        self.dirty.discard(deleted)
        self._mark_dirty([key for key, result in zip(keys, results, strict=True) if not result.ok])
        return results

    async def repair(self) -> int:
        """Delete the entries of dirty keys whose nodes answer now; how many are clean."""
        clean = await self.dirty.repair()
        self._note_deleted(clean)
        self._context.counters.repaired += len(clean)
        return len(clean)

    def _item(self, stored: StoredReading) -> SetItem:
        context = self._context
        reading = stored.reading
        value, flags = encode_reading(reading, context.compress_min_bytes)
        until_us = stored.cached_until_us or self.plan_ttls((reading,))[0]
        ttl_s = math.ceil(until_us / 1e6 - context.clock.now())
        return SetItem(
            context.keys.latest(reading.device, reading.sensor), value, flags, min(max(1, ttl_s), MAX_TTL_S)
        )

    def _fits(self, item: SetItem) -> bool:
        return len(item.value) <= self._context.max_value_bytes

    async def _set(self, items: Sequence[SetItem]) -> Sequence[WriteResult]:
        if not items:
            return ()
        results = await self._context.cluster.set_many(items)
        self._note_set(items, results)
        return results

    def _note_set(self, items: Sequence[SetItem], results: Sequence[WriteResult]) -> None:
        context = self._context
        now_s = context.clock.now()
        failed: list[str] = []
        for item, result in zip(items, results, strict=True):
            if result.ok:
                context.records.note(item.key, Record(now_s, now_s + item.ttl_s, result.node))
            else:
                failed.append(item.key)
        context.counters.writes += len(items) - len(failed)
        context.counters.write_failures += len(failed)
        self.dirty.discard(item.key for item in items)
        self._mark_dirty(failed)

    def _note_deleted(self, keys: Sequence[str]) -> None:
        now_s = self._context.clock.now()
        for key in keys:
            self._context.records.note(key, Record(now_s, now_s, "", deleted=True))

    def _mark_dirty(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.dirty.add(key)
        if keys and (self._repair_task is None or self._repair_task.done()):
            self._repair_task = asyncio.create_task(self._repair_until_clean())

    async def _repair_until_clean(self) -> None:
        with contextlib.suppress(ClusterClosed):
            while len(self.dirty):
                await asyncio.sleep(REPAIR_EVERY_S)
                await self.repair()

    async def _set_in_order(self, newest: Sequence[StoredReading]) -> list[WriteResult]:
        """Set what others may be writing as well."""
        ordered = await self._ordered.set_many(newest)
        self._note_set(list(ordered.items.values()), [ordered.results[at] for at in ordered.items])
        results = ordered.results
        if ordered.contested:
            keys = self._latest_keys(list(ordered.contested.values()))
            results.update(zip(ordered.contested, await self.delete(keys), strict=True))
        if ordered.unreachable:
            items = [self._item(stored) for stored in ordered.unreachable.values()]
            results.update(zip(ordered.unreachable, await self._set(items), strict=True))
            await self._yield_to_newer(list(ordered.unreachable.values()))
        return [results[ordered.same_as.get(at, at)] for at in range(len(newest))]

    async def _yield_to_newer(self, written: Sequence[StoredReading]) -> None:
        """Undo our sets on a failover node where they replaced another worker's newer ones.

        There is no compare-and-set between nodes, so there two sets may arrive in the wrong order. Whoever
        set last reads the store after it and so sees the newer commit, and sets that, until what it set is
        what the store has. Until then a reader may see the older one.
        """
        for _ in range(MAX_ROUNDS):
            ours = {stored.reading.series: stored.reading for stored in written}
            try:
                latest = await self._context.store.latest_many(list(ours))
            except StoreError:
                break
            written = [
                latest[series]
                for series, reading in ours.items()
                if series in latest and age_key(latest[series].reading) > age_key(reading)
            ]
            if not written:
                return
            await self._set([item for item in map(self._item, written) if self._fits(item)])
        await self.delete(self._latest_keys(written))

    def _latest_keys(self, readings: Sequence[StoredReading]) -> list[str]:
        return self._context.keys.latest_many([stored.reading.series for stored in readings])
