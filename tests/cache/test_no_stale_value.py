"""Readers, writers and someone who deletes keys, all at once: nobody reads what was already overwritten."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.errors import StoreError
from iotcache.model import Series, Source, StoredReading
from iotcache.store.base import Committed
from tests.cache.conftest import Open, stored, talk
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")


async def committed(writer: DeviceCache, reading: StoredReading) -> Committed:
    """Commit as a worker does: where the other holds the file for long, it tries again."""
    while True:
        with contextlib.suppress(StoreError):
            return await writer.store.commit([reading])


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
    base_us = round(writers[0].clock.now() * 1e6)

    async def write(start: int) -> None:
        nonlocal written
        writer = writers[start]
        for n in range(1 + start, 150, workers):
            done = await committed(writer, stored(writer, n, ts_us=base_us + n))
            assert all(outcome.ok for outcome in await writer.write_through(done.newest))
            if done.newest:  # else the other committed a newer one before, and it is for them to write that
                written = max(written, n)
            await asyncio.sleep(rng.uniform(0, 0.006))

    async def read(cache: Any) -> None:
        while not done:
            at_least = written
            answer = await cache.read(*DEV)
            assert (answer.value or 0) >= at_least, (answer, at_least)
            sources.add(answer.source)
            await asyncio.sleep(rng.uniform(0, 0.002))

    async def delete() -> None:
        while not done:
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
