"""The bundled Python node is a node like any other: the same reads, writes, leases and fences."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from iotcache.cluster import Lease, SetItem
from iotcache.model import NodeState

from .tools import keys_of, state_of, until


class Bundled:
    """One bundled node in its own process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "iotcache_simulator.cachenode",
                "--listen",
                "127.0.0.1",
                "--port",
                "0",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@pytest.fixture
def bundled() -> Iterator[list[Bundled]]:
    nodes = [Bundled() for _ in range(2)]
    yield nodes
    for node in nodes:
        with contextlib.suppress(ProcessLookupError):
            node.signal(signal.SIGCONT)
        node.process.kill()
        node.process.wait()
        assert node.process.stdout is not None
        node.process.stdout.close()


async def test_everything_works_on_the_bundled_node(bundled: list[Bundled], over: Any) -> None:
    async with over(*bundled, operation_timeout_s=1.0) as cluster:
        assert all(node.bundled and node.version.endswith("-iotcache") for node in cluster.health())
        items = [SetItem(f"k{n}", b"\r\nMN\r\n%d" % n, n, 60 + n) for n in range(2_000)]
        assert all(outcome.ok for outcome in await cluster.set_many(items))
        got = await cluster.get_many([item.key for item in items])
        assert [(g.value, g.flags) for g in got] == [(item.value, item.flags) for item in items]
        assert all(abs(g.ttl_s - 60 - n) <= 2 for n, g in enumerate(got))
        (probe,) = await cluster.probe_many(["k5"])
        assert probe.present and 60 <= probe.ttl_s <= 65
        assert [(await cluster.lease_many(["new"]))[0].lease for _ in range(2)] == [Lease.WON, Lease.HELD]
        (seen,) = await cluster.get_many(["k1"], cas=True)
        outcomes = [(await cluster.cas_many([SetItem("k1", b"v", 0, 60)], [seen]))[0].ok for _ in range(2)]
        assert outcomes == [True, False]
        assert all(stats and stats.curr_items for stats in (await cluster.node_stats()).values())


async def test_a_bundled_node_that_hung_returns_without_stale_values(
    bundled: list[Bundled], over: Any
) -> None:
    async with over(*bundled) as cluster:
        keys = keys_of(cluster, bundled[0], 20)
        await cluster.set_many([SetItem(key, b"old", 0, 600) for key in keys])
        bundled[0].signal(signal.SIGSTOP)
        await until(lambda: state_of(cluster, bundled[0]) is not NodeState.UP)
        outcomes = await cluster.set_many([SetItem(key, b"new", 0, 600) for key in keys])
        assert all(outcome.ok for outcome in outcomes)
        assert {got.value for got in await cluster.get_many(keys)} == {b"new"}
        bundled[0].signal(signal.SIGCONT)
        while state_of(cluster, bundled[0]) is not NodeState.UP:
            assert {got.value for got in await cluster.get_many(keys)} <= {b"new", b""}
        assert {got.value for got in await cluster.get_many(keys)} <= {b"new", b""}
