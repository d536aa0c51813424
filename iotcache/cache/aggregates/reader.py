"""What is counted from readings, in the cache: aggregates of a site's sensor, history buckets of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from iotcache.cache.aggregates.recount import aggregate_from_store, bucket_from_store
from iotcache.cache.aggregates.values import (
    CachedAggregate,
    CachedBucket,
    decode_aggregate,
    decode_bucket,
    encode_value,
)
from iotcache.cache.context import CacheContext
from iotcache.cache.entry_kind import EntryKind
from iotcache.cache.read_through import ReadThrough
from iotcache.model import Series
from iotcache.model.aggregates import AggregateRead, BucketRead

UNSETTLED_TTL_S: Final = 2
"""TTL of an entry that a reader counted and that more readings are about to change."""
COUNT_LEASE_S: Final = 6
"""TTL of a lease: above `iotcache.cache.loading.STORE_TIMEOUT_S`, as counting may take that long."""


class AggregateName(NamedTuple):
    """A sensor of a site."""

    site: str
    sensor: str


class BucketName(NamedTuple):
    """A series and the start of a bucket, in microseconds since the epoch."""

    series: Series
    start_us: int


class AggregateEntries(EntryKind[AggregateName, CachedAggregate]):
    """``agg:{site}:{sensor}:1m``."""

    lease_s = COUNT_LEASE_S
    rewritten = True

    def __init__(self, context: CacheContext) -> None:
        self._context = context

    def keys(self, names: Sequence[AggregateName]) -> list[str]:
        return [self._context.keys.aggregate(name.site, name.sensor) for name in names]

    def decode(self, name: AggregateName, value: bytes, flags: int) -> CachedAggregate:
        return decode_aggregate(value, flags)

    def encode(self, value: CachedAggregate) -> tuple[bytes, int]:
        return encode_value(value, self._context.compress_min_bytes)

    async def load(self, names: Sequence[AggregateName]) -> Mapping[AggregateName, CachedAggregate]:
        now_us = _now_us(self._context)
        counted = {name: await aggregate_from_store(self._context.store, *name, now_us) for name in names}
        return {name: aggregate for name, aggregate in counted.items() if aggregate is not None}

    def ttl_s(self, value: CachedAggregate) -> int:
        return UNSETTLED_TTL_S


class BucketEntries(EntryKind[BucketName, CachedBucket]):
    """``{device}:{sensor}:{time}``; put into the cache by readers only."""

    lease_s = COUNT_LEASE_S

    def __init__(self, context: CacheContext) -> None:
        self._context = context

    def keys(self, names: Sequence[BucketName]) -> list[str]:
        return [self._context.keys.bucket(*name.series, name.start_us) for name in names]

    def decode(self, name: BucketName, value: bytes, flags: int) -> CachedBucket:
        return decode_bucket(value, flags)

    def encode(self, value: CachedBucket) -> tuple[bytes, int]:
        return encode_value(value, self._context.compress_min_bytes)

    async def load(self, names: Sequence[BucketName]) -> Mapping[BucketName, CachedBucket]:
        store, bucket_s, now_us = self._context.store, self._context.keys.bucket_s, _now_us(self._context)
        counted = {name: await bucket_from_store(store, *name, bucket_s, now_us) for name in names}
        return {name: bucket for name, bucket in counted.items() if bucket is not None}

    def ttl_s(self, value: CachedBucket) -> int:
        ttl = self._context.ttl
        return UNSETTLED_TTL_S if value.open else ttl.jittered(ttl.history_s, self._context.rng)


class AggregateCache:
    """Aggregates and buckets as `DeviceCache` reads them."""

    def __init__(self, context: CacheContext) -> None:
        self._bucket_s = context.keys.bucket_s
        self._aggregates = ReadThrough(context, AggregateEntries(context))
        self._buckets = ReadThrough(context, BucketEntries(context))

    async def close(self) -> None:
        """Wait for pending loads."""
        await self._aggregates.close()
        await self._buckets.close()

    async def aggregate(self, site: str, sensor: str) -> AggregateRead:
        """The newest figures of a site's sensor. Never raises for a node's or the store's sake."""
        answer = await self._aggregates.read(AggregateName(site, sensor))
        windows = answer.value
        return AggregateRead(
            site, sensor,
            windows.last.figures if windows else None,
            windows.before.figures if windows and windows.before else None,
            source=answer.source, node=answer.node, ttl_s=answer.ttl_s, miss_reason=answer.miss_reason,
            latency_ms=answer.latency_ms, store_ms=answer.store_ms, error=answer.error,
        )  # fmt: skip

    async def bucket(self, series: Series, ts_us: int) -> BucketRead:
        """The readings of a series around a time. Never raises for a node's or the store's sake."""
        start_us = ts_us // 1_000_000 // self._bucket_s * self._bucket_s * 1_000_000
        answer = await self._buckets.read(BucketName(series, start_us))
        bucket = answer.value
        return BucketRead(
            series.device, series.sensor, start_us, self._bucket_s,
            tuple(bucket.readings) if bucket else (),
            bucket.figures.figures if bucket and bucket.figures else None,
            bucket.left_out if bucket else False,
            bucket.open if bucket else False,
            source=answer.source, node=answer.node, ttl_s=answer.ttl_s, miss_reason=answer.miss_reason,
            latency_ms=answer.latency_ms, store_ms=answer.store_ms, error=answer.error,
        )  # fmt: skip


def _now_us(context: CacheContext) -> int:
    return round(context.clock.now() * 1e6)
