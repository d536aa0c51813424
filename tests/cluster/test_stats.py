"""Node statistics: typed from real answers, and tolerant of fields that come and go between versions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from iotcache.cluster import SetItem
from iotcache.cluster.stats import node_limits, node_stats, slab_classes

from .tools import pause, resume


@pytest.mark.real("memcached")
async def test_figures_of_a_real_node(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem(f"k{n}", b"x" * 100, 0, 60) for n in range(50)])
        await cluster.get_many([f"k{n}" for n in range(100)])
        stats = (await cluster.node_stats())[memcached.address]
        assert stats is not None
        assert (stats.pid, stats.curr_items, stats.get_hits, stats.get_misses) == (memcached.pid, 50, 50, 50)
        assert stats.hit_ratio == 0.5
        assert 0 < stats.fill < 0.01
        assert abs(stats.started_s - time.time()) < 10
        (slabs,) = (await cluster.slab_stats()).values()
        assert sum(slab.items for slab in slabs) == 50
        assert all(slab.used_chunks == slab.items and slab.chunk_size > 100 for slab in slabs if slab.items)
        limits = (await cluster.node_limits())[memcached.address]
        assert limits.maxbytes == 64 * 1024 * 1024 == stats.limit_maxbytes
        assert limits.evictions and limits.temp_ttl == -1


@pytest.mark.real("memcached")
async def test_a_node_that_does_not_answer_has_no_figures(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        servers[1].kill()
        stats = await cluster.node_stats()
        assert stats[servers[0].address] is not None
        assert stats[servers[1].address] is None


@pytest.mark.real("memcached")
async def test_telemetry_counts_what_this_client_saw(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        for _ in range(20):
            await cluster.get_many(["k"])
        before = cluster.telemetry()[memcached.address]
        assert before.latency.count == 20 and before.in_flight == 0 and before.errors == {}
        assert 0 < before.latency.percentile(50) <= before.latency.percentile(99)
        await pause(memcached)
        waiting = asyncio.ensure_future(cluster.get_many(["k"]))
        await asyncio.sleep(0)
        assert cluster.telemetry()[memcached.address].in_flight >= 1
        await waiting
        assert cluster.telemetry()[memcached.address].errors["AnswerTimeout"] == 1
        assert before.errors == {}
        resume(memcached)


def test_unknown_and_broken_fields_do_no_harm() -> None:
    stats = node_stats({"pid": "7", "uptime": "x", "brand_new": "1", "time": "100"})
    assert (stats.pid, stats.uptime_s, stats.started_s) == (7, 0, 100)
    assert node_stats({}).hit_ratio is None
    rows = slab_classes(
        {"1:chunk_size": "96", "active_slabs": "1", "1:new": "5", "x:y": "1"}, {"items:2:age": "5"}
    )
    assert [(row.number, row.chunk_size, row.age_s) for row in rows] == [(1, 96, 0), (2, 0, 5)]
    assert node_limits({}).maxbytes == 0
