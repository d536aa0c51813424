"""The newest reading of many series: from the cache in one go, and what it does not give from the store.

Why no reader puts an old value over a new one: a miss is seen first, the store is asked after it, and what
the store said is stored only where the node still has what it had before (a lease, see `fallback.py`). A
writer sets after its commit, so whatever was committed before the store was asked is in the answer, and
whatever came later has taken the lease's place, also when it was removed again since.

Without leases (``stampede_lease=False``), and while a key's node is out, what the store said is only *added*:
it loses against anything that is there by then. There an entry set *and* removed again (deleted, evicted)
within the milliseconds between a reader's store read and its add leaves room for that reader's older value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iotcache.cache.budget import Budget
from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.fallback import Fallback, Loaded, Missed
from iotcache.cache.filled import Filled
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.clock import Clock
from iotcache.codec import decode_cached
from iotcache.errors import CorruptValue
from iotcache.keys import Keys
from iotcache.misses import Record, Records, miss_reason
from iotcache.model import MissReason, Read, Series, Source

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, GetResult, ItemInfo

_STUB_MOST_BYTES: Final = 63
"""An item with no value is its key and this much at the most (59 in memcached 1.6). A reading, with its flags
and at least ``{"value":0,"ts":0}``, is well above it."""
_NODE_OUT: Final = (MissReason.NODE_DOWN, MissReason.TIMEOUT)
_PENDING: Final = Read("", "", None, Source.NONE)


class _Miss:
    """A series that the cache did not give, on its way to an answer."""

    __slots__ = ("failure", "got", "key", "place", "series")

    def __init__(
        self, place: int, series: Series, key: str, got: GetResult, failure: MissReason | None
    ) -> None:
        self.place = place
        self.series = series
        self.key = key
        self.got = got
        self.failure = failure


class LatestCache:
    """The ``latest`` entries as `DeviceCache` reads, fills and probes them; each miss has a reason."""

    def __init__(
        self,
        cluster: Cluster,
        fallback: Fallback,
        *,
        keys: Keys,
        records: Records,
        tally: CacheCountersBuilder,
        clock: Clock,
        budget: Budget,
        watch: NodeFactsCache,
        store_reads_per_s: float,
        repopulate: bool,
        leases: bool,
    ) -> None:
        self._cluster = cluster
        self._fallback = fallback
        self._keys = keys
        self._records = records
        self._tally = tally
        self._clock = clock
        self._budget = budget
        self._watch = watch
        self._store_reads_per_s = store_reads_per_s
        self._repopulate = repopulate
        self.leases = leases
        """Whether one reader among all processes loads what is missing; may be set at any time."""

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The newest reading of each series, in order; see `DeviceCache.read_many`."""
        began_s = self._clock.monotonic()
        keys = self._keys.latest_many(series)
        gots = await self._cluster.get_many(keys)
        self._watch.nudge()
        answers: list[Read] = []
        misses: list[_Miss] = []
        now_s = self._clock.now()
        records = self._records.by_key
        for one, key, got in zip(series, keys, gots, strict=True):
            failure = got.failure
            if got.hit:
                try:
                    kept = decode_cached(got.value, got.flags)
                except CorruptValue:
                    failure = MissReason.CORRUPT
                else:
                    ttl_s = got.ttl_s
                    records[key] = Record(now_s, now_s + ttl_s, got.node)
                    answers.append(
                        Read(
                            one[0], one[1], kept.value, Source.CACHE, kept.unit, kept.ts, got.node, ttl_s,
                            latency_ms=got.latency_ms, site=kept.site, interval_s=kept.interval_s,
                        )
                    )  # fmt: skip
                    continue
            misses.append(_Miss(len(answers), Series(one[0], one[1]), key, got, failure))
            answers.append(_PENDING)
        self._records.trim()
        self._tally.reads += len(answers)
        self._tally.hits += len(answers) - len(misses)
        if misses:
            await self._fall_back(misses, answers, began_s)
        return answers

    async def fill(self, series: Sequence[Series]) -> Filled:
        """Add to the cache those entries that are not there, from the store. Raises `StoreError`."""
        return await self._fallback.fill(series, self._keys.latest_many(series), lease=self.leases)

    async def probe_many(self, series: Sequence[Series]) -> list[ItemInfo]:
        """What the nodes hold of each series, without a trace; see `DeviceCache.ttl_many`."""
        from iotcache.cluster import ItemInfo

        keys = self._keys.latest_many(series)
        return [
            ItemInfo(False, probe.node)
            if probe.present and probe.size <= len(key) + _STUB_MOST_BYTES
            else probe
            for key, probe in zip(keys, await self._cluster.probe_many(keys), strict=True)
        ]

    async def _fall_back(self, misses: Sequence[_Miss], answers: list[Read], began_s: float) -> None:
        now_s = self._clock.now()
        granted, refused = self._within_budget(misses)
        wanted = [
            Missed(
                miss.series,
                miss.key,
                # A node that hangs would hold up this answer once more; the next read asks its stand-in.
                repopulate=self._repopulate and miss.failure is not MissReason.TIMEOUT,
                lease=self.leases and self._repopulate and miss.failure in (None, MissReason.CORRUPT),
                corrupt=miss.failure is MissReason.CORRUPT,
            )
            for miss in granted
        ]
        records = {miss.key: self._records.get(miss.key) for miss in granted}  # before they are repopulated
        # The statistics first: a lease is an item as well, and they tell whether the node had any.
        _, loaded = await asyncio.gather(self._watch.refresh(), self._fallback.load(wanted, began_s))
        latency_ms = (self._clock.monotonic() - began_s) * 1e3
        for miss, one in zip(granted, loaded, strict=True):
            if one.late is not None:
                kept, got = one.late
                answers[miss.place] = Read(
                    *miss.series, kept.value, Source.CACHE, kept.unit, kept.ts, got.node, got.ttl_s,
                    latency_ms=latency_ms, site=kept.site, interval_s=kept.interval_s,
                )  # fmt: skip
                self._tally.hits += 1
                continue
            reason = self._reason(miss, records[miss.key], one, now_s)
            answers[miss.place] = _answer(miss, one, reason, latency_ms)
            self._tally.misses[reason] += 1
        for miss in refused:
            reason = miss.failure or MissReason.NODE_DOWN
            text = (
                f"the cache node {self._cluster.node_of(miss.key)} is out, and store reads on its behalf "
                f"are limited to {self._store_reads_per_s:g} a second"
            )
            answers[miss.place] = _answer(miss, Loaded(None, error=text), reason, latency_ms)
            self._tally.misses[reason] += 1

    def _within_budget(self, misses: Sequence[_Miss]) -> tuple[Sequence[_Miss], Sequence[_Miss]]:
        """The misses that may go to the store, and those that must not: a dead node's load would drown it."""
        out = [miss for miss in misses if miss.failure in _NODE_OUT]
        granted = self._budget.take(len(out))
        if granted == len(out):
            return misses, ()
        refused = out[granted:]
        self._tally.refused += len(refused)
        places = {miss.place for miss in refused}
        return [miss for miss in misses if miss.place not in places], refused

    def _reason(self, miss: _Miss, record: Record | None, loaded: Loaded, now_s: float) -> MissReason:
        if loaded.stored is None and not loaded.error:
            return MissReason.NEVER_SET
        if miss.failure is not None:
            return miss.failure
        node = miss.got.node
        return miss_reason(
            record,
            loaded.stored,
            node=node,
            owner=self._cluster.node_of(miss.key),
            history=self._watch.history(node),
            now_s=now_s,
        )


def _answer(miss: _Miss, loaded: Loaded, reason: MissReason, latency_ms: float) -> Read:
    stored = loaded.stored
    if stored is None:
        return Read(
            *miss.series,
            None,
            Source.NONE,
            node=miss.got.node,
            miss_reason=reason,
            latency_ms=latency_ms,
            store_ms=loaded.store_ms,
            error=loaded.error,
        )
    reading = stored.reading
    return Read(
        *miss.series,
        reading.value,
        Source.STORE,
        unit=reading.unit,
        ts_us=reading.ts_us,
        node=miss.got.node,
        ttl_s=loaded.ttl_s,
        miss_reason=reason,
        latency_ms=latency_ms,
        store_ms=loaded.store_ms,
        site=reading.site,
        interval_s=reading.interval_s,
    )
