"""A program's own reads and writes, seen through its cluster client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random

import pytest

from iotcache.advisor.references import Kind, Reference
from iotcache.cluster import Cluster
from iotcache.cluster.types import GetResult, SetItem, WriteResult
from iotcache.config.urls import parse_node
from iotcache.traffic.tap import COST_MOST, TrafficTap
from tests.advisor.oracle import ExactLru
from tests.conftest import Server

VALUE = b"x" * 100
CHUNK = 192
"""Of a key of 20 bytes and that value."""
MB = 1 << 20


def play(tap: TrafficTap, caches: Sequence[ExactLru], batches: int, now: Callable[[float], None]) -> None:
    """Readers with the first of the caches: get, fill what was missed. The others are asked the same."""
    rng, real = Random(5), caches[0]
    for turn in range(batches):
        now(turn * 0.1)
        keys = [f"dev{min(int(rng.paretovariate(0.4)), 40_000):06}:temp:latest" for _ in range(100)]
        results = []
        for key in keys:
            before = real.hits
            for cache in caches:
                cache.feed([Reference(hash(key), Kind.GET, turn * 0.1, CHUNK)])
            hit = real.hits > before
            results.append(GetResult(hit, VALUE if hit else b""))
        tap.read(keys, results)
        missed = list(dict.fromkeys(key for key, one in zip(keys, results, strict=True) if not one.hit))
        for key in missed:
            for cache in caches:
                cache.feed([Reference(hash(key), Kind.FILL, turn * 0.1, CHUNK, 600.0)])
        items = [SetItem(key, VALUE, 0, 600) for key in missed]
        tap.written(items, [WriteResult(True, "n")] * len(items))


def test_the_curve_of_own_requests_is_that_of_exact_caches() -> None:
    clock = 0.0

    def now(value: float) -> None:
        nonlocal clock
        clock = value

    sizes = (MB // 2, MB // 8, 2 * MB)
    caches = [ExactLru(size) for size in sizes]
    tap = TrafficTap(sizes[0], burst_s=inf, now_s=lambda: clock)
    play(tap, caches, 200, now)
    curve = tap.meter.sampler.memory_curve()
    for cache in caches:
        assert abs(curve.at(cache.size) - cache.ratio) < 0.04, (cache.size, tap.meter.sampler.keys)
    assert tap.groups.name(0) == "dev#:temp:latest"
    assert tap.meter.set_ttl(0) == 600.0
    assert tap.meter.gets.top(1)[0].key == b"dev000001:temp:latest"


def test_what_is_too_dear_rests_and_leaves_out_what_went_by() -> None:
    clock = 0.0
    tap = TrafficTap(64 * MB, burst_s=1.0, now_s=lambda: clock)
    keys = [f"dev{number}:temp:latest" for number in range(1_000)]
    hits = [GetResult(True, VALUE)] * len(keys)
    sampler = tap.meter.sampler
    tap.written([SetItem(key, VALUE, 0, 600) for key in keys], [WriteResult(True, "n")] * len(keys))
    clock = 0.5
    tap.read(keys, hits)
    clock = 1.0  # of a thread that does nothing else it may take a thousandth of that second
    tap.read(keys, hits)
    seen = sampler.gets_seen(0)
    assert seen == 2 * len(keys)
    clock = 1.1
    tap.read(keys, hits)
    assert sampler.gets_seen(0) == seen, "it rests"
    clock = 100.0
    tap.read(keys, hits)
    assert sampler.gets_seen(0) == seen + len(keys)
    assert sampler.memory_curve().now == 1.0
    more = sampler.memory_curve().sampled_gets - 2 * sampler.keys
    assert abs(more) < 0.25 * sampler.keys, "the first get of each after it is left out"


@pytest.mark.parametrize("dear", [0.3, 0.6])
def test_in_the_long_run_it_keeps_to_its_share_of_the_thread_however_dear_a_batch_is(dear: float) -> None:
    """``dear``: what it takes for one batch, as a share of what the batch takes by itself."""
    now_s, spent_s, inside = 0.0, 0.0, False

    def cpu_s() -> float:
        nonlocal spent_s, inside
        spent_s += dear * 0.01 if inside else 0.0
        inside = not inside
        return now_s + spent_s

    tap = TrafficTap(64 * MB, burst_s=1.0, now_s=lambda: now_s, cpu_s=cpu_s)
    batch = [SetItem(f"dev{number}:temp:latest", VALUE, 0, 600) for number in range(10)]
    done = [WriteResult(True, "n")] * len(batch)
    for turn in range(30_000):
        now_s = turn * 0.01
        tap.written(batch, done)
    assert 0.0 < tap.cpu_s <= 1.1 * COST_MOST * now_s


async def test_a_cluster_tells_its_observer_of_every_batch(memcached: Server) -> None:
    async with Cluster([parse_node(memcached.address)]) as cluster:
        await cluster.set_many([SetItem("before", b"1", 0, 60)])
        tap = cluster.observer = TrafficTap(64 * MB)
        await cluster.get_many(["a:1", "a:2"])
        await cluster.set_many([SetItem("a:1", b"1", 0, 60), SetItem("a:2", b"2", 0, 60)])
        await cluster.get_many(["a:1", "a:2"])
        await cluster.delete_many(["a:1"])
    assert tap.meter.sampler.gets_seen(0) == 4
    assert tap.meter.sampler.keys == 2
    assert not any(tap.meter.sampler.writes_estimated(group) for group in range(2)), "fills, not writes"
    assert tap.meter.set_ttl(0) == 60.0
