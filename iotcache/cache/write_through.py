"""The writing half of `DeviceCache`: entries follow what was committed, and what went wrong is made good."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.dirty import DirtyKeys
from iotcache.cache.ordered import ROUNDS, OrderedSets
from iotcache.clock import Clock
from iotcache.codec import encode_reading
from iotcache.errors import StoreError
from iotcache.keys import Keys
from iotcache.misses import Record, Records
from iotcache.model import Reading, StoredReading
from iotcache.store.rows import age_key
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, SetItem, WriteResult
    from iotcache.store.base import Store

REPAIR_EVERY_S: Final = 1.0


class WriteThrough:
    """Sets, deletes and repairs entries on behalf of a writer."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        keys: Keys,
        records: Records,
        tally: CacheCountersBuilder,
        ttl: TtlPolicy,
        clock: Clock,
        rng: Random,
        compress_min_bytes: int,
        max_value_bytes: int,
        shared_writers: bool,
    ) -> None:
        self.dirty = DirtyKeys(cluster)
        self.ordered = OrderedSets(cluster, store, keys, self._item, max_value_bytes)
        self._cluster = cluster
        self._store = store
        self._keys = keys
        self._records = records
        self._tally = tally
        self.ttl = ttl
        self._clock = clock
        self._rng = rng
        self._compress_min_bytes = compress_min_bytes
        self._max_value_bytes = max_value_bytes
        self._shared_writers = shared_writers
        self._repairing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the repair in the background."""
        if self._repairing is not None:
            self._repairing.cancel()
            await asyncio.wait({self._repairing})

    def plan_ttl(self, reading: Reading) -> int:
        """Until when this reading's entry is to live, in µs since the epoch, jitter included.

        The writer asks before its commit, so that the store has it (`StoredReading.cached_until_us`).
        """
        return self.plan_ttls([reading])[0]

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        """`plan_ttl` of each."""
        ttl, rng, now_s = self.ttl, self._rng, self._clock.now()
        # A policy is asked once for each interval, of which a fleet has few.
        lives = {interval_s: ttl.volatile_s(interval_s) for interval_s in {r.interval_s for r in readings}}
        jittered = ttl.jittered
        return [round((now_s + jittered(lives[one.interval_s], rng)) * 1e6) for one in readings]

    async def write_through(self, newest: Sequence[StoredReading]) -> list[WriteResult]:
        """Set the entry of each series that a commit moved on (`Committed.newest`), in order.

        Never raises for a node's sake. A key that could not be set is dirty: its old entry is deleted as soon
        as its node answers.
        """
        from iotcache.cluster import WriteResult

        items: list[SetItem] = []
        fitting: list[StoredReading] = []
        too_large: dict[int, str] = {}
        for place, stored in enumerate(newest):
            item = self._item(stored)
            if self._fits(item):
                items.append(item)
                fitting.append(stored)
            else:
                too_large[place] = item.key
        outcomes = list(await (self._set_in_order(fitting) if self._shared_writers else self._set(items)))
        if too_large:
            dropped = dict(zip(too_large, await self.delete(list(too_large.values())), strict=True))
            done = iter(outcomes)
            outcomes = [
                WriteResult(False, dropped[place].node, "the value is larger than cache.max_value_bytes")
                if place in dropped
                else next(done)
                for place in range(len(newest))
            ]
        return outcomes

    def _item(self, stored: StoredReading) -> SetItem:
        from iotcache.cluster import SetItem

        reading = stored.reading
        value, flags = encode_reading(reading, self._compress_min_bytes)
        until_us = stored.cached_until_us or self.plan_ttl(reading)
        life_s = math.ceil(until_us / 1e6 - self._clock.now())
        return SetItem(self._keys.latest(reading.device, reading.sensor), value, flags, max(1, life_s))

    async def repair(self) -> int:
        """Delete the entries of dirty keys whose nodes answer now; how many are clean.

        Runs by itself every second while there are any.
        """
        clean = await self.dirty.repair()
        self._note_deleted(clean)
        self._tally.repaired += len(clean)
        return len(clean)

    async def _set(self, items: Sequence[SetItem]) -> Sequence[WriteResult]:
        if not items:
            return ()
        outcomes = await self._cluster.set_many(items)
        self._note_set(items, outcomes)
        return outcomes

    def _note_set(self, items: Sequence[SetItem], outcomes: Sequence[WriteResult]) -> None:
        now_s = self._clock.now()
        failed: list[str] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.ok:
                self._records.note(item.key, Record(now_s, now_s + item.ttl_s, outcome.node))
            else:
                failed.append(item.key)
        self._tally.writes += len(items) - len(failed)
        self._tally.write_failures += len(failed)
        self.dirty.discard(item.key for item in items)
        self._soil(failed)

    async def _set_in_order(self, newest: Sequence[StoredReading]) -> list[WriteResult]:
        """Set what others may be writing as well."""
        settled = await self.ordered.set_many(newest)
        self._note_set(list(settled.set_to.values()), [settled.outcomes[at] for at in settled.set_to])
        outcomes = settled.outcomes
        if settled.contested:
            keys = self._keys.latest_many([stored.reading.series for stored in settled.contested.values()])
            outcomes.update(zip(settled.contested, await self.delete(keys), strict=True))
        if settled.away:
            items = [self._item(stored) for stored in settled.away.values()]
            outcomes.update(zip(settled.away, await self._set(items), strict=True))
            await self._yield_to_newer(list(settled.away.values()))
        return [outcomes[settled.same_as.get(at, at)] for at in range(len(newest))]

    async def delete(self, keys: Sequence[str]) -> list[WriteResult]:
        """Delete entries; what could not be deleted is dirty."""
        outcomes = list(await self._cluster.delete_many(keys))
        gone = [key for key, outcome in zip(keys, outcomes, strict=True) if outcome.ok]
        self._note_deleted(gone)
        self.dirty.discard(gone)
        self._soil([key for key, outcome in zip(keys, outcomes, strict=True) if not outcome.ok])
        return outcomes

    def _note_deleted(self, keys: Sequence[str]) -> None:
        now_s = self._clock.now()
        for key in keys:
            self._records.note(key, Record(now_s, now_s, "", deleted=True))

    def _soil(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.dirty.add(key)
        if keys and (self._repairing is None or self._repairing.done()):
            self._repairing = asyncio.create_task(self._keep_repairing())

    async def _keep_repairing(self) -> None:
        while len(self.dirty):
            await asyncio.sleep(REPAIR_EVERY_S)
            await self.repair()

    async def _yield_to_newer(self, written: Sequence[StoredReading]) -> None:
        """Make good what another worker's newer commit may have lost to our sets on a stand-in.

        There is no compare-and-set between nodes, so there two sets may land the wrong way round. Whoever set
        last reads the store after it and so sees the newer commit, and sets that, until what it set is what
        the store has. Until then a reader may see the older one.
        """
        for _ in range(ROUNDS):
            ours = {stored.reading.series: stored.reading for stored in written}
            try:
                latest = await self._store.latest_many(list(ours))
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
        await self.delete(self._keys.latest_many([stored.reading.series for stored in written]))

    def _fits(self, item: SetItem) -> bool:
        return len(item.value) <= self._max_value_bytes
