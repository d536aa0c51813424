"""Readers, a writer and someone who deletes keys, all at once: nobody reads what was already overwritten."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from iotcache.model import Series, Source
from tests.cache.conftest import Open, ingest, stored, talk
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_read_never_returns_less_than_what_was_written_before_it_began(
    memcached: Server, open_cache: Open, workers: int
) -> None:
    writers = [await open_cache([memcached], shared_writers=workers > 1) for _ in range(workers)]
    readers = [await open_cache([memcached]) for _ in range(3)]
    written = 0
    done = False
    sources: set[Source] = set()
    rng = Random(7)
    reading = 0
    nobody_reads = asyncio.Condition()
    base_us = round(writers[0]._clock.now() * 1e6)

    async def write(start: int) -> None:
        nonlocal written
        writer = writers[start]
        for n in range(1 + start, 150, workers):
            await ingest(writer, stored(writer, n, ts_us=base_us + n))
            written = max(written, n)
            await asyncio.sleep(rng.uniform(0, 0.006))

    async def read(cache: Any) -> None:
        nonlocal reading
        while not done:
            async with nobody_reads:
                reading += 1
            at_least = written
            answer = await cache.read(*DEV)
            assert (answer.value or 0) >= at_least, (answer, at_least)
            sources.add(answer.source)
            async with nobody_reads:
                reading -= 1
                nobody_reads.notify_all()
            await asyncio.sleep(rng.uniform(0, 0.002))

    async def delete() -> None:
        # Not while a reader carries a value from the store: that gap is known, see device_cache.py.
        while not done:
            async with nobody_reads:
                await nobody_reads.wait_for(lambda: reading == 0)
                await asyncio.to_thread(talk, memcached, b"delete dev-1:temperature:latest")
            await asyncio.sleep(rng.uniform(0, 0.004))

    async with asyncio.TaskGroup() as tasks:
        for cache in readers:
            tasks.create_task(read(cache))
            tasks.create_task(read(cache))
        tasks.create_task(delete())
        await asyncio.gather(*(write(start) for start in range(workers)))
        done = True
    assert written == 149
    assert {Source.CACHE, Source.STORE} <= sources
    assert (await readers[0].read(*DEV)).value == 149
