"""Every reason for a miss, produced for real, told by a process that saw it all and by one just started."""

from __future__ import annotations

import asyncio
import signal
import zlib
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.model import MissReason, NodeState, Read, Series, Source, StoredReading
from tests.cache.conftest import Open, ingest, stored, talk
from tests.cluster.tools import pause
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")
KEY = b"dev-1:temperature:latest"


async def test_never_set(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    read = await cache.read("no", "such")
    assert (read.source, read.miss_reason, read.value, read.error) == (
        Source.NONE,
        MissReason.NEVER_SET,
        None,
        "",
    )
    # Known to the store, but without a promise: others may have put it into the cache.
    await cache.store.commit([StoredReading(stored(cache).reading)])
    read = await cache.read(*DEV)
    assert read.source is Source.STORE
    assert read.miss_reason in {MissReason.NEVER_SET, MissReason.UNKNOWN}
    assert (await cache.read(*DEV)).source is Source.CACHE


@pytest.mark.parametrize("fresh", [False, True], ids=["saw it", "just started"])
@pytest.mark.parametrize("command", [b"delete " + KEY, b"flush_all"])
async def test_invalidated_by_hand(memcached: Server, open_cache: Open, command: bytes, fresh: bool) -> None:
    writer = await open_cache([memcached])
    await ingest(writer, stored(writer))
    reader = await open_cache([memcached]) if fresh else writer
    assert (await reader.read(*DEV)).source is Source.CACHE
    reader = await open_cache([memcached]) if fresh else writer
    talk(memcached, command)
    reads = [await reader.read(*DEV) for _ in range(2)]
    assert [(read.source, read.miss_reason) for read in reads] == [
        (Source.STORE, MissReason.INVALIDATED),
        (Source.CACHE, None),
    ]


async def test_invalidated_by_ourselves(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    (outcome,) = await cache.invalidate([DEV])
    assert outcome.ok
    assert (await cache.read(*DEV)).miss_reason is MissReason.INVALIDATED


@pytest.mark.parametrize("fresh", [False, True], ids=["saw it", "just started"])
async def test_expired(memcached: Server, open_cache: Open, fresh: bool) -> None:
    writer = await open_cache([memcached])
    short = stored(writer, interval_s=0.1)  # lives the shortest life, 2 s
    await ingest(writer, short)
    reader = await open_cache([memcached]) if fresh else writer
    deadline = asyncio.get_running_loop().time() + 5
    while (probe := (await reader.ttl_many([DEV]))[0]).present:
        assert asyncio.get_running_loop().time() < deadline, probe
        await asyncio.sleep(0.05)
    read = await reader.read(*DEV)
    assert (read.source, read.miss_reason) == (Source.STORE, MissReason.EXPIRED)


@pytest.mark.parametrize("fresh", [False, True], ids=["saw it", "just started"])
async def test_restarted(memcached: Server, open_cache: Open, fresh: bool) -> None:
    writer = await open_cache([memcached])
    await ingest(writer, stored(writer))
    assert (await writer.read(*DEV)).source is Source.CACHE
    memcached.kill()
    memcached.start()
    reader = await open_cache([memcached]) if fresh else writer
    read = await _when_up(reader)
    assert (read.source, read.miss_reason) == (Source.STORE, MissReason.RESTARTED)
    assert (await reader.read(*DEV)).source is Source.CACHE


@pytest.mark.parametrize("fresh", [False, True], ids=["saw it", "just started"])
async def test_evicted(memcached_factory: Any, open_cache: Open, fresh: bool) -> None:
    node = memcached_factory("-m", "2")
    # A time-out long enough for statistics to come in time on a busy machine: without them it is unknown.
    writer = await open_cache([node], timeout_s=5.0, compress_min_bytes=0)
    await ingest(writer, stored(writer, "x" * 100))
    assert (await writer.read("no", "such")).source is Source.NONE  # its lease is given back, not deleted
    await ingest(writer, *(stored(writer, "y" * 4_000, device=f"filler-{n}") for n in range(2_000)))
    names = [Series(f"filler-{n}", "temperature") for n in range(2_000)]
    reader = await open_cache([node], timeout_s=5.0) if fresh else writer
    reads = await reader.read_many(names)
    reasons = {read.miss_reason for read in reads}
    assert MissReason.EVICTED in reasons
    assert reasons <= {MissReason.EVICTED, None}


async def test_node_down(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    memcached.kill()
    read = await cache.read(*DEV)
    assert (read.source, read.value, read.miss_reason) == (Source.STORE, 21.5, MissReason.NODE_DOWN)
    assert read.ttl_s is None
    assert (await cache.read("no", "such")).miss_reason is MissReason.NEVER_SET


async def test_timeout(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    await pause(memcached)
    try:
        read = await cache.read(*DEV)
        assert (read.source, read.value, read.miss_reason) == (Source.STORE, 21.5, MissReason.TIMEOUT)
        assert cache.cluster.telemetry()[memcached.address].errors == {"AnswerTimeout": 1}, "asked once"
    finally:
        memcached.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("flags", "garbage"),
    [(16, b"\xff\x00garbage"), (16, b""), (16, b"{}"), (16, b"[1, 2]"), (24, b"not zlib"),
     (1, b"cposix\nsystem\n"), (16, b'{"value": null, "ts": 1}'),
     pytest.param(24, zlib.compress(b'{"value":1,"ts":1,"unit":"%b"}' % (b"a" * 20_000_000)), id="bomb"),
     pytest.param(24, zlib.compress(b'{"value":1,"ts":1}' * 50)[:-9], id="cut short"),
     pytest.param(16, b'{"value":1,"ts":1,"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", id="nested deep")],
)  # fmt: skip
async def test_corrupt(memcached: Server, open_cache: Open, flags: int, garbage: bytes) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, stored(cache))
    talk(memcached, b"set %b %d 0 %d\r\n%b" % (KEY, flags, len(garbage), garbage))
    reads = [await cache.read(*DEV) for _ in range(2)]
    assert [(read.source, read.value, read.miss_reason) for read in reads] == [
        (Source.STORE, 21.5, MissReason.CORRUPT),
        (Source.CACHE, 21.5, None),
    ]


async def test_a_key_of_a_node_that_is_out_lives_on_its_failover_node(
    memcached_factory: Any, open_cache: Open
) -> None:
    nodes = [memcached_factory(), memcached_factory()]
    cache = await open_cache(nodes)
    names = [Series(f"d{n}", "temperature") for n in range(40)]
    await ingest(cache, *(stored(cache, n, device=f"d{n}") for n in range(40)))
    dead = nodes[0]
    moved = [name for name in names if cache.cluster.node_of(cache.keys.latest(*name)) == dead.address]
    assert 0 < len(moved) < 40
    dead.kill()
    await _until(cache, dead, NodeState.DOWN)
    first = second = await cache.read_many(moved)
    assert {(read.source, read.miss_reason) for read in first} == {(Source.STORE, MissReason.NODE_DOWN)}
    async with asyncio.timeout(5):  # a failover node takes entries once all clients know that the node is out
        while {read.source for read in second} != {Source.CACHE}:
            first, second = second, await cache.read_many(moved)
    assert {(read.source, read.node) for read in second} == {(Source.CACHE, nodes[1].address)}
    assert max(read.ttl_s for read in first if read.ttl_s is not None) <= 10  # a short TTL


async def test_store_reads_for_a_node_that_is_out_are_limited(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached], store_reads_per_s=10)
    await ingest(cache, *(stored(cache, n, device=f"d{n}") for n in range(30)))
    memcached.kill()
    await _until(cache, memcached, NodeState.DOWN)
    reads = await cache.read_many([Series(f"d{n}", "temperature") for n in range(30)])
    answered = [read for read in reads if read.source is Source.STORE]
    refused = [read for read in reads if read.source is Source.NONE]
    assert (len(answered), len(refused)) == (10, 20)
    assert {read.miss_reason for read in refused} == {MissReason.NODE_DOWN}
    assert "limited to 10 a second" in refused[0].error
    counters = cache.counters()
    assert (counters.refused, counters.store_series) == (20, 10)


async def _until(cache: DeviceCache, node: Server, state: NodeState) -> None:
    deadline = asyncio.get_running_loop().time() + 8
    while next(health.state for health in cache.cluster.health() if health.name == node.address) is not state:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
        await cache.cluster.get_many(["probe"])


async def _when_up(cache: DeviceCache) -> Read:
    """The first read that a node answered."""
    deadline = asyncio.get_running_loop().time() + 8
    while cache.cluster.health()[0].state is not NodeState.UP:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    return await cache.read(*DEV)
