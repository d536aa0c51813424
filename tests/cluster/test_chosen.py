"""One of several processes, chosen by a key in the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from iotcache.clock import ManualClock
from iotcache.cluster import Cluster
from iotcache.cluster.leader import RENEW_S, LeaderLock
from iotcache.config.urls import parse_node
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")


@pytest.fixture
async def cluster(memcached: Server) -> AsyncIterator[Cluster]:
    async with Cluster([parse_node(memcached.address)], operation_timeout_s=0.25) as made:
        yield made


def candidates(cluster: Cluster, clock: ManualClock) -> tuple[LeaderLock, LeaderLock]:
    one, other = (LeaderLock(cluster, "lock:x", name, clock=clock) for name in ("one", "other"))
    return one, other


async def test_the_first_is_chosen_stays_so_and_is_followed_when_it_leaves(cluster: Cluster) -> None:
    clock = ManualClock()
    one, other = candidates(cluster, clock)
    for _ in range(3):
        assert await one.hold()
        assert not await other.hold()
        clock.advance(RENEW_S)
    await other.give_up()
    assert await one.hold(), "only who holds it gives it up"
    await one.give_up()
    clock.advance(RENEW_S)
    assert await other.hold()
    assert not await one.hold()


async def test_one_that_died_is_followed_after_its_term(cluster: Cluster) -> None:
    clock = ManualClock()
    one, other = candidates(cluster, clock)
    assert await one.hold()
    await cluster.delete_many(["lock:x"])  # as its term's end does
    clock.advance(RENEW_S)
    assert await other.hold()
    assert not await one.hold()


async def test_while_the_cache_cannot_say_everybody_is(cluster: Cluster, memcached: Server) -> None:
    clock = ManualClock()
    one, other = candidates(cluster, clock)
    assert await one.hold()
    memcached.kill()
    clock.advance(RENEW_S)
    assert await one.hold()
    assert await other.hold()
