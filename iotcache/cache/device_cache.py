"""`DeviceCache`, the front door: read through the cache to the store, write through to the cache.

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
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from msgspec.structs import replace

from iotcache.cache.budget import Budget
from iotcache.cache.derived import DerivedCache
from iotcache.cache.documents import DocumentCache
from iotcache.cache.fallback import Fallback, Loaded, Missed
from iotcache.cache.filled import Filled
from iotcache.cache.nodefacts import NodeWatch
from iotcache.cache.tally import CacheCounters, Tally
from iotcache.cache.write_through import WriteThrough
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.codec import COMPRESS_MIN_BYTES, decode_cached
from iotcache.errors import ConfigError, CorruptValue
from iotcache.keys import Keys
from iotcache.misses import Record, Records, miss_reason
from iotcache.model import (
    Document,
    DocumentKind,
    DocumentName,
    DocumentRead,
    Event,
    MissReason,
    Read,
    Reading,
    Series,
    Source,
    Stored,
)
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.aggregates import AggregateRead, BucketRead
    from iotcache.cluster import Cluster, Got, Outcome, Probe
    from iotcache.config.schema import Settings
    from iotcache.store.base import Store

_STUB_MOST_BYTES: Final = 63
"""An item with no value is its key and this much at the most (59 in memcached 1.6). A reading, with its flags
and at least ``{"value":0,"ts":0}``, is well above it."""
_NODE_OUT: Final = (MissReason.NODE_DOWN, MissReason.TIMEOUT)


class _Miss:
    """A series that the cache did not give, on its way to an answer."""

    __slots__ = ("failure", "got", "key", "place", "series")

    def __init__(self, place: int, series: Series, key: str, got: Got, failure: MissReason | None) -> None:
        self.place = place
        self.series = series
        self.key = key
        self.got = got
        self.failure = failure


class DeviceCache:
    """The newest reading of every series, from Memcached when it is there, else from the store.

    An async context manager. ``cluster`` and ``store`` belong to the caller, who opens and closes them;
    `from_settings` makes a cache that owns both. ``shared_writers`` is for several ingest workers that may
    write the same series: none then puts an older reading over a newer one (see `iotcache.cache.ordered`).
    ``stampede_lease`` lets one reader among all processes load what is missing (`iotcache.cache.fallback`).
    `stampede_lease`, `ttl` and `ttl_jitter` may be set at any time; what is under way is not affected.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        keys: Keys | None = None,
        ttl: TtlPolicy | None = None,
        compress_min_bytes: int = COMPRESS_MIN_BYTES,
        max_value_bytes: int = 1_000_000,
        store_reads_per_s: float = 2_000,
        failover_ttl_s: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        repopulate: bool = True,
        shared_writers: bool = False,
        stampede_lease: bool = True,
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.keys = keys or Keys()
        ttl = ttl or TtlPolicy()
        self._store_reads_per_s = store_reads_per_s
        self._failover_ttl_s = failover_ttl_s
        self._clock = clock
        self._rng = rng or Random()
        self._repopulate = repopulate
        self._owned: tuple[Cluster, Store] | None = None
        self._exits = AsyncExitStack()
        self._tally = Tally()
        self._records = Records()
        self._budget = Budget(store_reads_per_s, clock)
        self._watch = NodeWatch(cluster, clock)
        self._writes = WriteThrough(
            cluster,
            store,
            keys=self.keys,
            records=self._records,
            tally=self._tally,
            ttl=ttl,
            clock=clock,
            rng=self._rng,
            compress_min_bytes=compress_min_bytes,
            max_value_bytes=max_value_bytes,
            shared_writers=shared_writers,
        )
        self._fallback = Fallback(
            cluster,
            store,
            records=self._records,
            tally=self._tally,
            ttl=ttl,
            clock=clock,
            rng=self._rng,
            compress_min_bytes=compress_min_bytes,
            max_value_bytes=max_value_bytes,
            failover_ttl_s=failover_ttl_s,
        )
        self._documents = DocumentCache(
            cluster,
            store,
            self._writes,
            keys=self.keys,
            records=self._records,
            ttl=ttl,
            clock=clock,
            rng=self._rng,
            budget=self._budget,
            watch=self._watch,
            compress_min_bytes=compress_min_bytes,
            max_value_bytes=max_value_bytes,
            repopulate=repopulate,
        )
        self._derived = DerivedCache(
            cluster,
            store,
            keys=self.keys,
            records=self._records,
            ttl=ttl,
            clock=clock,
            rng=self._rng,
            budget=self._budget,
            watch=self._watch,
            compress_min_bytes=compress_min_bytes,
            max_value_bytes=max_value_bytes,
            repopulate=repopulate,
        )
        self.stampede_lease = stampede_lease

    @property
    def stampede_lease(self) -> bool:
        """Whether one reader among all processes loads what is missing, and the others wait for it."""
        return self._stampede_lease

    @stampede_lease.setter
    def stampede_lease(self, leases: bool) -> None:
        self._stampede_lease = self._writes.ordered.hold_places = leases

    @property
    def ttl(self) -> TtlPolicy:
        """How long entries live that are set from now on."""
        return self._writes.ttl

    @ttl.setter
    def ttl(self, policy: TtlPolicy) -> None:
        self._writes.ttl = self._fallback.ttl = self._documents.ttl = self._derived.ttl = policy

    @property
    def ttl_jitter(self) -> float:
        """By what share lives are stretched or cut, so that keys set together do not expire together."""
        return self.ttl.jitter

    @ttl_jitter.setter
    def ttl_jitter(self, share: float) -> None:
        self.ttl = replace(self.ttl, jitter=share)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        read_only: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> DeviceCache:
        """A cache that opens and closes its cluster and store with itself.

        ``read_only`` opens the store for reading; ``on_event`` hears of nodes going down and up.
        Raises `ConfigError` while a part is still "embedded".
        """
        from iotcache.cluster import Cluster
        from iotcache.config.urls import parse_node
        from iotcache.store import open_store

        cache = settings.cache
        if isinstance(cache.nodes, str):
            raise ConfigError(
                f"cache.nodes is {cache.nodes!r}: embedded nodes have addresses only in a stack"
            )
        cluster = Cluster.from_settings([parse_node(node) for node in cache.nodes], cache, on_event=on_event)
        store = open_store(settings.store, read_only=read_only)
        t = cache.ttl
        made = cls(
            cluster,
            store,
            keys=Keys(cache.prefix, cache.bucket_s),
            ttl=TtlPolicy(
                t.volatile_intervals, t.volatile_min_s, t.volatile_max_s, t.default_interval_s,
                t.history_s, t.meta_s, t.config_s, t.aggregate_s, t.jitter,
            ),
            compress_min_bytes=cache.compress_min_bytes,
            max_value_bytes=cache.max_value_bytes,
            store_reads_per_s=cache.store_reads_per_s,
            failover_ttl_s=t.failover_s,
            shared_writers=bool(settings.ingest.group),
            stampede_lease=cache.stampede_lease,
        )  # fmt: skip
        made._owned = cluster, store
        return made

    async def __aenter__(self) -> Self:
        if self._owned is not None:
            async with AsyncExitStack() as opening:
                for part in self._owned:
                    await opening.enter_async_context(part)
                self._exits = opening.pop_all()
        self._watch.nudge()  # so that what happens from now on can be told from what was before
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._fallback.close()
        await self._documents.close()
        await self._derived.close()
        await self._watch.close()
        await self._writes.close()
        await self._exits.aclose()

    # Reading

    async def read(self, device: str, sensor: str) -> Read:
        """The newest reading of one series; see `read_many`."""
        return (await self.read_many((Series(device, sensor),)))[0]

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The newest reading of each series, in order.

        Never raises for a node's or the store's sake: an answer that could not be had has
        `Source.NONE` and says why. Raises `KeyFormatError` for an empty name.
        """
        began_s = self._clock.monotonic()
        keys = self.keys.latest_many(series)
        gots = await self.cluster.get_many(keys)
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

    async def meta(self, device: str) -> DocumentRead:
        """What a device said of itself, from the cache, else from the store.

        Never raises for a node's or the store's sake; raises `KeyFormatError` for an empty name.
        """
        return await self._documents.read(DocumentName(device, DocumentKind.META))

    async def config(self, device: str) -> DocumentRead:
        """A device's configuration, as pushed last; as `meta`."""
        return await self._documents.read(DocumentName(device, DocumentKind.CONFIG))

    async def aggregate(self, site: str, sensor: str) -> AggregateRead:
        """Count, min, max, mean and p95 of a sensor of a site in the newest minute with readings, and in the
        one before; as `meta`."""
        return await self._derived.aggregate(site, sensor)

    async def bucket(self, series: Series, ts_us: int) -> BucketRead:
        """The readings of a series in the bucket of time (`cache.bucket_s`) around ``ts_us``; as `meta`."""
        return await self._derived.bucket(series, ts_us)

    async def fill(self, series: Sequence[Series]) -> Filled:
        """Add to the cache those entries that are not there, from the store.

        Counts as no read and leaves what is there as it is. Raises `StoreError`.
        """
        return await self._fallback.fill(series, self.keys.latest_many(series), lease=self._stampede_lease)

    async def fill_documents(self, names: Sequence[DocumentName]) -> Filled:
        """As `fill`, for documents."""
        return await self._documents.fill(names)

    async def ttl_many(self, series: Sequence[Series]) -> list[Probe]:
        """What the nodes hold of each series, without counting as a read or keeping anything alive.

        A place held for a reader who is loading the value counts as not present.
        """
        from iotcache.cluster import Probe

        keys = self.keys.latest_many(series)
        return [
            Probe(False, probe.node) if probe.present and probe.size <= len(key) + _STUB_MOST_BYTES else probe
            for key, probe in zip(keys, await self.cluster.probe_many(keys), strict=True)
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
                lease=self._stampede_lease
                and self._repopulate
                and miss.failure in (None, MissReason.CORRUPT),
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
                f"the cache node {self.cluster.node_of(miss.key)} is out, and store reads on its behalf "
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
            owner=self.cluster.node_of(miss.key),
            history=self._watch.history(node),
            now_s=now_s,
        )

    # Writing

    def plan_ttl(self, reading: Reading) -> int:
        """Until when this reading's entry is to live, in µs since the epoch, jitter included.

        The writer asks before its commit, so that the store has it (`Stored.cached_until_us`).
        """
        return self._writes.plan_ttl(reading)

    async def write_through(self, newest: Sequence[Stored]) -> list[Outcome]:
        """Set the entry of each series that a commit moved on (`Committed.newest`), in order.

        Never raises for a node's sake. A key that could not be set is dirty: its old entry is deleted as soon
        as its node answers.
        """
        return await self._writes.write_through(newest)

    async def put_documents(self, documents: Sequence[Document]) -> int:
        """Put documents that were just stored into the cache; an older version never replaces a newer one.

        How many of them are as given, or newer, afterwards; the others have no entry, or a dirty one.
        """
        return await self._documents.put(documents)

    async def invalidate_documents(self, names: Sequence[DocumentName]) -> None:
        """Delete the entries of documents; what could not be deleted is dirty and tried again."""
        await self._documents.delete(names)

    async def invalidate_buckets(self, buckets: Sequence[tuple[Series, int]]) -> None:
        """Delete the buckets around these times; what could not be deleted is dirty and tried again."""
        keys = {self.keys.bucket(*series, ts_us) for series, ts_us in buckets}
        await self._writes.delete(sorted(keys))

    async def invalidate(self, series: Sequence[Series]) -> list[Outcome]:
        """Delete the entry of each series, in order; what could not be deleted is dirty and tried again."""
        return await self._writes.delete(self.keys.latest_many(series))

    async def repair(self) -> int:
        """Delete the entries of dirty keys whose nodes answer now; how many are clean.

        Runs by itself every second while there are any.
        """
        return await self._writes.repair()

    def counters(self) -> CacheCounters:
        """What was counted since the cache was made."""
        return self._tally.snapshot(len(self._writes.dirty), self._writes.dirty.dropped)


_PENDING: Final = Read("", "", None, Source.NONE)


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
