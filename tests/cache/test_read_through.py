"""Reads come from the cache, fall back to the store, and put back what they found, never an older value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.model import MissReason, Series, Source
from tests.cache.conftest import Open, ingest, stored, talk
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")
KEY = "dev-1:temperature:latest"


async def test_a_value_written_through_is_read_from_the_cache(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    reading = stored(cache, site="plant-north")
    await ingest(cache, reading)
    read = await cache.read("dev-1", "temperature")
    assert (read.source, read.value, read.unit, read.site) == (Source.CACHE, 21.5, "°C", "plant-north")
    assert (read.ts_us, read.node, read.miss_reason) == (reading.reading.ts_us, memcached.address, None)
    assert read.interval_s == 20.0
    assert 50 <= read.ttl_s <= 66
    assert read.latency_ms > 0
    # The writer fixed the entry's end before its commit, so a fresh process can tell why it is gone.
    assert abs(reading.cached_until_us / 1e6 - (cache.clock.now() + read.ttl_s)) < 2.5


async def test_the_entry_is_json_that_any_client_reads(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    client = Client(("127.0.0.1", memcached.port))
    assert b'"value":21.5' in client.get(KEY)
    client.close()


async def test_a_miss_falls_back_and_the_next_read_hits(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    talk(memcached, b"delete " + KEY.encode())
    first, second = await cache.read(*DEV), await cache.read(*DEV)
    assert (first.source, first.value, first.node) == (Source.STORE, 21.5, memcached.address)
    assert 50 <= first.ttl_s <= 66
    assert first.latency_ms >= first.store_ms > 0
    assert (second.source, second.miss_reason) == (Source.CACHE, None)
    counters = cache.counters()
    assert (counters.reads, counters.hits, counters.store_reads, counters.repopulated) == (2, 1, 1, 1)
    assert counters.misses == {MissReason.INVALIDATED: 1}


async def test_answers_keep_the_order_and_misses_cost_one_store_read(
    memcached_factory: Any, open_cache: Open
) -> None:
    cache = await open_cache([memcached_factory() for _ in range(3)])
    await ingest(cache, *(stored(cache, n, device=f"d{n}") for n in range(300)))
    wanted = [Series(f"d{n}", "temperature") for n in range(0, 600, 2)]
    await cache.invalidate(wanted[:50])
    reads = await cache.read_many([*wanted, wanted[0], wanted[-1]])
    assert [(read.device, read.value) for read in reads[:300]] == [
        (f"d{n}", n if n < 300 else None) for n in range(0, 600, 2)
    ]
    assert [read.source for read in reads[:50]] == [Source.STORE] * 50
    assert [read.source for read in reads[50:150]] == [Source.CACHE] * 100
    assert {(read.source, read.miss_reason) for read in reads[150:300]} == {
        (Source.NONE, MissReason.NEVER_SET)
    }
    assert (reads[300].value, reads[301].source) == (0, Source.NONE)
    counters = cache.counters()
    assert (counters.store_reads, counters.store_series) == (1, 200)
    assert await cache.read_many([]) == []


async def test_two_hundred_readers_of_one_missing_key_cause_one_store_read(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    talk(memcached, b"flush_all")
    reads = await asyncio.gather(*(cache.read(*DEV) for _ in range(200)))
    assert {read.value for read in reads} == {21.5}
    assert cache.counters().store_reads == 1


async def test_a_reader_that_gives_up_does_not_take_the_others_answer_with_it(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    talk(memcached, b"flush_all")
    first = asyncio.create_task(cache.read(*DEV))
    waiters = [asyncio.create_task(cache.read(*DEV)) for _ in range(5)]
    while not cache.counters().store_reads:
        await asyncio.sleep(0)
    first.cancel()
    assert {read.value for read in await asyncio.gather(*waiters)} == {21.5}


async def test_a_repopulation_never_overwrites_what_a_writer_set_meanwhile(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache, 1.0))
    await cache.invalidate([DEV])
    slow = cache.store
    slow.hold()
    reading = asyncio.create_task(cache.read(*DEV))
    await slow.has_read.wait()  # the reader has the old value in hand
    await ingest(cache, stored(cache, 2.0))
    slow.go_on.set()
    assert (await reading).value == 1.0
    assert (await cache.read(*DEV)).value == 2.0


async def test_a_late_reading_does_not_reach_the_cache(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    new = stored(cache, 2.0)
    await ingest(cache, new)
    await ingest(cache, stored(cache, 1.0, ts_us=new.reading.ts_us - 1_000_000))
    assert (await cache.read(*DEV)).value == 2.0


async def test_of_two_workers_whose_writes_cross_the_newer_commit_wins(
    memcached: Server, open_cache: Open
) -> None:
    a = await open_cache([memcached], shared_writers=True)
    b = await open_cache([memcached], shared_writers=True)
    old, new = stored(a, 1.0), stored(a, 2.0)
    first = await a.store.commit([old])
    second = await b.store.commit([new])
    await b.write_through(second.newest)
    await a.write_through(first.newest)  # lands last, and is the older one
    read = await b.read(*DEV)
    assert (read.value, read.source) == (2.0, Source.CACHE)


async def test_a_store_that_fails_is_an_error_text_not_an_exception(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache), stored(cache, device="dev-2"))
    await cache.invalidate([DEV])
    cache.store.away = True
    missed, hit = await cache.read_many([DEV, Series("dev-2", "temperature")])
    assert (missed.source, missed.value, missed.error) == (Source.NONE, None, "the store is away")
    assert missed.miss_reason is MissReason.INVALIDATED
    assert (hit.source, hit.error) == (Source.CACHE, "")
    assert cache.counters().store_failures == 1
    cache.store.away = False
    assert (await cache.read(*DEV)).value == 21.5  # a failure is not remembered


async def test_looking_at_ttls_counts_as_no_read(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    before = talk(memcached, b"stats", b"END\r\n")
    probe, missing = await cache.ttl_many([DEV, Series("no", "such")])
    after = talk(memcached, b"stats", b"END\r\n")
    assert probe.present
    assert 50 <= probe.ttl_s <= 66
    assert not missing.present
    for counter in (b"get_hits", b"get_misses", b"cmd_get", b"cmd_touch"):
        assert _stat(before, counter) == _stat(after, counter)
    assert cache.counters().reads == 0


async def test_values_keep_their_type_through_the_cache(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    values = [1, 1.0, True, "open", "x" * 5000, -0.0]
    await ingest(cache, *(stored(cache, value, device=f"d{n}") for n, value in enumerate(values)))
    names = [Series(f"d{n}", "temperature") for n in range(len(values))]
    hits = await cache.read_many(names)
    await cache.invalidate(names)
    misses = await cache.read_many(names)
    assert (
        [repr(read.value) for read in hits]
        == [repr(read.value) for read in misses]
        == list(map(repr, values))
    )


async def test_a_value_too_large_is_not_cached_and_leaves_no_old_one(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached], max_value_bytes=300, compress_min_bytes=0)
    await ingest(cache, stored(cache, 1.0), stored(cache, 5.0, device="dev-2"))
    done = await cache.store.commit([stored(cache, "x" * 1000), stored(cache, 6.0, device="dev-2")])
    outcomes = dict(zip((new.reading.device for new in done.newest), await cache.write_through(done.newest),
                        strict=True))  # fmt: skip
    assert not outcomes["dev-1"].ok
    assert "larger" in outcomes["dev-1"].reason
    assert outcomes["dev-2"].ok
    assert (await cache.read(*DEV)).value == "x" * 1000
    assert (await cache.read(*DEV)).source is Source.STORE


def _stat(stats: bytes, name: bytes) -> bytes:
    return next(line.split()[2] for line in stats.splitlines() if line.split()[1] == name)
