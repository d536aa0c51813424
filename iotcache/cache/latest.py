"""The newest reading of many series: from the cache in one batch, and what it does not have from the store.

Why no reader puts an old value over a new one: a miss is seen first, the store is read after it, and what
the store returned is stored only where the node still has what it had before (a lease, see
`iotcache.cache.loading`). A writer sets after its commit, so whatever was committed before the store was read
is in the answer, and whatever came later has replaced the lease, also when it was deleted again since.

Without leases (``stampede_lease=False``), and while a key's node is out, what the store returned is only
*added*: it loses against anything that is there by then. There an entry set *and* deleted again (by hand, or
evicted) within the milliseconds between a reader's store read and its add leaves room for that reader's older
value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.cache.context import CacheContext
from iotcache.cache.entry_kind import EntryKind
from iotcache.cache.fill_result import FillResult
from iotcache.cache.read_through import Answer, Miss, ReadThrough
from iotcache.cluster.types import ItemInfo
from iotcache.entry_codec import decode_cached, decode_reading, encode_reading
from iotcache.errors import CorruptValue
from iotcache.misses import Expected, Record
from iotcache.model import MissReason, Read, Series, Source, StoredReading

if TYPE_CHECKING:
    pass

_LEASE_MAX_BYTES: Final = 63
"""An item with no value is its key and this much at the most (59 in memcached 1.6). A reading, with its flags
and at least ``{"value":0,"ts":0}``, is well above it."""
_PENDING: Final = Read("", "", None, Source.NONE)


class LatestEntries(EntryKind[Series, StoredReading]):
    """``{device}:{sensor}:latest``: the newest reading of a series."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context

    def keys(self, names: Sequence[Series]) -> list[str]:
        return self._context.keys.latest_many(names)

    def decode(self, name: Series, value: bytes, flags: int) -> StoredReading:
        return StoredReading(decode_reading(*name, value, flags))

    def encode(self, value: StoredReading) -> tuple[bytes, int]:
        return encode_reading(value.reading, self._context.compress_min_bytes)

    async def load(self, names: Sequence[Series]) -> Mapping[Series, StoredReading]:
        return await self._context.store.latest_many(names)

    def ttl_s(self, value: StoredReading) -> int:
        ttl = self._context.ttl
        return ttl.jittered(ttl.volatile_s(value.reading.interval_s), self._context.rng)

    def expected(self, value: StoredReading, owner: str) -> Expected | None:
        return self._context.promises.read(value, owner)


class LatestCache:
    """The ``latest`` entries as `DeviceCache` reads, fills and inspects them."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context
        self._read_through = ReadThrough(context, LatestEntries(context), context.counters)

    async def close(self) -> None:
        """Wait for pending loads."""
        await self._read_through.close()

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The newest reading of each series, in order; see `DeviceCache.read_many`."""
        context = self._context
        began_s = context.clock.monotonic()
        keys = context.keys.latest_many(series)
        results = await context.cluster.get_many(keys)
        context.node_facts.nudge()
        answers: list[Read] = []
        misses: list[Miss[Series]] = []
        now_s = context.clock.now()
        records = context.records.by_key
        for name, key, result in zip(series, keys, results, strict=True):
            failure = result.failure
            if result.hit:
                try:
                    cached = decode_cached(result.value, result.flags)
                except CorruptValue:
                    failure = MissReason.CORRUPT
                else:
                    ttl_s = result.ttl_s
                    records[key] = Record(now_s, now_s + ttl_s, result.node)
                    answers.append(
                        Read(
                            name[0], name[1], cached.value, Source.CACHE, cached.unit, cached.ts, result.node,
                            ttl_s, latency_ms=result.latency_ms, site=cached.site,
                            interval_s=cached.interval_s, stale=cached.stale,
                        )
                    )  # fmt: skip
                    continue
            misses.append(Miss(len(answers), Series(name[0], name[1]), key, result, failure))
            answers.append(_PENDING)
        context.records.trim()
        context.counters.reads += len(answers)
        context.counters.hits += len(answers) - len(misses)
        if misses:
            for miss, answer in await self._read_through.resolve(misses, began_s):
                answers[miss.position] = _read(miss.name, answer)
        return answers

    async def fill(self, series: Sequence[Series]) -> FillResult:
        """Add to the cache those entries that are not there, from the store. Raises `StoreError`."""
        return await self._read_through.fill(series)

    async def probe_many(self, series: Sequence[Series]) -> list[ItemInfo]:
        """What the nodes hold of each series, without a trace; see `DeviceCache.ttl_many`."""
        keys = self._context.keys.latest_many(series)
        return [
            ItemInfo(False, item.node) if item.present and item.size <= len(key) + _LEASE_MAX_BYTES else item
            for key, item in zip(keys, await self._context.cluster.probe_many(keys), strict=True)
        ]


def _read(series: Series, answer: Answer[StoredReading]) -> Read:
    reading = answer.value.reading if answer.value is not None else None
    return Read(
        *series,
        reading.value if reading else None,
        answer.source,
        reading.unit if reading else "",
        reading.ts_us if reading else 0,
        answer.node,
        answer.ttl_s,
        answer.miss_reason,
        answer.latency_ms,
        answer.store_ms,
        reading.site if reading else "",
        reading.interval_s if reading else 0.0,
        answer.error,
        reading.stale if reading else False,
    )
