"""No stale value after a node returns: hung and resumed, killed and restarted, with other writers about."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.clock import SystemClock
from iotcache.cluster import Cluster, Mode, SetItem
from iotcache.cluster.outage import marker_key
from iotcache.model import MissReason, NodeState

from .tools import keys_of, pause, resume, state_of, until

pytestmark = pytest.mark.real("memcached")


async def write(cluster: Cluster, keys: list[str], value: bytes) -> None:
    outcomes = await cluster.set_many([SetItem(key, value, 0, 600) for key in keys])
    assert all(outcome.ok for outcome in outcomes), outcomes


async def test_what_was_written_while_a_node_hung_is_never_read_from_it(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as cluster:
        keys = keys_of(cluster, servers[0], 50)
        await write(cluster, keys, b"old")
        await pause(servers[0])
        await write(cluster, keys, b"new")
        got = await cluster.get_many(keys)
        assert all(g.value == b"new" and g.node != servers[0].address and g.ttl_s <= 10 for g in got)
        resume(servers[0])
        while state_of(cluster, servers[0]) is not NodeState.UP:
            assert {g.value for g in await cluster.get_many(keys)} <= {b"new", b""}
            await asyncio.sleep(0.01)
        assert {g.value for g in await cluster.get_many(keys)} <= {b"new", b""}
        # A reader that knows nothing of fences does not find the old values either.
        assert not Client(servers[0].address).get_many(keys)
        await write(cluster, keys, b"newer")
        got = await cluster.get_many(keys)
        assert all(g.value == b"newer" and g.node == servers[0].address for g in got)


async def test_values_deleted_while_a_node_hung_do_not_come_back(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        keys = keys_of(cluster, servers[0], 5)
        await write(cluster, keys, b"old")
        await pause(servers[0])
        assert all(outcome.ok for outcome in await cluster.delete_many(keys))
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        assert not any(g.hit for g in await cluster.get_many(keys))


async def test_a_set_that_lay_unread_in_the_hung_node_does_not_undo_a_newer_one(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        keys = keys_of(cluster, servers[0], 3)
        await pause(servers[0])
        # This lies in the node's socket, times out there, and is confirmed by the stand-in.
        await write(cluster, keys, b"first")
        await write(cluster, keys, b"second")
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        for _ in range(20):
            assert {g.value for g in await cluster.get_many(keys)} <= {b"second", b""}
            await asyncio.sleep(0.005)


async def test_a_second_outage_does_not_show_the_stand_ins_values_of_the_first(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers, failover_ttl_s=60) as cluster:
        keys = keys_of(cluster, servers[0], 5)
        await pause(servers[0])
        await write(cluster, keys, b"during the first")
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        await write(cluster, keys, b"between")
        await pause(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is not NodeState.UP)
        for _ in range(3):
            got = await cluster.get_many(keys)
            assert all(not g.hit and g.failure is MissReason.NODE_DOWN for g in got)
            await cluster.set_many([SetItem(key, b"added", 0, 60, Mode.ADD) for key in keys])
            await asyncio.sleep(0.3)
            if all(g.value == b"added" for g in await cluster.get_many(keys)):
                break
        assert {g.value for g in await cluster.get_many(keys)} == {b"added"}
        resume(servers[0])


async def test_a_client_that_never_noticed_the_outage_reads_nothing_old_though_the_writer_is_gone(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers, operation_timeout_s=9.0) as reader:
        async with over(*servers) as writer:
            keys = keys_of(writer, servers[0], 5)
            await write(writer, keys, b"old")
            assert {g.value for g in await reader.get_many(keys)} == {b"old"}
            await pause(servers[0])
            await until(lambda: state_of(writer, servers[0]) is not NodeState.UP)
            await write(writer, keys, b"new")  # confirmed: from now on nobody may read the old ones
        # The writer has ended without putting anything right, and the reader's patience is far from over.
        resume(servers[0])
        seen = {g.value for _ in range(20) for g in await reader.get_many(keys)}
        while state_of(reader, servers[0]) is not NodeState.UP:
            seen |= {g.value for g in await reader.get_many(keys)}
            await asyncio.sleep(0.001)
        assert seen | {g.value for g in await reader.get_many(keys)} <= {b"new", b""}


async def test_a_client_that_starts_after_the_outage_finds_the_fence(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as writer:
        journalled = keys_of(writer, servers[0], 2)
        await write(writer, journalled, b"old")
        # Set behind the client's back, so that no journal knows of it: only the fence keeps it away.
        for key in journalled:
            Client(servers[0].address).set("x" + key, b"old", noreply=False)
        await pause(servers[0])
        await write(writer, journalled, b"new")
        resume(servers[0])
        await until(lambda: state_of(writer, servers[0]) is NodeState.UP)
        async with over(*servers) as late:
            theirs = [
                key for key in ("x" + key for key in journalled) if late.node_of(key) == servers[0].address
            ]
            for cluster in (writer, late):
                assert not any(g.hit for g in await cluster.get_many(theirs))
                assert not any(probe.present for probe in await cluster.probe_many(theirs))
                # An addition in place of what does not count any more is taken.
            outcomes = await late.set_many([SetItem(key, b"fresh", 0, 60, Mode.ADD) for key in theirs])
            assert all(outcome.ok for outcome in outcomes)
            assert all(g.value == b"fresh" for g in await writer.get_many(theirs))


async def test_a_node_stays_out_while_another_client_cannot_reach_it(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        mark = marker_key(servers[0].address).decode()
        other = Client(servers[1].address)
        other.set(mark, b"1", expire=2, noreply=False)
        await until(lambda: state_of(cluster, servers[0]) is not NodeState.UP)
        assert "another client" in cluster.health()[0].reason
        assert state_of(cluster, servers[1]) is NodeState.UP
        # Its author is gone and touches it no more: it runs out.
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        assert other.get(mark) is None


async def test_killed_and_restarted_on_its_port_a_node_holds_nothing_stale(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        keys = keys_of(cluster, servers[0], 20)
        for round_number in range(2):
            await write(cluster, keys, b"old %d" % round_number)
            servers[0].kill()
            await until(lambda: state_of(cluster, servers[0]) is not NodeState.UP)
            await write(cluster, keys, b"new %d" % round_number)
            servers[0].start()
            while state_of(cluster, servers[0]) is not NodeState.UP:
                assert {g.value for g in await cluster.get_many(keys)} <= {b"new %d" % round_number, b""}
                await asyncio.sleep(0.01)
            assert {g.value for g in await cluster.get_many(keys)} <= {b"new %d" % round_number, b""}
            await write(cluster, keys, b"after")
            assert {g.value for g in await cluster.get_many(keys)} == {b"after"}


class SkippingClock(SystemClock):
    """A clock on which a test lets time pass at once."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_only_another_process_is_told_to_be_empty_however_long_a_node_hung(
    memcached_factory: Any, over: Any
) -> None:
    servers = [memcached_factory() for _ in range(2)]
    clock, told = SkippingClock(), list[str]()
    async with over(*servers, clock=clock, on_event=lambda event: told.append(event.text)) as cluster:
        await until(lambda: all(state_of(cluster, server) is NodeState.UP for server in servers))
        await pause(servers[0])
        await cluster.get_many(keys_of(cluster, servers[0], 3))
        await until(lambda: state_of(cluster, servers[0]) is not NodeState.UP)
        clock.ahead_s = 60.0
        resume(servers[0])
        await until(lambda: state_of(cluster, servers[0]) is NodeState.UP)
        assert told[-1] == f"{servers[0].address} is up again"
        servers[1].kill()
        await cluster.get_many(keys_of(cluster, servers[1], 3))
        await until(lambda: state_of(cluster, servers[1]) is not NodeState.UP)
        servers[1].start()
        await until(lambda: state_of(cluster, servers[1]) is NodeState.UP)
        assert told[-1] == f"{servers[1].address} is up again, restarted and empty"


async def test_a_node_that_restarts_with_its_entries_is_told_apart_from_an_empty_one(
    memcached_factory: Any, over: Any
) -> None:
    """memcached's ``-e``: SIGUSR1 saves, and the next process goes on with what the last one had."""
    told = list[str]()
    with tempfile.TemporaryDirectory(prefix="iotcache-warm-") as name:
        Path(name).chmod(0o777)  # the server may run as somebody else
        server = memcached_factory("-e", f"{name}/items")
        async with over(server, on_event=lambda event: told.append(event.text)) as cluster:
            await write(cluster, ["kept"], b"as before")
            server.signal(signal.SIGUSR1)
            await asyncio.to_thread(server.process.wait, 10)
            stopped_s = time.time()
            await cluster.get_many(["kept"])
            await until(lambda: state_of(cluster, server) is not NodeState.UP)
            # memcached takes nothing over that was saved within the same second.
            await until(lambda: time.time() > stopped_s + 1.1)
            server.start()
            await until(lambda: state_of(cluster, server) is NodeState.UP)
            assert told[-1] == f"{server.address} is up again, restarted with its entries"
            (got,) = await cluster.get_many(["kept"])
            assert got.value == b"as before"


async def test_a_write_that_one_of_three_nodes_refused_is_refused_whichever_answers_last(
    memcached_factory: Any, over: Any
) -> None:
    """Two nodes have just come back, so that their keys go to a third as well: each of the three counts."""
    servers = [
        memcached_factory(),
        memcached_factory("-I", "8k", "-o", "slab_chunk_max=4"),
        memcached_factory(),
    ]
    async with over(*servers, operation_timeout_s=5.0) as cluster:
        late, refuses, last = range(3)
        ring, router, fences = cluster._rings.read, cluster._router, cluster._fences
        keys = (f"dev:{number:05d}:latest" for number in range(1_000))
        key = next(each for each in keys if tuple(ring.order(each)) == (late, refuses, last))
        fences._settling.update(dict.fromkeys((late, refuses), fences.monotonic() + 60))
        router.changed()
        await pause(servers[late])
        writing = asyncio.create_task(cluster.set_many([SetItem(key, b"x" * 20_000, 0, 60)]))
        await until(lambda: Client(servers[last].address).get(key) is not None)
        await until(lambda: not router.nodes[refuses].telemetry().in_flight)
        resume(servers[late])
        (outcome,) = await writing
        assert not outcome.ok
        assert outcome.node == servers[refuses].address
        assert "too large" in outcome.reason
