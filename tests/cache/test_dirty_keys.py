"""A write or delete that did not reach its node is made good: the old entry does not outlive the outage."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from iotcache.cache import write_through
from iotcache.cache.dirty import DirtyKeys
from iotcache.cluster import WriteResult
from iotcache.model import NodeState, Series, Source
from tests.cache.conftest import Open, ingest, stored
from tests.conftest import Server

DEV = Series("dev-1", "temperature")


@pytest.mark.real("memcached")
async def test_a_set_that_timed_out_is_invalidated_once_the_node_answers(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache, 1.0))
    memcached.signal(signal.SIGSTOP)
    try:
        done = await cache.store.commit([stored(cache, 2.0)])
        (outcome,) = await cache.write_through(done.newest)
        assert not outcome.ok
        assert outcome.reason
        assert (cache.counters().dirty, cache.counters().write_failures) == (1, 1)
    finally:
        memcached.signal(signal.SIGCONT)
    deadline = asyncio.get_running_loop().time() + 8
    while cache.counters().dirty:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    assert (await cache.read(*DEV)).value == 2.0


@pytest.mark.real("memcached")
async def test_a_later_write_that_succeeds_cleans_its_key(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A repair under way in the same moment may delete what was written: a miss more, and no harm.
    monkeypatch.setattr(write_through, "REPAIR_EVERY_S", 60.0)
    cache = await open_cache([memcached])
    memcached.kill()
    done = await cache.store.commit([stored(cache, 1.0)])
    assert not (await cache.write_through(done.newest))[0].ok
    assert cache.counters().dirty == 1
    memcached.start()
    deadline = asyncio.get_running_loop().time() + 8
    while cache.cluster.health()[0].state is not NodeState.UP:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    await ingest(cache, stored(cache, 2.0))
    assert cache.counters().dirty == 0
    read = await cache.read(*DEV)
    assert (read.source, read.value) == (Source.CACHE, 2.0)


class _Nodes:
    """A cluster of which some keys cannot be deleted."""

    def __init__(self) -> None:
        self.stuck: set[str] = set()
        self.asked: list[str] = []

    async def delete_many(self, keys: list[str]) -> list[WriteResult]:
        self.asked += keys
        return [WriteResult(key not in self.stuck, "n") for key in keys]


async def test_dirty_keys_are_bounded_and_the_dropped_are_counted() -> None:
    nodes: Any = _Nodes()
    dirty = DirtyKeys(nodes, bound=3)
    for key in "abcdbd":
        dirty.add(key)
    assert (len(dirty), dirty.dropped) == (3, 1)
    assert sorted(await dirty.repair()) == ["b", "c", "d"]
    assert len(dirty) == 0


async def test_a_node_that_stays_out_does_not_hold_up_the_others() -> None:
    nodes: Any = _Nodes()
    nodes.stuck = {"a", "b"}
    dirty = DirtyKeys(nodes)
    for key in "abcd":
        dirty.add(key)
    assert await dirty.repair(limit=2) == []
    assert await dirty.repair(limit=2) == ["c", "d"]
    nodes.stuck = set()
    assert await dirty.repair(limit=2) == ["a", "b"]
