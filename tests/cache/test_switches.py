"""Switches of a cache that is in use: what is read and set from then on goes by them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iotcache.model import Document, DocumentKind, MissReason, Series, Source
from iotcache.ttl import TtlPolicy
from tests.cache.conftest import Open, ingest, stored
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
DEV = Series("dev-1", "temperature")


async def test_the_lease_is_switched_while_in_use(memcached: Server, open_cache: Open) -> None:
    caches = [await open_cache([memcached]) for _ in range(3)]
    await ingest(caches[0], stored(caches[0]))
    for leases, asked in (True, 1), (False, 3), (True, 1):
        before = sum(cache.store.asked for cache in caches)
        for cache in caches:
            cache.stampede_lease = leases
            assert cache.stampede_lease is leases
            cache.store.hold()
        await caches[0].invalidate([DEV])
        reads = [asyncio.create_task(cache.read(*DEV)) for cache in caches for _ in range(20)]
        while sum(cache.store.asked for cache in caches) - before < asked:
            await asyncio.sleep(0.005)
        for cache in caches:
            cache.store.go_on.set()
        assert {read.value for read in await asyncio.gather(*reads)} == {21.5}
        assert sum(cache.store.asked for cache in caches) - before == asked


async def test_ttls_are_switched_while_in_use(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    devices = [f"dev-{n}" for n in range(40)]

    async def ttls(*, interval_s: float = 100.0) -> list[float]:
        await cache.write_through([stored(cache, device=device, interval_s=interval_s) for device in devices])
        return [
            probe.ttl_s
            for probe in await cache.ttl_many([Series(device, "temperature") for device in devices])
        ]

    cache.ttl_jitter = 0.0
    assert max(await ttls()) - min(await ttls()) <= 1
    cache.ttl_jitter = 0.5
    assert cache.ttl == TtlPolicy(jitter=0.5)
    wide = await ttls()
    assert max(wide) - min(wide) > 100 and min(wide) >= 149 and max(wide) <= 451
    cache.ttl = TtlPolicy(volatile_intervals=1.0, jitter=0.0)
    assert cache.ttl_jitter == 0.0
    assert {round(ttl_s, -1) for ttl_s in await ttls()} == {100}
    await cache.invalidate([Series("dev-1", "temperature")])
    await cache.store.commit([stored(cache, interval_s=50.0)])
    assert (await cache.read(*DEV)).ttl_s == 50.0  # what readers put back, too


@pytest.mark.parametrize(
    "wrong",
    [
        {"config_s": 0.5}, {"meta_s": 1e9}, {"history_s": float("nan")}, {"aggregate_s": -1.0},
        {"jitter": 2.0}, {"volatile_intervals": float("inf")},
        {"volatile_min_s": 60.0, "volatile_max_s": 30.0},
    ],
)  # fmt: skip
async def test_a_ttl_that_no_entry_can_have_is_refused(
    memcached: Server, open_cache: Open, wrong: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        await open_cache([memcached], ttl=TtlPolicy(**wrong))
    cache = await open_cache([memcached])
    with pytest.raises(ValueError, match="TTL"):
        cache.ttl = TtlPolicy(**wrong)
    assert cache.ttl == TtlPolicy()


async def test_the_longest_ttl_stays_one_with_jitter(memcached: Server, open_cache: Open) -> None:
    year_s = 365 * 86_400.0
    cache = await open_cache([memcached], ttl=TtlPolicy(config_s=year_s, jitter=0.5))
    for number in range(20):
        name = f"dev-{number}"
        await cache.store.documents.upsert([Document(name, DocumentKind.CONFIG, 1, "{}")])
        assert (await cache.config(name)).version == 1
        read = await cache.config(name)
        assert read.source is Source.CACHE
        assert (read.ttl_s or 0) <= year_s + 1  # an absolute time, in whole seconds


async def test_without_failover_the_store_answers_for_a_node_that_is_out(
    memcached_factory: Any, open_cache: Open
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    cache = await open_cache(nodes)
    cache.cluster.failover = False
    await ingest(cache, stored(cache))
    owner = cache.cluster.node_of(cache.keys.latest(*DEV))
    next(node for node in nodes if node.address == owner).kill()
    for _ in range(3):
        read = await cache.read(*DEV)
        assert (read.value, read.source) == (21.5, Source.STORE)
    assert (read.miss_reason, read.node) == (MissReason.NODE_DOWN, owner)
