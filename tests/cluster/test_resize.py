"""The ring changes while it serves, over real memcached: nothing is missed or old, and all clients follow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.cluster import Cluster, RingPhase, SetItem
from iotcache.cluster.rings.walk import RingWalk
from iotcache.config.urls import parse_node
from iotcache.errors import RingBusy, RingMismatch, RingRefused

from .tools import until

pytestmark = pytest.mark.real("memcached")

KEYS = [f"dev-{number}:temperature:latest" for number in range(1_500)]
STEADY = RingPhase.STEADY


def addresses(*servers: Any) -> list[Any]:
    return [parse_node(server.address) for server in servers]


async def fill(cluster: Cluster) -> None:
    items = [SetItem(key, f"value of {key}".encode(), at % 7, 600) for at, key in enumerate(KEYS)]
    assert all(outcome.ok for outcome in await cluster.set_many(items))


async def check(cluster: Cluster) -> set[str]:
    """Every entry is there, with its flags and the life it has left; the nodes that answered.

    A client that is starved of its processor for half a second uses no node: such reads say so, and are none.
    """
    answers = await cluster.get_many(KEYS)
    missed = [(key, got) for key, got in zip(KEYS, answers, strict=True) if not got.hit and not got.failure]
    assert missed == [], ({str(got.failure) for _, got in missed}, cluster.ring())
    for at, (key, got) in enumerate(zip(KEYS, answers, strict=True)):
        if got.hit:
            assert (got.value, got.flags) == (f"value of {key}".encode(), at % 7)
            assert 500 < got.ttl_s <= 600
    return {got.node for got in answers if got.hit}


async def while_reading(cluster: Cluster, change: Awaitable[Any]) -> Any:
    """Await ``change``, and meanwhile read everything, again and again."""
    work = asyncio.ensure_future(change)
    while not work.done():
        await check(cluster)
        await asyncio.sleep(0.1)
    return await work


async def few(*args: object) -> int:
    """As many entries as a node had before others came."""
    return 1


async def test_nodes_join_and_leave_and_nothing_is_missed(
    memcached_factory: Any, over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [memcached_factory() for _ in range(4)]
    events: list[Any] = []
    patient = {"operation_timeout_s": 3.0, "connect_timeout_s": 3.0}  # a busy machine is no outage
    async with (
        over(*servers[:3], **patient) as driver,
        over(*servers[:3], on_event=events.append, **patient) as follower,
    ):
        await fill(driver)
        grown = await while_reading(follower, driver.resize(addresses(*servers)))
        assert (grown.epoch, grown.undone) == (1, False)
        assert 0.15 < grown.share_moved < 0.35
        # Some were handed over as they were read, the others by the walk.
        handed = grown.handed_over + follower.ring().handed_over
        assert abs(handed / len(KEYS) - grown.share_moved) < 0.05
        # What each told of itself is a second old at the most, and all had a lease to tell it.
        assert (grown.handed_over_by_all, grown.reads_saved) == (handed, follower.ring().reads_saved)
        await until(lambda: follower.ring().phase is STEADY)
        assert follower.ring().epoch == driver.ring().epoch == 1
        assert await check(follower) == await check(driver) == {server.address for server in servers}
        monkeypatch.setattr(RingWalk, "_entries", few)
        left = await while_reading(follower, driver.resize(addresses(*servers[1:])))
        assert (left.epoch, left.undone) == (2, False)
        assert driver.ring().walked == driver.ring().to_walk == left.walked > 1
        await until(lambda: follower.ring().phase is STEADY)
        assert await check(follower) == {server.address for server in servers[1:]}
        weights = [replace(address, weight=1 + 2 * at) for at, address in enumerate(addresses(*servers[1:]))]
        await while_reading(follower, driver.resize(weights))
        await until(lambda: follower.ring().phase is STEADY)
        assert follower.node_names == tuple(server.address for server in servers[1:])
        await check(follower)
    told = [event.text for event in events if event.kind == "ring_change"]
    assert any(servers[3].address in text for text in told)
    assert sum("complete" in text for text in told) == 3


async def test_a_key_that_moves_twice_is_not_read_from_what_its_node_had_before(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(servers[0]) as cluster:
        await fill(cluster)
        await cluster.resize(addresses(*servers))
        moved = [key for key in KEYS if cluster.node_of(key) == servers[1].address]
        assert len(moved) > 100
        await cluster.delete_many(moved[:50])
        await cluster.set_many([SetItem(key, b"newer", 0, 600) for key in moved[50:]])
        await cluster.resize(addresses(servers[0]))
        assert not any(got.hit for got in await cluster.get_many(moved[:50]))
        assert {got.value for got in await cluster.get_many(moved[50:])} == {b"newer"}


async def test_another_list_or_placement_than_the_announced_one_is_refused(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers[:2]) as cluster:
        await cluster.resize(addresses(*servers))
        for options, others, words in (
            ({}, servers[:2], "another ring"),
            ({}, servers[1:], "another ring"),
            ({"placement": "rendezvous"}, servers, "placement"),
            ({"placement": "rendezvous", "follow": True}, servers, "placement"),
        ):
            with pytest.raises(RingMismatch, match=words):
                async with over(*others, **options):
                    pass
        weighted = [f"{servers[0].address}=2", *(server.address for server in servers[1:])]
        with pytest.raises(RingMismatch, match="another ring"):
            async with over(*weighted):
                pass
        async with over(*reversed(servers)) as same, over(servers[1], follow=True) as following:
            assert same.ring().epoch == following.ring().epoch == 1
            assert [same.node_of(key) for key in KEYS] == [cluster.node_of(key) for key in KEYS]
            assert [following.node_of(key) for key in KEYS] == [cluster.node_of(key) for key in KEYS]


async def test_of_two_changes_at_once_one_is_refused(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(servers[0]) as one, over(servers[0]) as other:
        results = await asyncio.gather(
            one.resize(addresses(*servers[:2])),
            other.resize(addresses(servers[0], servers[2])),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["ResizeResult", "RingBusy"]
        await until(lambda: one.ring().phase is other.ring().phase is STEADY)
        assert one.node_names == other.node_names
        first = asyncio.ensure_future(one.resize(addresses(servers[0])))
        await until(lambda: other.ring().phase is RingPhase.ANNOUNCED)
        with pytest.raises(RingBusy, match="under way"):
            await other.resize(addresses(*servers))
        assert not (await first).undone


@pytest.mark.parametrize("way", ["cancelled", "by another client"])
async def test_a_change_is_undone(memcached_factory: Any, over: Any, way: str) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(servers[0]) as cluster, over(servers[0]) as other:
        await fill(cluster)
        work = asyncio.ensure_future(cluster.resize(addresses(*servers), keys_per_s=100))
        await until(lambda: other.ring().phase is RingPhase.HANDING_OVER)
        if way == "cancelled":
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        else:
            await other.undo_resize()
            assert (await work).undone
        await until(lambda: cluster.ring().phase is other.ring().phase is STEADY)
        assert cluster.node_names == other.node_names == (servers[0].address,)
        assert await check(other) == {servers[0].address}


async def test_lists_that_cannot_be_are_refused(memcached_factory: Any, over: Any) -> None:
    server = memcached_factory()
    async with over(server) as cluster:
        for nodes, words in (
            ([], "at least one"),
            (addresses(server, server), "twice"),
            (addresses(server), "already"),
            ([parse_node(f"10.0.0.1:{port}") for port in range(1, 1_002)], "at most"),
        ):
            with pytest.raises(RingRefused, match=words):
                await cluster.resize(nodes)


async def test_a_node_that_does_not_answer_does_not_join(memcached_factory: Any, over: Any) -> None:
    server, gone = memcached_factory(), memcached_factory()
    gone.kill()
    async with over(server) as cluster:
        await fill(cluster)
        with pytest.raises(RingRefused, match="refused"):
            await cluster.resize(addresses(server, gone))
        assert cluster.node_names == (server.address,)
        await check(cluster)
