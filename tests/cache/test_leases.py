"""One reader among all processes loads what is missing; nobody waits long for one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.cache.entry_kind import EntryKind
from iotcache.model import Document, DocumentKind, MissReason, Series, Source
from tests.cache.conftest import Open, ingest, stored, talk
from tests.cluster.test_bundled import Bundled
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")
KEY = "dev-1:temperature:latest"
Reader = Callable[..., Any]


@pytest.fixture
async def reader(tmp_path: Path, memcached: Server) -> AsyncIterator[Reader]:
    """``await reader(readers, delay_s, kind)``: a process that is ready to read."""
    async with contextlib.AsyncExitStack() as exits:

        async def start(readers: int, delay_s: float, kind: str = "latest") -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.cache.lease_reader", str(tmp_path / "readings.db"),
                memcached.address, str(readers), str(delay_s), kind,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip

            async def stop() -> None:
                if process.returncode is None:
                    process.kill()
                await process.communicate()

            exits.push_async_callback(stop)
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            return process

        yield start


@pytest.mark.parametrize(
    "kind", ["cfg", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("latest", "aggregate"))]
)
async def test_two_hundred_readers_in_four_processes_cause_one_store_read(
    memcached: Server, open_cache: Open, reader: Reader, kind: str
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache, site="north"))
    await cache.store.documents.upsert([Document("dev-1", DocumentKind.CONFIG, 3, "{}", "north", 1)])
    processes = await asyncio.gather(*(reader(50, 0.3, kind) for _ in range(4)))
    talk(memcached, b"delete " + KEY.encode())
    outputs = [out for out, _ in await asyncio.gather(*(each.communicate(b"go\n") for each in processes))]
    assert b"".join(outputs).count(b"asked") == 1
    reports = [json.loads(out.splitlines()[-1]) for out in outputs]
    assert [report["values"] for report in reports] == [
        [{"latest": "21.5", "cfg": "3", "aggregate": "1"}[kind]]
    ] * 4
    # Readers who waited have a hit; the one process that loaded the entry says why it was missing.
    assert sum(report["reasons"] != ["None"] for report in reports) == 1
    if kind == "latest":
        assert sum(report["wins"] for report in reports) == 1
        assert sum(report["waits"] for report in reports) >= 1
        assert all(report["balanced"] for report in reports)
        assert {str(MissReason.INVALIDATED), "None"} == {
            reason for report in reports for reason in report["reasons"]
        }


async def test_a_winner_that_is_killed_delays_the_others_until_its_lease_expires(
    memcached: Server, open_cache: Open, reader: Reader
) -> None:
    caches = [await open_cache([memcached]) for _ in range(2)]
    await ingest(caches[0], stored(caches[0]))
    winner = await reader(1, 60)
    talk(memcached, b"delete " + KEY.encode())
    winner.stdin.write(b"go\n")
    assert await winner.stdout.readline() == b"asked\n"
    winner.kill()
    reads = await asyncio.gather(*(cache.read(*DEV) for cache in caches for _ in range(50)))
    assert {read.value for read in reads} == {21.5}
    # Those who lose patience before the lease has expired would read the store in both processes.
    assert sum(cache.store.asked for cache in caches) == 1
    assert sum(cache.counters().lease_waits for cache in caches) == 2
    assert (await caches[0].read(*DEV)).source is Source.CACHE


@pytest.mark.parametrize("leases", [True, False])
async def test_only_without_leases_each_process_asks_the_store(
    memcached: Server, open_cache: Open, leases: bool
) -> None:
    caches = [await open_cache([memcached], stampede_lease=leases) for _ in range(2)]
    await ingest(caches[0], stored(caches[0]))
    await caches[0].invalidate([DEV])
    stores = [cache.store for cache in caches]
    for store in stores:
        store.hold()
    reading = [asyncio.create_task(cache.read(*DEV)) for cache in caches for _ in range(100)]
    await asyncio.wait(
        [asyncio.create_task(store.has_read.wait()) for store in stores],
        return_when=asyncio.FIRST_COMPLETED if leases else asyncio.ALL_COMPLETED,
    )
    client = Client(("127.0.0.1", memcached.port))
    assert client.get(KEY) == (b"" if leases else None)
    client.close()
    assert not (await caches[0].ttl_many([DEV]))[0].present
    for store in stores:
        store.go_on.set()
        store.has_read.set()
    assert {read.value for read in await asyncio.gather(*reading)} == {21.5}
    assert sum(store.asked for store in stores) == (1 if leases else 2)
    assert (await caches[1].ttl_many([DEV]))[0].present


async def test_an_old_value_is_not_put_back_where_a_newer_one_was_removed(
    memcached: Server, open_cache: Open
) -> None:
    cache, writer = await open_cache([memcached]), await open_cache([memcached])
    await ingest(writer, stored(writer, 1.0))
    await writer.invalidate([DEV])
    slow = cache.store
    slow.hold()
    reading = asyncio.create_task(cache.read(*DEV))
    await slow.has_read.wait()  # the reader has the old value in hand
    await ingest(writer, stored(writer, 2.0))
    await writer.invalidate([DEV])
    late = asyncio.create_task(cache.read(*DEV))  # began after the commit, so it must not share that answer
    slow.go_on.set()
    assert (await reading).value == 1.0
    assert (await late).value == 2.0
    assert (await writer.read(*DEV)).value == 2.0


async def test_a_node_that_dies_while_readers_wait_sends_them_to_the_store(
    memcached: Server, open_cache: Open
) -> None:
    loading, waiting = await open_cache([memcached]), await open_cache([memcached])
    await ingest(loading, stored(loading))
    await loading.invalidate([DEV])
    slow = loading.store
    slow.hold()
    first = asyncio.create_task(loading.read(*DEV))
    await slow.has_read.wait()
    waiters = [asyncio.create_task(waiting.read(*DEV)) for _ in range(20)]
    while not waiting.counters().lease_waits:
        await asyncio.sleep(0.005)
    memcached.kill()
    reads = await asyncio.gather(*waiters)
    assert {(read.source, read.value) for read in reads} == {(Source.STORE, 21.5)}
    assert waiting.counters().store_reads == 1
    slow.go_on.set()
    assert (await first).value == 21.5


async def test_what_cannot_be_loaded_is_given_back(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryKind, "lease_s", 600)
    cache = await open_cache([memcached], max_value_bytes=100, compress_min_bytes=0)
    await cache.store.commit([stored(cache, "x" * 200, device="large")])

    assert (await cache.read("no", "such")).miss_reason is MissReason.NEVER_SET
    assert (await cache.read("large", "temperature")).source is Source.STORE
    cache.store.away = True
    assert (await cache.read("lost", "such")).error == "the store is away"
    client = Client(("127.0.0.1", memcached.port))
    # The leases outlive the test, so they are gone because they were given back.
    while client.get_many(["no:such:latest", "large:temperature:latest", "lost:such:latest"]):
        await asyncio.sleep(0.005)
    assert client.stats()[b"delete_hits"] == 0  # of deletions it is asked why an entry is gone
    client.close()
    assert cache.counters().lease_wins == 3


async def test_readers_of_a_node_that_is_out_share_a_lease_on_its_failover_node(
    memcached_factory: Any, open_cache: Open
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    caches = [await open_cache(nodes) for _ in range(2)]
    names = [Series(f"dev-{number}", "temperature") for number in range(20)]
    await ingest(caches[0], *(stored(caches[0], device=name.device) for name in names))
    first, second, *_ = [
        name for name in names if caches[0].cluster.node_of(caches[0].keys.latest(*name)) == nodes[0].address
    ]
    nodes[0].kill()
    async with asyncio.timeout(8):
        for cache in caches:
            while (await cache.read(*first)).source is not Source.CACHE:
                await asyncio.sleep(0.01)
        for cache in caches:
            cache.store.hold()
        asked = sum(cache.store.asked for cache in caches)
        reading = [asyncio.create_task(cache.read(*second)) for cache in caches for _ in range(20)]
        while not any(cache.counters().lease_waits for cache in caches):
            await asyncio.sleep(0.005)
        for cache in caches:
            cache.store.go_on.set()
        assert {read.value for read in await asyncio.gather(*reading)} == {21.5}
    assert sum(cache.store.asked for cache in caches) == asked + 1


async def test_a_corrupt_entry_is_replaced_and_its_reason_says_so(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    talk(memcached, b"set " + KEY.encode() + b" 16 0 4\r\n{{{{")
    first, second = await cache.read(*DEV), await cache.read(*DEV)
    assert (first.source, first.miss_reason) == (Source.STORE, MissReason.CORRUPT)
    assert second.source is Source.CACHE


async def test_the_bundled_node_leases_as_memcached_does(open_cache: Open) -> None:
    node = Bundled()
    try:
        caches = [await open_cache([node]) for _ in range(2)]
        await ingest(caches[0], stored(caches[0]))
        await caches[0].invalidate([DEV])
        reads = await asyncio.gather(*(cache.read(*DEV) for cache in caches for _ in range(100)))
        assert {read.value for read in reads} == {21.5}
        assert sum(cache.counters().store_reads for cache in caches) == 1
        assert (await caches[0].ttl_many([DEV]))[0].present
        await caches[0].cluster.lease_many(["dev-2:temperature:latest"])
        assert not (await caches[0].ttl_many([Series("dev-2", "temperature")]))[0].present
    finally:
        node.process.kill()
        node.process.wait()
        assert node.process.stdout is not None
        node.process.stdout.close()
