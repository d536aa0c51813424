"""What ingest workers write: alone, and two of a group whose parts come together."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from iotcache.aggregates.writer import Aggregates
from iotcache.cache import DeviceCache
from iotcache.clock import ManualClock
from iotcache.config.schema import IngestSettings, Settings
from iotcache.model import Reading, Series, Source, StoredReading
from iotcache.model.batches import CommittedBatch
from tests.cache.conftest import open_cache
from tests.conftest import Server
from tests.ingest.conftest import link, settings_for, until, worker

__all__ = ["link", "open_cache", "settings_for", "worker"]

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
S = 1_000_000
T0 = 1_795_348_800 * S
GROUP = Settings(ingest=IngestSettings(group="g"))


def readings(n: int, at_s: float, seed: int = 1) -> list[Reading]:
    rng = random.Random(seed)
    return [
        Reading(
            f"d{i % 7}",
            "temp",
            rng.gauss(20, 5),
            T0 + round(at_s * S) + i,
            site="north",
            seq=i,
            boot=str(seed),
        )
        for i in range(n)
    ]


async def feed(writer: Aggregates, cache: DeviceCache, batch: Sequence[Reading]) -> None:
    """As a worker does: commit, then let it follow."""
    done = await cache.store.commit([StoredReading(reading) for reading in batch])
    writer.follow(CommittedBatch(batch, done.newest, done.duplicates))


def expected(batch: Sequence[Reading]) -> tuple[int, float, float]:
    values = [float(reading.value) for reading in batch]
    return len(values), min(values), max(values)


async def seen(cache: DeviceCache) -> tuple[int, float, float]:
    read = await cache.aggregate("north", "temp")
    assert read.source is Source.CACHE
    assert read.last is not None
    return read.last.count, read.last.min, read.last.max


async def test_alone_it_sets_what_it_counts_and_recounts_what_is_in_doubt(
    memcached: Server, open_cache: Make
) -> None:
    clock = ManualClock(T0 / S - 100)
    cache = await open_cache([memcached], clock=clock)
    writer = Aggregates(cache, Settings(), clock=clock)
    clock.advance(110)
    batch = readings(500, 5)
    await feed(writer, cache, batch)
    await writer.write_changes()
    assert await seen(cache) == expected(batch)
    read = await cache.aggregate("north", "temp")
    exact = sorted(float(reading.value) for reading in batch)[474]
    assert read.last is not None
    assert read.last.p95 == pytest.approx(exact, rel=0.01)
    assert read.last.exact

    await feed(writer, cache, batch[:50] + readings(20, 6, seed=2))  # the broker sent some again
    await writer.write_changes()
    read = await cache.aggregate("north", "temp")
    assert read.last is not None
    assert (read.last.count, read.last.exact) == (570, False)
    clock.advance(90)
    await writer.write_changes()
    read = await cache.aggregate("north", "temp")
    assert read.last is not None
    assert (read.last.count, read.last.exact) == (520, True)
    assert writer.recounted == 1


async def test_two_of_a_group_put_their_parts_together(memcached: Server, open_cache: Make) -> None:
    clock = ManualClock(T0 / S - 100)
    caches = [await open_cache([memcached], clock=clock) for _ in range(2)]
    writers = [Aggregates(cache, GROUP, instance=f"w{n}", clock=clock) for n, cache in enumerate(caches)]
    clock.advance(110)
    batch = readings(2_000, 5)
    for start in range(0, 2_000, 400):
        for n in range(2):
            await feed(writers[n], caches[n], batch[start + 200 * n : start + 200 * (n + 1)])
        await asyncio.gather(*(writer.write_changes() for writer in writers))
    assert await seen(caches[0]) == expected(batch)
    read = await caches[1].aggregate("north", "temp")
    assert read.last is not None
    assert read.last.exact
    assert read.last.p95 == pytest.approx(sorted(float(reading.value) for reading in batch)[1899], rel=0.01)

    # One is killed and comes back: what it counted in its former life stays counted, and is counted anew.
    writers[1] = Aggregates(caches[1], GROUP, instance="w1", clock=clock)
    more = readings(100, 15, seed=2)
    clock.advance(10)
    await feed(writers[1], caches[1], more)
    await writers[1].write_changes()
    assert await seen(caches[0]) == expected(batch + more)
    read = await caches[0].aggregate("north", "temp")
    assert read.last is not None
    assert not read.last.exact

    lost = readings(30, 16, seed=3)  # committed by one who died before he told
    await caches[0].store.commit([StoredReading(reading) for reading in lost])
    clock.advance(80)
    for writer in writers:
        await writer.write_changes()
    read = await caches[0].aggregate("north", "temp")
    assert read.last is not None
    assert (read.last.count, read.last.exact) == (2_130, True)


async def test_a_ingestwrites_its_part_while_a_reader_counts(
    memcached: Server, open_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(T0 / S - 100)
    reader, cache = [await open_cache([memcached], clock=clock) for _ in range(2)]
    writer = Aggregates(cache, GROUP, instance="a", clock=clock)
    clock.advance(110)
    window = reader.store.window
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any) -> Any:
        answer = await window(*arguments)
        has_read.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(reader.store, "window", held)
    await cache.store.commit([StoredReading(reading) for reading in readings(5, 4, seed=9)])
    reading = asyncio.create_task(reader.aggregate("north", "temp"))
    await has_read.wait()  # it has its lease
    await feed(writer, cache, readings(10, 5))
    await writer.write_changes()
    assert writer.written == 1
    go_on.set()
    answer = await reading
    assert answer.last is not None and answer.last.count == 5
    assert await seen(cache) == expected(readings(10, 5)), "the reader's count does not replace the worker's"


async def test_an_entry_that_was_lost_is_in_doubt_until_its_end(memcached: Server, open_cache: Make) -> None:
    clock = ManualClock(T0 / S - 100)
    cache = await open_cache([memcached], clock=clock)
    first, second = (Aggregates(cache, GROUP, instance=name, clock=clock) for name in ("a", "b"))
    clock.advance(110)
    await feed(first, cache, readings(10, 5, seed=1))
    await feed(second, cache, readings(10, 5, seed=2))
    for writer in (first, second):
        await writer.write_changes()
    await cache.cluster.delete_many(["agg:north:temp:1m"])
    await feed(first, cache, readings(10, 6, seed=3))
    await first.write_changes()
    read = await cache.aggregate("north", "temp")
    assert read.last is not None
    assert (read.last.count, read.last.exact) == (20, False)
    clock.advance(90)
    await first.write_changes()
    read = await cache.aggregate("north", "temp")
    assert read.last is not None
    assert (read.last.count, read.last.exact) == (30, True)


async def test_a_late_reading_removes_its_bucket_from_the_cache(memcached: Server, open_cache: Make) -> None:
    clock = ManualClock(T0 / S + 600)
    cache = await open_cache([memcached], clock=clock)
    writer = Aggregates(cache, Settings(), clock=clock)
    series = Series("d0", "temp")
    await cache.store.commit([StoredReading(reading) for reading in readings(1, 5)])
    assert len((await cache.bucket(series, T0)).readings) == 1
    await feed(writer, cache, readings(8, 20, seed=2))
    await writer.write_changes()
    clock.advance(1)
    read = await cache.bucket(series, T0)
    assert (read.source, len(read.readings)) == (Source.STORE, 3)


@pytest.mark.real("mosquitto")
async def test_real_workers_of_a_group_agree_on_all_that_was_published(
    mosquitto: Server, memcached: Server, *, settings_for: Make, worker: Make, link: Make
) -> None:
    both = [
        await worker(settings_for(mosquitto.port, [memcached], group="g"), instance=name)
        for name in ("a", "b")
    ]
    for ingest in both:
        ingest.aggregates.every_s = 0.1
    sender = await link(mosquitto.port, "sender")
    if time.time() % 60 > 50:  # not over the turn of a minute: all is to be in one window
        await asyncio.sleep(60 - time.time() % 60)
    now = time.time()
    body = [json.dumps({"value": n, "ts": now + n / 1e4, "seq": n, "boot": "b"}).encode() for n in range(300)]
    await asyncio.gather(
        *(sender.publish(f"iot/north/d{n % 9}/temp", payload) for n, payload in enumerate(body))
    )
    await until(lambda: sum(ingest.counters.stored for ingest in both) == 300)
    assert min(ingest.counters.stored for ingest in both) > 0

    await until(lambda: min(ingest.stats().aggregates_written for ingest in both) > 0)

    async def count() -> int:
        read = await both[0].cache.aggregate("north", "temp")
        return read.last.count if read.last is not None and read.source is Source.CACHE else 0

    async with asyncio.timeout(10):
        while await count() != 300:
            await asyncio.sleep(0.02)
    read = await both[1].cache.aggregate("north", "temp")
    assert (read.last.min, read.last.max) == (0.0, 299.0)
    assert read.last.p95 == pytest.approx(284, rel=0.01)
