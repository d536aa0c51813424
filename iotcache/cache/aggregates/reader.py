"""What is counted from readings, in the cache: aggregates of a site's sensor, history buckets of a series.

Read through like readings: from the cache, else counted from the store and added, never over what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

from iotcache.cache.aggregates.recount import WINDOW_US, aggregate_from_store, bucket_from_store
from iotcache.cache.aggregates.values import (
    CachedAggregate,
    CachedBucket,
    decode_aggregate,
    decode_bucket,
    encode_value,
)
from iotcache.cache.budget import Budget
from iotcache.cache.fallback import STORE_PATIENCE_S
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.clock import Clock
from iotcache.errors import CorruptValue, StoreError
from iotcache.keys import Keys
from iotcache.misses import Record, Records, miss_reason
from iotcache.model import MissReason, Reading, Series, Source, StoredReading
from iotcache.model.aggregates import AggregateRead, BucketRead
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, GetResult
    from iotcache.store.base import Store

T = TypeVar("T", CachedAggregate, CachedBucket)

PASSING_S: Final = 2
"""Life of an entry that a reader counted and that more readings are about to change."""
_NODE_OUT: Final = (MissReason.NODE_DOWN, MissReason.TIMEOUT)


class Loaded(Struct, Generic[T], frozen=True):
    """What the store said, and how long it lived in the cache since."""

    content: T | None
    ttl_s: float | None = None
    store_ms: float = 0.0
    error: str = ""


class Answer(Struct, Generic[T], frozen=True):
    """One answered read, and its way."""

    content: T | None
    way: dict[str, Any]
    """The fields that `AggregateRead` and `BucketRead` have in common."""


class DerivedCache:
    """The aggregates and buckets of `iotcache.cache.DeviceCache`."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        keys: Keys,
        records: Records,
        ttl: TtlPolicy,
        clock: Clock,
        rng: Random,
        budget: Budget,
        watch: NodeFactsCache,
        compress_min_bytes: int,
        max_value_bytes: int,
        repopulate: bool,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._keys = keys
        self._records = records
        self.ttl = ttl
        self._clock = clock
        self._rng = rng
        self._budget = budget
        self._watch = watch
        self._compress_min_bytes = compress_min_bytes
        self._max_value_bytes = max_value_bytes
        self._repopulate = repopulate
        self._flights: dict[str, asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    async def aggregate(self, site: str, sensor: str) -> AggregateRead:
        """The newest figures of a site's sensor. Never raises for a node's or the store's sake."""

        async def count() -> CachedAggregate | None:
            return await aggregate_from_store(self._store, site, sensor, self._now_us())

        def written(content: CachedAggregate) -> StoredReading:
            # Its writer sets it while readings come, and last about the end of its window.
            at_us = min(self._now_us(), content.last.start + WINDOW_US)
            until_us = at_us + round(self.ttl.aggregate_s * 1e6)
            return StoredReading(Reading("", "", 0, at_us, received_us=at_us), until_us)

        answer: Answer[CachedAggregate] = await self._read(
            self._keys.aggregate(site, sensor),
            decode_aggregate,
            count,
            life_s=lambda content: PASSING_S,
            written=written,
        )
        content = answer.content
        return AggregateRead(
            site,
            sensor,
            content.last.figures if content else None,
            content.before.figures if content and content.before else None,
            **answer.way,
        )

    async def bucket(self, series: Series, ts_us: int) -> BucketRead:
        """The readings of a series around a time. Never raises for a node's or the store's sake."""
        length_s = self._keys.bucket_s
        start_us = ts_us // 1_000_000 // length_s * length_s * 1_000_000

        async def count() -> CachedBucket | None:
            return await bucket_from_store(self._store, series, start_us, length_s, self._now_us())

        answer: Answer[CachedBucket] = await self._read(
            self._keys.bucket(series.device, series.sensor, ts_us),
            decode_bucket,
            count,
            life_s=lambda content: (
                PASSING_S if content.open else self.ttl.jittered(self.ttl.history_s, self._rng)
            ),
            written=lambda content: None,
        )
        content = answer.content
        return BucketRead(
            series.device,
            series.sensor,
            start_us,
            length_s,
            tuple(content.readings) if content else (),
            content.figures.figures if content and content.figures else None,
            content.left_out if content else False,
            content.open if content else False,
            **answer.way,
        )

    async def _read(
        self,
        key: str,
        decode: Callable[[bytes, int], T],
        count: Callable[[], Awaitable[T | None]],
        *,
        life_s: Callable[[T], int],
        written: Callable[[T], StoredReading | None],
    ) -> Answer[T]:
        began_s = self._clock.monotonic()
        (got,) = await self._cluster.get_many([key])
        self._watch.nudge()
        failure, now_s = got.failure, self._clock.now()
        if got.hit:
            try:
                content = decode(got.value, got.flags)
            except CorruptValue:
                failure = MissReason.CORRUPT
                await self._cluster.delete_many([key])
            else:
                self._records.note(key, Record(now_s, now_s + got.ttl_s, got.node))
                way = {"source": Source.CACHE, "node": got.node, "ttl_s": got.ttl_s}
                return Answer(content, way | {"latency_ms": self._since_ms(began_s)})
        record = self._records.get(key)
        loaded: Loaded[T]
        if failure in _NODE_OUT and not self._budget.take(1):
            node = self._cluster.node_of(key)
            text = f"the cache node {node} is out, and store reads on its behalf are limited"
            loaded = Loaded(None, error=text)
        else:
            wanted = self._repopulate and failure is not MissReason.TIMEOUT
            loaded, _ = await asyncio.gather(
                self._load(key, count, life_s if wanted else None), self._watch.refresh()
            )
        found = loaded.content
        if found is None and not loaded.error:
            reason = MissReason.NEVER_SET
        else:
            # Where the last entry we know of was a reader's own, there is no writer to reckon with.
            passing = record is not None and record.until_s - record.at_s <= PASSING_S
            stored = written(found) if found is not None and not passing else None
            reason = failure or self._reason(key, got, record, stored, now_s)
        way = {
            "source": Source.NONE if found is None else Source.STORE,
            "node": got.node,
            "ttl_s": loaded.ttl_s,
            "miss_reason": reason,
            "latency_ms": self._since_ms(began_s),
            "store_ms": loaded.store_ms,
            "error": loaded.error,
        }
        return Answer(found, way)

    async def _load(
        self, key: str, count: Callable[[], Awaitable[T | None]], life_s: Callable[[T], int] | None
    ) -> Loaded[T]:
        """The store's answer, asked for once however many wait for it."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, count, life_s))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        loaded: Loaded[T] = await asyncio.shield(flight)
        return loaded

    async def _fly(
        self, key: str, count: Callable[[], Awaitable[T | None]], life_s: Callable[[T], int] | None
    ) -> Loaded[T]:
        from iotcache.cluster import Mode, SetItem

        began_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                content = await count()
        except (StoreError, TimeoutError) as error:
            text = str(error) or f"the store did not answer within {STORE_PATIENCE_S:g} s"
            return Loaded(None, None, self._since_ms(began_s), text)
        store_ms = self._since_ms(began_s)
        if content is None or life_s is None:
            return Loaded(content, None, store_ms)
        value, flags = encode_value(content, self._compress_min_bytes)
        if len(value) > self._max_value_bytes:
            return Loaded(content, None, store_ms)
        item = SetItem(key, value, flags, life_s(content), Mode.ADD)
        (outcome,) = await self._cluster.set_many([item])
        if not outcome.ok:
            return Loaded(content, None, store_ms)
        now_s = self._clock.now()
        self._records.note(key, Record(now_s, now_s + item.ttl_s, outcome.node))
        return Loaded(content, float(item.ttl_s), store_ms)

    def _reason(
        self, key: str, got: GetResult, record: Record | None, stored: StoredReading | None, now_s: float
    ) -> MissReason:
        return miss_reason(
            record,
            stored,
            node=got.node,
            owner=self._cluster.node_of(key),
            history=self._watch.history(got.node),
            now_s=now_s,
        )

    def _now_us(self) -> int:
        return round(self._clock.now() * 1e6)

    def _since_ms(self, began_s: float) -> float:
        return (self._clock.monotonic() - began_s) * 1e3
