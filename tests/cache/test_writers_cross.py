"""Two writers of one series whose sets cross: nobody reads the older one once the newer is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.model import NodeState, Series, Source
from tests.cache.conftest import Open, ingest, stored, talk
from tests.cluster.tools import until
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")
KEY = b"dev-1:temperature:latest"


@pytest.fixture(params=[True, False], ids=["leases", "no leases"])
async def pair(
    memcached: Server, open_cache: Open, request: pytest.FixtureRequest
) -> tuple[DeviceCache, DeviceCache]:
    a, b = [
        await open_cache([memcached], shared_writers=True, stampede_lease=request.param) for _ in range(2)
    ]
    return a, b


async def test_the_older_set_does_not_take_the_newer_ones_place_for_a_moment(
    pair: tuple[DeviceCache, DeviceCache],
) -> None:
    slow, fast = pair
    first = await slow.store.commit([stored(slow, 1.0)])
    await ingest(fast, stored(fast, 2.0))
    gate: Any = slow.store
    gate.hold()
    writing = asyncio.create_task(slow.write_through(first.newest))
    asking = asyncio.create_task(gate.has_read.wait())
    await asyncio.wait([writing, asking], return_when=asyncio.FIRST_COMPLETED)
    assert (await fast.read(*DEV)).value == 2.0
    gate.go_on.set()
    (outcome,) = await writing
    asking.cancel()
    assert outcome.ok
    read = await fast.read(*DEV)
    assert (read.value, read.source) == (2.0, Source.CACHE)


async def test_what_was_written_and_removed_meanwhile_is_not_undone(
    pair: tuple[DeviceCache, DeviceCache],
) -> None:
    slow, fast = pair
    first = await slow.store.commit([stored(slow, 1.0)])
    await ingest(fast, stored(fast, 2.0))
    await fast.invalidate([DEV])
    (outcome,) = await slow.write_through(first.newest)
    assert outcome.ok
    read = await fast.read(*DEV)
    assert (read.value, read.source) == (2.0, Source.CACHE)


async def test_a_set_between_the_look_and_ours_is_seen(pair: tuple[DeviceCache, DeviceCache]) -> None:
    slow, fast = pair
    first = await slow.store.commit([stored(slow, 1.0)])
    gate: Any = slow.store
    gate.hold()
    writing = asyncio.create_task(slow.write_through(first.newest))
    await gate.has_read.wait()  # it saw no entry, and has 1.0 in hand
    await ingest(fast, stored(fast, 2.0))
    gate.go_on.set()
    assert (await writing)[0].ok
    read = await fast.read(*DEV)
    assert (read.value, read.source) == (2.0, Source.CACHE)


async def test_an_older_entry_gives_way_without_a_question_to_the_store(
    pair: tuple[DeviceCache, DeviceCache],
) -> None:
    a, b = pair
    await ingest(a, stored(a, 1.0))
    store: Any = b.store
    store.away = True
    await ingest(b, stored(b, 2.0))
    read = await a.read(*DEV)
    assert (read.value, read.source) == (2.0, Source.CACHE)
    assert b.counters().writes == 1


async def test_readings_of_one_instant_are_put_in_order_by_sequence(
    pair: tuple[DeviceCache, DeviceCache],
) -> None:
    a, b = pair
    new = stored(b, 2.0, seq=9)
    first = await a.store.commit([stored(a, 1.0, seq=8, ts_us=new.reading.ts_us)])
    await ingest(b, new)
    await a.write_through(first.newest)
    assert (await b.read(*DEV)).value == 2.0


async def test_of_one_series_six_times_in_a_batch_the_newest_is_set(
    pair: tuple[DeviceCache, DeviceCache],
) -> None:
    a, b = pair
    batch = [stored(a, float(n), seq=n, ts_us=1_795_000_000_000_000 + n) for n in (1, 2, 6, 3, 4, 5)]
    outcomes = await a.write_through([*batch, stored(a, 7.0, device="dev-2")])
    assert [outcome.ok for outcome in outcomes] == [True] * 7
    assert (await b.read(*DEV)).value == 6.0
    assert a.counters().writes == 2


async def test_an_unreadable_entry_is_replaced(
    memcached: Server, pair: tuple[DeviceCache, DeviceCache]
) -> None:
    a, _ = pair
    talk(memcached, b"set " + KEY + b" 16 0 4\r\n{{{{")
    await ingest(a, stored(a, 1.0))
    assert (await a.read(*DEV)).source is Source.CACHE


async def test_where_nothing_is_known_nothing_is_left(
    memcached: Server, pair: tuple[DeviceCache, DeviceCache]
) -> None:
    a, b = pair
    store: Any = a.store
    store.away = True
    await ingest(a, stored(a, 1.0))  # no entry to compare with, and the store does not tell
    assert talk(memcached, b"get " + KEY, b"END\r\n") == b"END\r\n"
    assert (await b.read(*DEV)).value == 1.0


async def test_while_a_node_is_out_its_failover_node_is_written(
    memcached_factory: Any, open_cache: Open
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    writer, reader = [await open_cache(nodes, shared_writers=True) for _ in range(2)]
    await ingest(writer, stored(writer, 1.0))
    owner = writer.cluster.node_of(KEY.decode())
    next(node for node in nodes if node.address == owner).kill()
    await ingest(writer, stored(writer, 2.0))
    await until(
        lambda: all(node.state is not NodeState.UP for node in reader.cluster.health() if node.name == owner)
    )
    read = await reader.read(*DEV)
    assert read.value == 2.0
    assert read.node != owner
    assert writer.counters().write_failures == 0
