"""Nodes taken out and back by hand, and commands that change how one node works."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from iotcache.cluster import SetItem
from iotcache.cluster.admin import cache_memlimit, flush_all, lru_mode, lru_temp_ttl, lru_tune, verbosity
from iotcache.cluster.placement import placement
from iotcache.cluster.placement.share import moved, shares
from iotcache.cluster.stats import node_limits, slab_classes
from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import NodeError, UsageError
from iotcache.model import NodeState

from .tools import keys_of, state_of, until


@pytest.mark.real("memcached")
async def test_a_drained_node_is_left_alone_until_taken_back_and_shows_nothing_old(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        name = servers[0].address
        (key,) = keys_of(cluster, servers[0], 1)
        await cluster.set_many([SetItem(key, b"old", 0, 60)])
        cluster.drain(name)
        assert state_of(cluster, servers[0]) is NodeState.DOWN
        assert cluster.health()[0].drained
        assert "drained" in cluster.health()[0].reason
        (outcome,) = await cluster.set_many([SetItem(key, b"new", 0, 60)])
        assert outcome.ok and outcome.node == servers[1].address
        # Far longer than the breaker would have kept it out.
        with pytest.raises(TimeoutError):
            await until(lambda: state_of(cluster, servers[0]) is NodeState.UP, 0.6)
        with pytest.raises(NodeError):
            await cluster.stats_of(name)
        cluster.rejoin(name)
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        assert not cluster.health()[0].drained
        (got,) = await cluster.get_many([key])
        assert got.value != b"old"
        with pytest.raises(NodeError, match="no node"):
            cluster.drain("nobody:1")


@pytest.mark.real("memcached")
async def test_every_order_is_carried_out_by_a_real_node(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        name = memcached.address
        await cluster.set_many([SetItem("k", b"v", 0, 60)])
        for order in (
            cache_memlimit(32),
            lru_tune(30, 40, 0.3, 1.5),
            lru_temp_ttl(61),
            verbosity(0),
            lru_mode("flat"),
        ):
            assert await cluster.admin(name, order) == "OK"
        limits = node_limits(await cluster.stats_of(name, "settings"))
        assert (limits.maxbytes, limits.hot_percent, limits.warm_percent) == (32 << 20, 30, 40)
        assert (limits.hot_factor, limits.warm_factor, limits.temp_ttl) == (0.3, 1.5, 61)
        assert not limits.lru_segmented
        assert await cluster.admin(name, lru_mode("segmented")) == "OK"
        assert await cluster.admin(name, flush_all()) == "OK"
        assert not (await cluster.get_many(["k"]))[0].hit
        with pytest.raises(NodeError, match="MEMLIMIT_TOO_SMALL"):
            await cluster.admin(name, b"cache_memlimit 4\r\n")
        with pytest.raises(NodeError, match="refused: ERROR"):
            await cluster.admin(name, b"lru nonsense\r\n")
        assert await cluster.admin(name, verbosity(0)) == "OK"


@pytest.mark.real("memcached")
async def test_segments_of_the_lru_are_read(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        name = memcached.address
        await cluster.admin(name, lru_temp_ttl(61))
        await cluster.set_many(
            [SetItem(f"k{n}", b"v", 0, 600) for n in range(30)]
            + [SetItem(f"t{n}", b"v", 0, 30) for n in range(7)]
        )
        slabs = slab_classes(await cluster.stats_of(name, "slabs"), await cluster.stats_of(name, "items"))
        (slab,) = [slab for slab in slabs if slab.items]
        assert slab.number_temp == 7
        assert slab.number_hot + slab.number_warm + slab.number_cold == 30


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: cache_memlimit(1),
        lambda: flush_all(-1),
        lambda: lru_tune(50, 40, 1, 1),
        lambda: lru_tune(20, 40, nan, 1),
        lambda: lru_mode("flat\r\nflush_all"),
        lambda: lru_temp_ttl(-2),
        lambda: verbosity(9),
    ],
)
def test_a_value_that_no_node_takes_is_refused_before_it_is_sent(wrong: Any) -> None:
    with pytest.raises(UsageError):
        wrong()


def nodes(*weights: int) -> list[NodeAddress]:
    return [parse_node(f"10.0.0.{number}:11211={weight}") for number, weight in enumerate(weights, 1)]


@pytest.mark.parametrize("name", ["ketama", "rendezvous", "modulo"])
def test_shares_are_what_keys_are_seen_to_do(name: str) -> None:
    group = nodes(1, 1, 3) if name == "ketama" else nodes(1, 1, 1)
    placed, count = placement(name, group), 20_000 if name == "ketama" else 3_000
    owners = [placed.owner(f"dev:{number}:latest") for number in range(count)]
    for index, share in enumerate(shares(name, group)):
        assert share == pytest.approx(owners.count(index) / count, abs=0.03)
    assert sum(shares(name, group)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [(nodes(1, 1, 1), nodes(1, 2, 1)), (nodes(1, 1, 1), nodes(1, 1)), (nodes(1, 1), nodes(1, 1))],
)
def test_the_keys_that_move_are_counted_as_they_are_seen_to_move(
    before: list[NodeAddress], after: list[NodeAddress]
) -> None:
    old, new, count = placement("ketama", before), placement("ketama", after), 20_000
    keys = [f"dev:{number}:latest" for number in range(count)]
    seen = sum(before[old.owner(key)].name != after[new.owner(key)].name for key in keys) / count
    assert moved("ketama", before, after) == pytest.approx(seen, abs=0.015)


def test_a_modulo_moves_most_keys_and_weights_mean_nothing_to_it() -> None:
    assert moved("modulo", nodes(1, 1, 1), nodes(1, 1, 1, 1)) > 0.6
    assert moved("modulo", nodes(1, 1), nodes(1, 5)) == 0
