"""What a client leaves behind: after a cancelled start, after its end, in a forked child, on a node."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.cluster import Cluster, SetItem
from iotcache.config.urls import parse_node
from iotcache.errors import ClusterClosed
from iotcache.model import NodeState


def node_tasks() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("cache node")]


async def test_a_cancelled_start_leaves_no_task_behind() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # it accepts, and never answers
        address = parse_node(f"127.0.0.1:{silent.getsockname()[1]}")
        cluster = Cluster([address], connect_timeout_s=9.0, operation_timeout_s=9.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await cluster.__aenter__()
    assert node_tasks() == []


async def test_who_is_not_entered_or_closed_says_so_at_once() -> None:
    cluster = Cluster([parse_node("127.0.0.1:1")])
    with pytest.raises(ClusterClosed, match="entered"):
        await cluster.get_many(["k"])
    async with cluster:
        assert not (await cluster.get_many(["k"]))[0].hit
    for call in (
        lambda: cluster.get_many(["k"]),
        lambda: cluster.set_many([SetItem("k", b"v", 0, 60)]),
        lambda: cluster.delete_many(["k"]),
        cluster.stats,
    ):
        with pytest.raises(ClusterClosed, match="closed"):
            await call()
    assert [(node.state, "closed" in node.reason) for node in cluster.health()] == [(NodeState.DOWN, True)]
    with pytest.raises(ClusterClosed):
        await cluster.__aenter__()
    assert node_tasks() == []


@pytest.mark.real("memcached")
async def test_a_forked_child_is_refused_and_the_parent_reads_on(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem(f"k{n}", b"%d" % n, 0, 60) for n in range(50)])
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"asked"
            try:
                asyncio.new_event_loop().run_until_complete(cluster.get_many(["k1"]))
            except ClusterClosed as error:
                answer = str(error).encode()
            finally:
                os.write(send, answer)
                os._exit(0)
        os.waitpid(child, 0)
        assert b"forked" in os.read(receive, 1_000)
        os.close(receive)
        os.close(send)
        got = await cluster.get_many([f"k{n}" for n in range(50)])
        assert [answer.value for answer in got] == [b"%d" % n for n in range(50)]


@pytest.mark.real("memcached")
async def test_a_login_leaves_nothing_on_a_node_that_asks_for_none(memcached: Any, over: Any) -> None:
    async with over(memcached, username="service", password="secret"):
        assert Client(memcached.address).get("auth") is None


@pytest.mark.real("memcached")
async def test_who_keeps_a_node_out_is_told_with_host_pid_and_role(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers, role="ingest") as writer, over(*servers) as reader:
        (key,) = [key for key in map(str, range(99)) if writer.node_of(key) == servers[0].address][:1]
        writer.drain(servers[0].address)
        assert (await writer.set_many([SetItem(key, b"v", 0, 60)]))[0].ok
        while not reader.outage_markers():
            await asyncio.sleep(0.01)
        (marker,) = reader.outage_markers()
        (claim,) = marker.claims
        assert (marker.node, claim.pid, claim.role) == (servers[0].address, os.getpid(), "ingest")
        assert claim.host == socket.gethostname()
        assert "ingest" in reader.health()[0].reason
        assert (await reader.get_many([key]))[0].value in (b"v", b"")


@pytest.mark.real("memcached")
async def test_a_reader_that_takes_a_node_out_and_back_hides_nothing_from_others(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as writer, over(*servers) as reader:
        keys = [f"k{n}" for n in range(100)]
        await writer.set_many([SetItem(key, b"v", 0, 60) for key in keys])
        reader.drain(servers[0].address)
        for _ in range(10):
            await reader.get_many(keys)
            await asyncio.sleep(0.05)
        reader.rejoin(servers[0].address)
        while reader.health()[0].state is not NodeState.UP:
            await asyncio.sleep(0.01)
        assert all(got.hit for got in await writer.get_many(keys))
        assert all(got.hit for got in await reader.get_many(keys))
