"""Nodes that hang, die and come back: who waits, for how long, and who answers instead."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from iotcache.cluster import SetItem
from iotcache.model import Event, MissReason, NodeState

from .tools import keys_of, pause, resume, state_of, until

MANY_TIME_OUTS_S = 10.0
"""Of 0.25 s each: who waited for one after the other would take far longer, a busy machine does not."""

pytestmark = pytest.mark.real("memcached")


async def test_a_hanging_node_costs_one_time_out_and_then_nothing(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as cluster:
        keys = [f"k{n}" for n in range(300)]
        await cluster.set_many([SetItem(key, b"v", 0, 60) for key in keys])
        await pause(servers[0])
        async with asyncio.timeout(MANY_TIME_OUTS_S):
            got = await cluster.get_many(keys)
        for key, answer in zip(keys, got, strict=True):
            if cluster.node_of(key) == servers[0].address:
                assert not answer.hit and answer.failure is MissReason.TIMEOUT
            else:
                assert answer.hit
        assert state_of(cluster, servers[0]) is NodeState.DOWN
        for _ in range(20):
            for key, answer in zip(keys, await cluster.get_many(keys), strict=True):
                assert answer.hit is (cluster.node_of(key) != servers[0].address)
                assert answer.failure in (None, MissReason.NODE_DOWN), "it is not asked, so nobody waits"
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)


async def test_everybody_who_waits_on_a_hanging_node_is_let_go_together(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await pause(memcached)
        async with asyncio.timeout(MANY_TIME_OUTS_S):
            answers = await asyncio.gather(*(cluster.get_many([f"k{n}"]) for n in range(500)))
        assert all(got.failure in (MissReason.TIMEOUT, MissReason.NODE_DOWN) for (got,) in answers)
        resume(memcached)
        await until(lambda: state_of(cluster, memcached) is NodeState.UP)


async def test_a_dead_nodes_keys_move_to_the_next_on_the_ring_for_a_short_time(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers, failover_ttl_s=7) as cluster:
        keys = keys_of(cluster, servers[1], 20)
        servers[1].kill()
        await until(lambda: state_of(cluster, servers[1]) is not NodeState.UP)
        got = await cluster.get_many(keys)
        assert all(not g.hit and g.failure is MissReason.NODE_DOWN for g in got)
        assert all(
            outcome.ok for outcome in await cluster.set_many([SetItem(k, b"new", 16, 600) for k in keys])
        )
        got = await cluster.get_many(keys)
        assert all(g.hit and g.value == b"new" and g.flags == 16 and g.ttl_s <= 7 for g in got)
        assert {g.node for g in got} <= {servers[0].address, servers[2].address}
        assert [cluster.node_of(key) for key in keys] == [servers[1].address] * 20
        probes = await cluster.probe_many(keys)
        assert all(probe.present and probe.node != servers[1].address for probe in probes)


async def test_a_restarted_node_is_found_again_and_known_to_be_empty(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    events: list[Event] = []
    async with over(*servers, on_event=events.append) as cluster:
        (key,) = keys_of(cluster, servers[0], 1)
        await cluster.set_many([SetItem(key, b"v", 0, 60)])
        servers[0].kill()
        await until(lambda: state_of(cluster, servers[0]) is NodeState.DOWN)
        servers[0].start()
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        (got,) = await cluster.get_many([key])
        assert not got.hit and got.failure is None
        assert [event.kind for event in events] == [
            "node_up",
            "node_up",
            "node_down",
            "node_probing",
            "node_up",
        ]
        assert "refused" in events[2].text or "closed" in events[2].text
        assert "restarted" in events[-1].text


async def test_a_node_restarted_between_two_reads_costs_no_failed_read(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        memcached.kill()
        memcached.start()
        (got,) = await cluster.get_many(["k"])
        assert not got.hit and got.failure in (None, MissReason.NODE_DOWN)
        await until(lambda: state_of(cluster, memcached) is NodeState.UP)
        assert (await cluster.set_many([SetItem("k", b"v", 0, 60)]))[0].ok


async def test_a_listener_that_fails_does_no_harm(memcached: Any, over: Any) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("a bug in the listener")

    async with over(memcached, on_event=listener) as cluster:
        for _ in range(2):
            assert state_of(cluster, memcached) is NodeState.UP
            memcached.kill()
            await until(lambda: state_of(cluster, memcached) is NodeState.DOWN)
            memcached.start()
            await until(lambda: state_of(cluster, memcached) is NodeState.UP)


async def test_closing_while_a_node_hangs_is_quick(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    exits = AsyncExitStack()
    cluster = await exits.enter_async_context(over(*servers))
    await pause(servers[0])
    pending = asyncio.ensure_future(cluster.get_many([f"k{n}" for n in range(50)]))
    await asyncio.sleep(0.02)
    async with asyncio.timeout(MANY_TIME_OUTS_S):
        await exits.aclose()
    assert len(await pending) == 50
    resume(servers[0])


async def test_without_failover_nobody_stands_in(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers, failover=False) as cluster:
        (key,) = keys_of(cluster, servers[0], 1)
        await cluster.set_many([SetItem(key, b"old", 0, 60)])
        servers[0].kill()
        await until(lambda: state_of(cluster, servers[0]) is NodeState.DOWN)
        (outcome,) = await cluster.set_many([SetItem(key, b"new", 0, 60)])
        assert (outcome.ok, outcome.node, outcome.reason) == (False, servers[0].address, "its node is out")
        (got,) = await cluster.get_many([key])
        assert (got.hit, got.failure, got.node) == (False, MissReason.NODE_DOWN, servers[0].address)
        cluster.failover = True
        (outcome,) = await cluster.set_many([SetItem(key, b"newer", 0, 60)])
        assert (outcome.ok, outcome.node) == (True, servers[1].address)
        (got,) = await cluster.get_many([key])
        assert got.value == b"newer"
        cluster.failover = False
        assert not (await cluster.get_many([key]))[0].hit


async def test_what_could_not_be_written_without_failover_is_not_read_when_the_node_is_back(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers, failover=False) as cluster, over(*servers) as other:
        (key,) = keys_of(cluster, servers[0], 1)
        await cluster.set_many([SetItem(key, b"old", 0, 60)])
        cluster.drain(servers[0].address)
        assert not (await cluster.set_many([SetItem(key, b"new", 0, 60)]))[0].ok
        cluster.rejoin(servers[0].address)
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        await until(lambda: state_of(other, servers[0]) is NodeState.UP)
        assert [one.hit for one in await cluster.get_many([key])] == [False]
        assert [one.hit for one in await other.get_many([key])] == [False]
