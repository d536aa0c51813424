"""Aggregates and buckets, read through real memcached nodes to a SQLite file."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.clock import ManualClock
from iotcache.errors import KeyFormatError
from iotcache.model import MissReason, Reading, Series, Source, StoredReading
from tests.cache.conftest import open_cache, talk
from tests.conftest import Server

__all__ = ["open_cache"]

pytestmark = pytest.mark.real("memcached")
Open = Callable[..., Any]
S = 1_000_000
T0 = 1_795_348_800 * S
AGG = "agg:north:temp:1m"
BUCKET = "d1:temp:20261122T1200Z"
SERIES = Series("d1", "temp")


async def commit(cache: DeviceCache, *values: tuple[object, float], device: str = "d1") -> None:
    await cache.store.commit(
        [
            StoredReading(Reading(device, "temp", value, T0 + round(at_s * S), site="north"))  # type: ignore[arg-type]
            for value, at_s in values
        ]
    )


def held(node: Server, key: str) -> Any:
    """The entry as any client of memcached finds it."""
    from pymemcache import Client

    client = Client(("127.0.0.1", node.port), timeout=2)
    try:
        raw = client.get(key)
    finally:
        client.close()
    if raw is None:
        return None
    return json.loads(zlib.decompress(raw) if raw[:1] == b"x" else raw)


async def at(open_cache: Open, node: Server, seconds: float, **options: Any) -> DeviceCache:
    clock = ManualClock(T0 / S + seconds)
    cache: DeviceCache = await open_cache([node], clock=clock, **options)
    return cache


async def test_an_aggregate_is_counted_from_the_store_and_then_found(
    memcached: Server, open_cache: Open
) -> None:
    cache = await at(open_cache, memcached, 70)
    await commit(cache, (20, 5), (22, 59), (21, 61), ("off", 62))
    await commit(cache, (25, 65), device="d2")
    read = await cache.aggregate("north", "temp")
    assert read.source is Source.STORE
    assert read.last is not None
    assert read.before is not None
    last, before = read.last, read.before
    assert (last.start_us, last.count, last.min, last.max, last.mean) == (T0 + 60 * S, 2, 21.0, 25.0, 23.0)
    assert last.p95 == pytest.approx(25.0, rel=0.01)
    assert (before.start_us, before.count, before.mean) == (T0, 2, 21.0)
    assert read.ttl_s == 2.0, "a reader's entry is short: the next reading changes it"
    again = await cache.aggregate("north", "temp")
    assert (again.source, again.last, again.before) == (Source.CACHE, last, before)
    assert held(memcached, AGG)["last"]["count"] == 2


async def test_of_a_minute_without_readings_the_one_before_is_the_last(
    memcached: Server, open_cache: Open
) -> None:
    cache = await at(open_cache, memcached, 70)
    await commit(cache, (20, 5))
    read = await cache.aggregate("north", "temp")
    assert (read.last and read.last.start_us, read.before) == (T0, None)
    for site, sensor in (("north", "other"), ("south", "temp")):
        read = await cache.aggregate(site, sensor)
        assert (read.last, read.source, read.miss_reason) == (None, Source.NONE, MissReason.NEVER_SET)
    with pytest.raises(KeyFormatError):
        await cache.aggregate("", "temp")


async def test_a_missing_aggregate_has_its_reason(memcached: Server, open_cache: Open) -> None:
    cache = await at(open_cache, memcached, 70)
    await commit(cache, (20, 61))
    await cache.aggregate("north", "temp")
    clock: Any = cache.clock
    clock.advance(5)  # the reader's entry was to live for 2 s
    async with asyncio.timeout(5):
        while held(memcached, AGG) is not None:
            await asyncio.sleep(0.05)
    assert (await cache.aggregate("north", "temp")).miss_reason is MissReason.EXPIRED
    talk(memcached, f"set {AGG} 16 0 9\r\nnot-json!".encode())
    clock.advance(0.1)  # a read at the very moment of the last one would share its answer
    read = await cache.aggregate("north", "temp")
    assert (read.miss_reason, read.last and read.last.count) == (MissReason.CORRUPT, 1)
    assert (await cache.aggregate("north", "temp")).source is Source.CACHE, "the corrupt entry is gone"
    memcached.kill()
    read = await cache.aggregate("north", "temp")
    assert (read.source, read.miss_reason) == (Source.STORE, MissReason.NODE_DOWN)


async def test_a_bucket_holds_the_readings_of_its_time(memcached: Server, open_cache: Open) -> None:
    cache = await at(open_cache, memcached, 600)
    await commit(cache, (1, -1), (20, 0), ("off", 10), (True, 20), (22.5, 59.999), (9, 60))
    read = await cache.bucket(SERIES, T0 + 30 * S)
    assert (read.source, read.miss_reason) == (Source.STORE, MissReason.NEVER_SET)
    assert [(round((ts_us - T0) / S, 3), value) for ts_us, value in read.readings] == [
        (0, 20), (10, "off"), (20, True), (59.999, 22.5)
    ]  # fmt: skip
    assert read.figures is not None
    assert (read.figures.count, read.figures.min, read.figures.max, read.open) == (3, 1.0, 22.5, False)
    assert read.ttl_s is not None
    assert 3_000 < read.ttl_s < 4_000
    again = await cache.bucket(SERIES, T0 + 1)
    assert (again.source, again.readings, again.figures) == (Source.CACHE, read.readings, read.figures)
    assert held(memcached, BUCKET)["start"] == T0
    empty = await cache.bucket(SERIES, T0 + 300 * S)
    assert (empty.source, empty.readings, empty.figures) == (Source.NONE, (), None)


async def test_a_bucket_that_still_fills_is_kept_for_a_moment_only(
    memcached: Server, open_cache: Open
) -> None:
    cache = await at(open_cache, memcached, 75)
    await commit(cache, (20, 30))
    read = await cache.bucket(SERIES, T0)
    assert (read.open, read.ttl_s) == (True, 2.0)


async def test_a_bucket_is_bounded_and_keeps_the_newest(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotcache.cache.aggregates.recount.BUCKET_READINGS", 3)
    cache = await at(open_cache, memcached, 600)
    await commit(cache, *((n, n) for n in range(10)))
    read = await cache.bucket(SERIES, T0)
    assert ([value for _, value in read.readings], read.left_out) == ([7, 8, 9], True)
    assert read.figures is not None
    assert read.figures.count == 10


async def test_many_readers_of_one_miss_ask_the_store_once(memcached: Server, open_cache: Open) -> None:
    cache = await at(open_cache, memcached, 70)
    await commit(cache, (20, 61))
    asked = 0
    store: Any = cache.store
    window = store.window

    async def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await window(*arguments)

    store.window = counted
    reads = await asyncio.gather(*(cache.aggregate("north", "temp") for _ in range(20)))
    assert {read.last and read.last.count for read in reads} == {1}
    assert asked == 1


async def test_without_the_store_there_is_an_error_text_and_no_exception(
    memcached: Server, open_cache: Open
) -> None:
    cache = await at(open_cache, memcached, 70)
    await cache.store.close()
    read = await cache.aggregate("north", "temp")
    assert (read.source, read.last) == (Source.NONE, None)
    assert "closed" in read.error
    assert "closed" in (await cache.bucket(SERIES, T0)).error
