"""The blocking cache: threads, forks, errors and endings, over a real memcached and a SQLite file."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iotcache.config import load
from iotcache.errors import ClusterClosed, StoreError
from iotcache.model import Reading, Series, Source
from iotcache.sync import DeviceCache
from tests.conftest import Server

NOW_US = round(time.time() * 1e6)


def reading(device: str, value: float) -> Reading:
    return Reading(device, "temp", value, NOW_US + round(value * 1e6))


@pytest.fixture
def cache(memcached: Server, tmp_path: Path) -> Iterator[DeviceCache]:
    settings = load(
        {"cache.nodes": memcached.address, "store.url": f"sqlite:///{tmp_path}/r.db"}, environ={}
    ).settings
    with DeviceCache.from_settings(settings) as opened:
        yield opened


def test_written_and_read(cache: DeviceCache) -> None:
    assert cache.write([reading("dev", 1.0)]).cached == 1
    assert cache.read("dev", "temp").source is Source.CACHE
    assert [one.value for one in cache.read_many([Series("dev", "temp"), Series("no", "x")])] == [1.0, None]
    assert cache.invalidate([Series("dev", "temp")])[0].ok
    assert cache.read("dev", "temp").source is Source.STORE
    assert cache.counters().reads == 4


def test_many_threads_at_once(cache: DeviceCache) -> None:
    def work(number: int) -> list[float]:
        device = f"dev-{number}"
        seen = []
        for step in range(20):
            cache.write([reading(device, float(step))])
            value = cache.read(device, "temp").value
            assert isinstance(value, float)
            seen.append(value)
        return seen

    with ThreadPoolExecutor(16) as pool:
        for seen in pool.map(work, range(16)):
            assert seen == [float(step) for step in range(20)]


def _in_child(work: object) -> int:
    """The exit status of a forked child that runs ``work()``: 0 when it returned true."""
    assert callable(work)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_parent_and_forked_children_each_read_their_own(cache: DeviceCache) -> None:
    """Also while a thread of the parent is in the middle of a call, and holds what it may hold."""
    names = [f"dev-{number}" for number in range(50)]
    cache.write([reading(name, float(number)) for number, name in enumerate(names)])
    wanted = [float(number) for number in range(50)]
    stop = threading.Event()
    wrong: list[object] = []

    def values() -> list[object]:
        return [one.value for one in cache.read_many([Series(name, "temp") for name in names])]

    def reader() -> None:
        while not stop.is_set():
            if values() != wanted:
                wrong.append(values())

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert _in_child(lambda: all(values() == wanted for _ in range(5))) == 0
            assert _in_child(lambda: cache.write([reading("dev-0", 0.0)]).duplicates == 1) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert values() == wanted


def test_a_child_that_never_calls_ends_well_and_leaves_the_parent_alone(cache: DeviceCache) -> None:
    cache.write([reading("dev", 1.0)])

    def close() -> bool:
        cache.close()
        return True

    assert _in_child(close) == 0
    assert cache.read("dev", "temp").source is Source.CACHE


def test_before_opening_and_after_closing_a_call_is_refused(memcached: Server, tmp_path: Path) -> None:
    settings = load(
        {"cache.nodes": memcached.address, "store.url": f"sqlite:///{tmp_path}/r.db"}, environ={}
    ).settings
    cache = DeviceCache.from_settings(settings)
    with pytest.raises(ClusterClosed, match="with block"):
        cache.read("dev", "temp")
    before = set(threading.enumerate())  # others may come and go, ours may not stay
    with cache:
        cache.write([reading("dev", 1.0)])
    with pytest.raises(ClusterClosed, match="with block"):
        cache.read("dev", "temp")
    assert "iotcache" not in {thread.name for thread in set(threading.enumerate()) - before}
    with cache:
        assert cache.read("dev", "temp").value == 1.0


def test_a_store_that_cannot_be_opened_is_an_error_and_leaves_no_thread(
    memcached: Server, tmp_path: Path
) -> None:
    settings = load(
        {"cache.nodes": memcached.address, "store.url": f"sqlite:///{tmp_path}/no/such/r.db"}, environ={}
    ).settings
    threads = threading.active_count()
    with pytest.raises(StoreError), DeviceCache.from_settings(settings):
        pass
    assert threading.active_count() == threads


async def test_within_a_running_loop_it_refuses(memcached: Server, tmp_path: Path) -> None:
    settings = load(
        {"cache.nodes": memcached.address, "store.url": f"sqlite:///{tmp_path}/r.db"}, environ={}
    ).settings
    cache = DeviceCache.from_settings(settings)
    await asyncio.to_thread(cache.open)
    try:
        with pytest.raises(ClusterClosed, match=r"iotcache\.DeviceCache"):
            cache.read("dev", "temp")
        assert (await asyncio.to_thread(cache.read, "dev", "temp")).source is Source.NONE
    finally:
        await asyncio.to_thread(cache.close)
