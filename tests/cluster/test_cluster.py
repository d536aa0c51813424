"""The cluster client against real memcached: what goes in comes out, and every key gets its own answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymemcache.client.base import Client

from iotcache.cluster import Mode, SetItem
from iotcache.config.schema import BreakerSettings
from iotcache.errors import KeyFormatError
from iotcache.model import MissReason, NodeState

from .test_protocol import HOSTILE
from .tools import keys_of, state_of

pytestmark = pytest.mark.real("memcached")


async def test_values_flags_and_lives_come_back_in_order(
    memcached_factory: Callable[..., Any], over: Any
) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as cluster:
        items = [SetItem(f"d{n}:t:latest", b"v%d" % n, n, 60 + n) for n in range(300)]
        assert all(outcome.ok for outcome in await cluster.set_many(items))
        keys = [item.key for item in items]
        got = await cluster.get_many([*keys, "nobody", *keys[:3]])
        assert [g.value for g in got[:300]] == [item.value for item in items]
        assert [g.flags for g in got[:300]] == list(range(300))
        assert all(abs(g.ttl_s - 60 - n) <= 1 for n, g in enumerate(got[:300]))
        assert [g.node for g in got[:300]] == [cluster.node_of(key) for key in keys]
        assert not got[300].hit and got[300].failure is None
        assert [g.value for g in got[301:]] == [b"v0", b"v1", b"v2"]
        assert len({g.node for g in got}) == 3
        assert await cluster.get_many([]) == []


@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_values_are_only_data(memcached: Any, over: Any, value: bytes) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("a", value, 0, 60), SetItem("b", b"after", 0, 60)])
        a, b = await cluster.get_many(["a", "b"])
        assert (a.value, b.value) == (value, b"after")
    assert Client(memcached.address).get("a") == value


async def test_a_value_too_large_fails_alone_and_removes_the_old_one(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("big", b"old", 0, 60)])
        outcomes = await cluster.set_many(
            [SetItem("a", b"1", 0, 60), SetItem("big", b"x" * 2_000_000, 0, 60), SetItem("c", b"3", 0, 60)]
        )
        assert [outcome.ok for outcome in outcomes] == [True, False, True]
        assert "too large" in outcomes[1].reason
        assert [got.hit for got in await cluster.get_many(["a", "big", "c"])] == [True, False, True]


async def test_large_values_and_large_batches_need_no_large_window(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory("-m", "256") for _ in range(2)]
    async with over(*servers, operation_timeout_s=3.0) as cluster:
        values = {f"big{n}": bytes([n]) * 900_000 for n in range(20)}
        values |= {f"small{n}": b"%d" % n for n in range(10_000)}
        outcomes = await cluster.set_many([SetItem(key, value, 0, 600) for key, value in values.items()])
        assert all(outcome.ok for outcome in outcomes)
        got = await cluster.get_many(list(values))
        assert [g.value for g in got] == list(values.values())


async def test_many_callers_share_one_connection_without_mixing_answers(memcached: Any, over: Any) -> None:
    async with over(memcached, operation_timeout_s=3.0) as cluster:
        await cluster.set_many([SetItem(f"k{n}", b"%d" % n, 0, 60) for n in range(50)])

        async def caller(n: int) -> bool:
            wanted = [f"k{(n + step) % 50}" for step in range(7)]
            got = await cluster.get_many(wanted)
            return [g.value for g in got] == [b"%d" % ((n + step) % 50) for step in range(7)]

        assert all(await asyncio.gather(*(caller(n) for n in range(1_000))))


async def test_add_leaves_what_is_there(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        first, second = [
            (await cluster.set_many([SetItem("k", value, 0, 60, Mode.ADD)]))[0] for value in (b"new", b"old")
        ]
        assert first.ok and not second.ok and "there already" in second.reason
        assert (await cluster.get_many(["k"]))[0].value == b"new"


async def test_delete_and_touch_say_what_they_found(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("k", b"v", 0, 60)])
        there, absent = await cluster.touch_many(["k", "x"], 500)
        assert there.ok and not absent.ok
        assert (await cluster.get_many(["k"]))[0].ttl_s > 400
        there, absent = await cluster.delete_many(["k", "x"])
        assert (there.ok, there.reason) == (True, "")
        assert absent.ok and absent.reason


async def test_a_life_above_thirty_days_is_not_read_as_a_date(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("cfg", b"v", 0, 40 * 86_400)])
        (got,) = await cluster.get_many(["cfg"])
        assert abs(got.ttl_s - 40 * 86_400) < 5


async def test_wrong_keys_and_lives_are_refused_before_anything_is_sent(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        for wrong in ("a b", "a\r\nflush_all", "x" * 251, ""):
            with pytest.raises(KeyFormatError):
                await cluster.get_many(["fine", wrong])
            with pytest.raises(KeyFormatError):
                await cluster.set_many([SetItem("fine", b"", 0, 1), SetItem(wrong, b"", 0, 1)])
        for ttl_s in (0, -1, 0.5, True, 10**9):  # 0.5 would be stored for ever, 10**9 be gone at once
            with pytest.raises(ValueError, match="whole number"):
                await cluster.set_many([SetItem("fine", b"", 0, ttl_s)])  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="whole number"):
                await cluster.touch_many(["fine"], ttl_s)
        assert not (await cluster.get_many(["fine"]))[0].hit


async def test_a_probe_disturbs_nothing(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        await cluster.set_many([SetItem("k", b"v", 0, 90)])
        before = (await cluster.stats())[memcached.address]
        present, absent = await cluster.probe_many(["k", "x"])
        after = (await cluster.stats())[memcached.address]
        assert present.present and 88 <= present.ttl_s <= 90 and not present.fetched and present.size > 0
        assert not absent.present and absent.failure is None
        for counter in ("get_hits", "get_misses", "cmd_get", "touch_hits"):
            assert before[counter] == after[counter]


async def test_stats_are_given_raw_per_node(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with over(*servers) as cluster:
        found = await cluster.stats()
        assert list(found) == [server.address for server in servers]
        assert [int(found[server.address]["pid"]) for server in servers] == [server.pid for server in servers]
        assert "maxbytes" in (await cluster.stats("settings"))[servers[0].address]


async def test_health_names_the_version(memcached: Any, over: Any) -> None:
    async with over(memcached) as cluster:
        (health,) = cluster.health()
        assert health.state is NodeState.UP
        assert health.version.startswith("1.") and not health.bundled


async def test_a_node_that_is_down_at_the_start_does_not_stop_the_start(memcached: Any, over: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
        async with over(memcached, dead) as cluster:
            assert next(node.state for node in cluster.health()) is NodeState.UP
            assert cluster.health()[1].state in (NodeState.DOWN, NodeState.PROBING)
            assert "refused" in cluster.health()[1].reason


async def test_with_no_node_up_every_answer_says_so(over: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with over(f"127.0.0.1:{taken.getsockname()[1]}") as cluster:
            (got,) = await cluster.get_many(["k"])
            assert not got.hit and got.failure is MissReason.NODE_DOWN
            for outcomes in (
                await cluster.set_many([SetItem("k", b"", 0, 1)]),
                await cluster.delete_many(["k"]),
            ):
                assert not outcomes[0].ok and outcomes[0].reason
            assert (await cluster.probe_many(["k"]))[0].failure is MissReason.NODE_DOWN
            assert await cluster.stats() == {}


@asynccontextmanager
async def scripted(answers: list[bytes]) -> AsyncIterator[str]:
    """The address of a server that greets like memcached, answers gets with the next bytes, then hangs up."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"version\r\n":
                writer.write(b"VERSION 1.6.38\r\n")
            elif line == b"stats\r\n":
                writer.write(b"STAT pid 1\r\nSTAT uptime 5\r\nEND\r\n")
            elif line.startswith(b"me iotcache:"):
                writer.write(b"EN\r\n")
            elif line.startswith(b"mg d"):
                writer.write(left.pop(0) if left else b"")
                if not left:
                    break
            elif line == b"mn\r\n":
                writer.write(b"MN\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        # Not waited for: since Python 3.12 that is until each connection has ended, and one that was reset
        # may never do so.
        server.close()


@pytest.mark.parametrize(
    ("answers", "failure"),
    [
        ([b"VA 1 t5 f0\r\na\r\n", b"VA 100 t5 f0\r\nonly so"], MissReason.NODE_DOWN),  # cut in mid-value
        ([b"VA 1 t5 f0\r\na\r\n", b"VB what\r\n"], MissReason.CORRUPT),
        ([b"VA 1 t5 f0\r\na\r\n", b"SERVER_ERROR out of memory\r\n"], MissReason.NODE_DOWN),
    ],
)
async def test_nothing_of_a_batch_is_given_out_before_its_barrier_has_proven_the_count(
    over: Any, answers: list[bytes], failure: MissReason
) -> None:
    breaker = BreakerSettings(open_min_s=0.01, open_max_s=0.02)
    async with scripted(answers) as address, over(address, breaker=breaker) as cluster:
        first, second = await cluster.get_many(["d1", "d2"])
        assert (first.hit, second.hit) == (False, False)
        assert second.failure is failure


async def test_keys_are_found_where_the_cluster_says(memcached_factory: Any, over: Any) -> None:
    servers = [memcached_factory() for _ in range(3)]
    async with over(*servers) as cluster:
        for server in servers:
            assert state_of(cluster, server) is NodeState.UP
            (key,) = keys_of(cluster, server, 1)
            await cluster.set_many([SetItem(key, b"here", 0, 60)])
            assert Client(server.address).get(key) == b"here"


@pytest.mark.parametrize("up", [True, False])
async def test_closing_leaves_no_task_behind(memcached: Any, over: Any, up: bool) -> None:
    before = asyncio.all_tasks()
    if not up:
        memcached.kill()
    async with over(memcached) as cluster:
        await cluster.get_many(["k"])
        assert state_of(cluster, memcached) is (NodeState.UP if up else NodeState.DOWN)
    assert asyncio.all_tasks() == before


async def test_a_node_without_room_refuses_single_keys_and_goes_on(memcached_factory: Any, over: Any) -> None:
    server = memcached_factory("-M", "-m", "2")  # -M: refuse rather than evict
    async with over(server, operation_timeout_s=2.0) as cluster:
        items = [SetItem(f"k{n}", b"x" * 10_000, 0, 60) for n in range(600)]
        outcomes = await cluster.set_many(items)
        refused = [at for at, outcome in enumerate(outcomes) if not outcome.ok]
        assert 0 < len(refused) < 600
        assert {outcomes[at].reason for at in refused} == {"SERVER_ERROR out of memory storing object"}
        got = await cluster.get_many([item.key for item in items])
        assert [answer.hit for answer in got] == [outcome.ok for outcome in outcomes]
        await cluster.delete_many([item.key for item in items])
        assert (await cluster.set_many(items[:1]))[0].ok
        assert cluster.telemetry()[server.address].errors == {}
