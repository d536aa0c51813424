"""Copies of hot keys over real memcached: on all nodes before a write returns, gone with the entry."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from iotcache.cluster import Cluster, SetItem
from iotcache.cluster.copies import deciding
from iotcache.cluster.copies.deciding import hot_of
from iotcache.cluster.copies.heat import HeatMeter, KeyRate
from iotcache.cluster.outage import own_claim
from iotcache.cluster.rings import roster
from iotcache.cluster.rings.roster import RosterEntry
from iotcache.cluster.rings.types import RingPhase
from iotcache.worker.ring_metrics import ring_metrics

from .tools import until

HOT, COLD = "dev-1:temperature:latest", "dev-2:temperature:latest"


async def held_by(servers: list[Any], key: str) -> dict[str, bytes]:
    """What each server itself has of ``key``, asked past the cluster client."""
    found: dict[str, bytes] = {}
    for server in servers:
        reader, writer = await asyncio.open_connection(*server.address.split(":"))
        writer.write(b"get " + key.encode() + b"\r\n")
        line = await reader.readline()
        if line.startswith(b"VALUE"):
            found[server.address] = await reader.readexactly(int(line.split()[3]))
        writer.close()
    return found


async def nodes_that_answer(cluster: Cluster, key: str) -> set[str]:
    """By fifty reads."""
    return {(await cluster.get_many([key]))[0].node for _ in range(50)}


@pytest.mark.real("memcached")
async def test_a_hot_key_is_on_all_its_nodes_before_a_write_returns(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as writer, over(*servers) as reader:
        await writer.set_many([SetItem(HOT, b"1", 0, 60), SetItem(COLD, b"1", 0, 60)])
        await writer.copy_hot_keys([HOT], 2)
        await until(lambda: reader.hot_keys == (HOT,))
        assert len(await held_by(servers, HOT)) == 1  # a copy comes with the next write, or the next read

        await writer.set_many([SetItem(HOT, b"2", 0, 60), SetItem(COLD, b"2", 0, 60)])
        assert list((await held_by(servers, HOT)).values()) == [b"2", b"2"]
        assert len(await held_by(servers, COLD)) == 1
        assert len(await nodes_that_answer(reader, HOT)) == 2
        assert reader.copy_counts.reads > 5
        assert writer.copy_counts.writes == 1
        figures = {each.name: value for each in ring_metrics(reader) for (_, _, value, *_) in each.samples}
        assert (figures["iotcache_hot_keys"], figures["iotcache_hot_key_nodes"]) == (1, 2)
        assert figures["iotcache_copies_read"] == reader.copy_counts.reads
        assert figures["iotcache_ring_epoch"] == figures["iotcache_ring_changing"] == 0

        (got,) = await writer.get_many([HOT], cas=True)
        assert got.node == writer.node_of(HOT)
        (swapped,) = await writer.cas_many([SetItem(HOT, b"3", 0, 60)], [got])
        assert swapped.ok
        assert list((await held_by(servers, HOT)).values()) == [b"3"]
        assert len(await nodes_that_answer(reader, HOT)) == 2  # brought by the first who missed it
        assert set((await held_by(servers, HOT)).values()) == {b"3"}

        await writer.delete_many([HOT])
        assert await held_by(servers, HOT) == {}
        await writer.copy_hot_keys([])
        await until(lambda: reader.hot_keys == ())
        await writer.set_many([SetItem(HOT, b"4", 0, 60)])
        assert len(await held_by(servers, HOT)) == 1


@pytest.mark.real("memcached")
async def test_what_all_clients_read_decides_which_keys_are_hot(
    memcached_factory: Any, over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "_EVERY_S", 0.1)
    monkeypatch.setattr(roster, "_EVERY_S", 0.1)
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers, hot_replicas=2) as writer, over(*servers, hot_replicas=2) as reader:
        assert (await writer.set_many([SetItem(HOT, b"1", 0, 60)]))[0].ok

        async def read() -> None:
            while True:
                await reader.get_many([HOT])

        reading = asyncio.create_task(read())
        await until(lambda: reader.hot_keys == (HOT,) and reader.copy_counts.reads > 0)
        reading.cancel()
        # Nobody reads it any more; a client that writes takes the list back.
        async with asyncio.timeout(20):
            while reader.hot_keys:
                await writer.set_many([SetItem(COLD, b"1", 0, 60)])
                await asyncio.sleep(0.1)


def told(gets_per_s: float, **rates: float) -> RosterEntry:
    """Of one client."""
    hottest = tuple(KeyRate(key, per_s) for key, per_s in rates.items())
    claim = own_claim(1, "reader")
    return RosterEntry(claim, 0, RingPhase.STEADY, 0.0, gets_per_s=gets_per_s, hottest=hottest)


def test_a_key_is_hot_above_a_nodes_fair_share_of_all_gets() -> None:
    entries = [told(600, a=250, b=90), told(600, a=180, c=10)]
    assert hot_of(entries, 3, (), 16) == ("a",)  # 430 of 1,200 gets/s, and 400 are a node's fair share
    assert hot_of(entries, 2, (), 16) == ()
    assert hot_of(entries, 2, ("a",), 16) == ("a",)  # it keeps its copies until it has half of that
    assert hot_of(entries, 16, (), 16) == ("a", "b")
    assert hot_of(entries, 16, (), 1) == ("a",)
    assert hot_of([told(40, a=40)], 3, (), 16) == ()  # so few are no node's trouble


def test_rates_of_keys_are_told_as_they_are() -> None:
    class Clock:
        at_s = 0.0

        def monotonic(self) -> float:
            return self.at_s

        def now(self) -> float:
            return self.at_s

    clock = Clock()
    meter = HeatMeter(clock, Random(3))
    rng = Random(5)
    for _ in range(3):
        for _ in range(400):
            keys = ["hot"] * 4 + [f"dev-{rng.randrange(100_000)}" for _ in range(16)]
            meter.read(keys)
        clock.at_s += 4.0
        per_s, hottest = meter.take()
    assert per_s == pytest.approx(2_000, rel=0.02)
    assert hottest[0].key == "hot"
    assert hottest[0].gets_per_s == pytest.approx(400, rel=0.25)
    assert all(each.gets_per_s < 40 for each in hottest[1:])
