"""Stampedes: one load for many readers, a bound on waiting for a dead winner, nothing old over new."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.cluster import Lease, SetItem
from iotcache.cluster.lease import fetch_many
from iotcache.model import MissReason

from .tools import keys_of, pause, resume

pytestmark = pytest.mark.real("memcached")


class Store:
    """A slow store that counts how often it is asked."""

    def __init__(self, *known: str, takes_s: float = 0.1) -> None:
        self.known = known
        self.takes_s = takes_s
        self.asked: list[str] = []

    async def load(self, keys: Sequence[str]) -> Mapping[str, SetItem]:
        self.asked.extend(keys)
        await asyncio.sleep(self.takes_s)
        return {key: SetItem(key, b"of " + key.encode(), 16, 60) for key in keys if key in self.known}


async def test_two_hundred_readers_of_one_missing_key_cause_one_load(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with (
        over(*servers, operation_timeout_s=2.0) as one,
        over(*servers, operation_timeout_s=2.0) as other,
    ):
        store = Store("hot")
        answers = await asyncio.gather(
            *(fetch_many(cluster, ["hot"], store.load) for cluster in (one, other) for _ in range(100))
        )
        assert store.asked == ["hot"]
        values = [fetched.item.value if fetched.item else fetched.got.value for (fetched,) in answers]
        assert values == [b"of hot"] * 200
        assert sum(fetched.stored for (fetched,) in answers) == 1


async def test_a_winner_that_dies_holds_the_others_up_for_a_bounded_time(memcached: Any, over: Any) -> None:
    async with over(memcached) as dying, over(memcached) as cluster:
        (won,) = await dying.lease_many(["k"], stub_s=2)
        assert won.lease is Lease.WON
        store = Store("k", takes_s=0.0)
        answers = await asyncio.gather(*(fetch_many(cluster, ["k"], store.load) for _ in range(50)))
        assert store.asked == ["k"]
        assert all((fetched.item or fetched.got).value == b"of k" for (fetched,) in answers)


async def test_patience_ends_before_the_stub_does(memcached: Any, over: Any) -> None:
    async with over(memcached) as dying, over(memcached) as cluster:
        await dying.lease_many(["k"], stub_s=30)
        store = Store("k", takes_s=0.0)
        (fetched,) = await fetch_many(cluster, ["k"], store.load, patience_s=0.2)
        assert fetched.item is not None and not fetched.stored
        assert fetched.waited_s >= 0.2


async def test_a_slow_loader_does_not_undo_a_newer_write(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        store = Store("k", takes_s=0.1)
        loading = asyncio.ensure_future(fetch_many(cluster, ["k"], store.load))
        await asyncio.sleep(0.03)
        await cluster.set_many([SetItem("k", b"newer", 0, 60)])
        (fetched,) = await loading
        assert fetched.item is not None and not fetched.stored
        assert (await cluster.get_many(["k"]))[0].value == b"newer"


async def test_a_key_nobody_knows_and_a_store_that_fails_give_the_lease_back(
    memcached: Any, over: Any
) -> None:
    async with over(memcached) as cluster:
        (fetched,) = await fetch_many(cluster, ["unknown"], Store().load)
        assert fetched.item is None and not fetched.got.hit

        async def fails(keys: Sequence[str]) -> Mapping[str, SetItem]:
            raise OSError("the store is away")

        with pytest.raises(OSError, match="away"):
            await fetch_many(cluster, ["k"], fails)
        assert Client(memcached.address).get_many(["unknown", "k"]) == {}


async def test_plain_reads_and_probes_take_a_held_place_for_what_it_is(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.lease_many(["k"], stub_s=30)
        (got,) = await cluster.get_many(["k"])
        assert not got.hit and got.failure is None


async def test_one_reader_refreshes_a_value_shortly_before_its_end(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("k", b"v", 0, 20)])
        first, second = [(await cluster.lease_many(["k"], recache_s=30))[0] for _ in range(2)]
        assert (first.hit, first.lease, first.value) == (True, Lease.WON, b"v")
        assert (second.hit, second.lease) == (True, Lease.HELD)
        assert (await cluster.cas_many([SetItem("k", b"w", 0, 90)], [first]))[0].ok
        (third,) = await cluster.lease_many(["k"], recache_s=30)
        assert (third.value, third.lease) == (b"w", None)


async def test_keys_of_a_node_that_is_out_are_loaded_without_a_lease(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        keys = keys_of(cluster, servers[0], 3)
        await pause(servers[0])
        store = Store(*keys, takes_s=0.0)
        answers = await fetch_many(cluster, keys, store.load)
        assert [fetched.item is not None for fetched in answers] == [True] * 3
        assert {fetched.got.failure for fetched in answers} == {MissReason.TIMEOUT}
        resume(servers[0])
