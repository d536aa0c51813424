"""What happened to an entry × who misses it, on real memcached: the reason is right or unknown, never wrong.

Readers: the client that has written the entry (``same``); another one that has read it (``other``); one with
another key prefix (``prefix``); one that is opened after it happened (``later``). Caches share nothing but
the nodes and the store, so in one process they are as far apart as in two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.keys import Keys
from iotcache.model import Document, DocumentKind, MissReason, NodeState, Read, Series, StoredReading
from tests.cache.conftest import Open, ingest, stored, talk
from tests.cluster.tools import pause, resume, until
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")
KEY = b"dev-1:temperature:latest"
UNKNOWN = MissReason.UNKNOWN
READERS = ("same", "other", "prefix", "later")
Act = Callable[[Server, DeviceCache], Awaitable[None]]


class Case:
    """One thing that happens, and the reasons that are right for each reader besides `unknown`."""

    def __init__(self, act: Act, right: str, *, prefix: str = "never_set", must: tuple[str, ...] = READERS):
        self.act = act
        self.right = {"same": right, "other": right, "prefix": prefix, "later": right}
        self.must = must
        """The readers that can know it, and so must not answer `unknown`."""


async def never_set(node: Server, writer: DeviceCache) -> None:
    """The store has a reading that nobody has put into the cache."""
    await writer.store.commit([StoredReading(stored(writer).reading)])


async def expired(node: Server, writer: DeviceCache) -> None:
    await gone(writer)


async def deleted(node: Server, writer: DeviceCache) -> None:
    talk(node, b"delete " + KEY)


async def flushed(node: Server, writer: DeviceCache) -> None:
    talk(node, b"flush_all")


async def restarted(node: Server, writer: DeviceCache) -> None:
    node.kill()
    node.start()


async def evicted(node: Server, writer: DeviceCache) -> None:
    while (await writer.ttl_many([DEV]))[0].present:
        await ingest(writer, *(stored(writer, "y" * 4_000, device=f"filler-{n}") for n in range(500)))


async def corrupt(node: Server, writer: DeviceCache) -> None:
    talk(node, b"set " + KEY + b" 16 0 4\r\n{{{{")


async def node_out(node: Server, writer: DeviceCache) -> None:
    node.kill()


async def hanging(node: Server, writer: DeviceCache) -> None:
    await pause(node)


CASES = {
    "never set": Case(never_set, "never_set", must=()),
    "expired": Case(expired, "expired", must=("same", "other", "later")),
    "evicted": Case(evicted, "evicted", must=("same", "other", "later")),
    "flushed": Case(flushed, "invalidated", must=("same", "other", "later")),
    "deleted": Case(deleted, "invalidated", must=("same", "other", "later")),
    "restarted": Case(restarted, "restarted", must=("same", "other", "later")),
    "corrupt": Case(corrupt, "corrupt", must=("same", "other", "later")),
    "node out": Case(node_out, "node_down", prefix="node_down"),
    "hanging": Case(hanging, "timeout", prefix="timeout"),
}


async def gone(cache: DeviceCache) -> None:
    """Return once the entry is not there any more."""
    async with asyncio.timeout(10):
        while (await cache.ttl_many([DEV]))[0].present:
            await asyncio.sleep(0.05)


async def up(cache: DeviceCache) -> None:
    await until(lambda: all(node.state is NodeState.UP for node in cache.cluster.health()))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", CASES)
async def test_the_reason_is_right_or_unknown(
    memcached_factory: Any, open_cache: Open, name: str, reader: str
) -> None:
    case = CASES[name]
    node = memcached_factory("-m", "2") if name == "evicted" else memcached_factory()
    # Where nothing hangs, answers may take their time: without statistics every reason is unknown.
    timeout_s = 0.25 if name == "hanging" else 5.0
    writer = await open_cache([node], timeout_s=timeout_s, compress_min_bytes=0)
    if name != "never set":
        value = "x" * 4_000 if name == "evicted" else 21.5  # of the size of what is to drive it out
        await ingest(writer, stored(writer, value, interval_s=0.1 if name == "expired" else 20.0))
    caches = {"same": writer, "other": await open_cache([node], timeout_s=timeout_s)}
    caches["prefix"] = await open_cache([node], timeout_s=timeout_s, keys=Keys("elsewhere:"))
    if name != "never set":
        assert (await caches["other"].read(*DEV)).miss_reason is None
    await case.act(node, writer)
    if reader == "later" and name != "hanging":
        caches["later"] = await open_cache([node], timeout_s=timeout_s)
    if name == "restarted":
        await up(caches[reader])
    try:
        read: Read = await caches.get(reader, caches["other"]).read(*DEV)
    finally:
        if name == "hanging":
            resume(node)
    assert read.value is not None
    assert read.miss_reason in {case.right[reader], UNKNOWN}
    if reader in case.must:
        assert read.miss_reason == case.right[reader]


@pytest.mark.parametrize("again", [False, True], ids=["first read", "its own entry expired"])
async def test_a_key_moved_to_another_node(memcached_factory: Any, open_cache: Open, again: bool) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    writer = await open_cache(nodes[:1])
    devices = [f"d{n}" for n in range(20)]
    await ingest(writer, *(stored(writer, device=device) for device in devices))
    reader = await open_cache(nodes)
    new = [
        Series(device, "temperature")
        for device in devices
        if reader.cluster.node_of(f"{device}:temperature:latest") == nodes[1].address
    ]
    assert new
    reads = await reader.read_many([Series(device, "temperature") for device in devices])
    assert {read.miss_reason for read in reads if read.device in {name.device for name in new}} == {
        MissReason.MOVED
    }
    assert {read.miss_reason for read in reads if read.device not in {name.device for name in new}} == {None}
    if again:  # what the reader has put there itself was not moved
        talk(nodes[1], b"flush_all")
        assert {read.miss_reason for read in await reader.read_many(new)} == {MissReason.INVALIDATED}


async def test_while_a_cache_is_filled_for_the_first_time_nothing_is_called_invalidated(
    memcached: Server, open_cache: Open
) -> None:
    """The worker's promises are for its own prefix; deletions of its entries say nothing of the reader's."""
    writer = await open_cache([memcached])
    devices = [f"d{n}" for n in range(50)]
    await ingest(writer, *(stored(writer, device=device) for device in devices))
    readers = [await open_cache([memcached], keys=Keys("r:")) for _ in range(3)]
    talk(memcached, b"delete d0:temperature:latest")
    reasons = set()
    for number, device in enumerate(devices):
        read = await readers[number % 3].read(device, "temperature")
        reasons.add(read.miss_reason)
    assert reasons <= {UNKNOWN, MissReason.NEVER_SET}


async def test_a_node_that_restarts_while_its_failover_node_is_written(
    memcached_factory: Any, open_cache: Open
) -> None:
    nodes = {node.address: node for node in (memcached_factory(), memcached_factory())}
    cache = await open_cache(list(nodes.values()))
    await ingest(cache, stored(cache))
    assert (await cache.read(*DEV)).miss_reason is None
    owner = nodes[cache.cluster.node_of(KEY.decode())]
    owner.kill()
    assert (await cache.read(*DEV)).miss_reason is MissReason.NODE_DOWN
    await ingest(cache, stored(cache, 22.0))
    assert (await cache.read(*DEV)).node != owner.address
    owner.start()
    await up(cache)
    read = await cache.read(*DEV)
    assert (read.value, read.miss_reason) == (22.0, MissReason.RESTARTED)


async def test_an_entry_deleted_while_others_are_evicted_is_unknown(
    memcached_factory: Any, open_cache: Open
) -> None:
    node = memcached_factory("-m", "2")
    cache = await open_cache([node], timeout_s=5.0, compress_min_bytes=0)
    fillers = [f"filler-{n}" for n in range(2_000)]
    await ingest(cache, stored(cache))
    await ingest(cache, *(stored(cache, "y" * 4_000, device=device) for device in fillers))
    await ingest(cache, stored(cache))
    await cache.cluster.stats()
    talk(node, b"delete " + KEY)
    await ingest(cache, *(stored(cache, "y" * 4_000, device=device) for device in fillers[:50]))
    assert (await cache.read(*DEV)).miss_reason is UNKNOWN


async def test_documents_and_aggregates_that_nobody_has_cached_are_not_called_invalidated(
    memcached: Server, open_cache: Open
) -> None:
    writer, reader = await open_cache([memcached]), await open_cache([memcached])
    await ingest(writer, stored(writer, site="north"))
    await writer.store.documents.upsert(
        [Document("dev-1", DocumentKind.CONFIG, 1, "{}", "north", round(writer.clock.now() * 1e6))]
    )
    talk(memcached, b"delete " + KEY)
    assert (await reader.config("dev-1")).miss_reason is UNKNOWN
    assert (await reader.aggregate("north", "temperature")).miss_reason is UNKNOWN
    assert (await reader.bucket(DEV, round(reader.clock.now() * 1e6))).miss_reason is UNKNOWN
