"""The feed's looks at the nodes, and acts on them, against real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from iotcache.clock import SYSTEM_CLOCK
from iotcache.cluster import Cluster, SetItem
from iotcache.config.schema import BreakerSettings, CacheSettings, Settings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError, UsageError
from iotcache.model import NodeState
from iotcache_tui.feed.answers.nodes import act, watch
from iotcache_tui.feed.answers.ring import resize, undo
from iotcache_tui.feed.node_stats import NodeReadTotals, NodeStatsPoller
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.nodes.admin import admin_command
from iotcache_tui.state.nodes.model import ActOnNode, NodeAct, NodeFigures, WatchNodes, explain_gap
from iotcache_tui.state.nodes.ring import Foretold, ResizeProgress, ResizeRing, UndoResize
from iotcache_tui.state.updates import Mailbox
from tests.cluster.tools import pause, resume, until


@asynccontextmanager
async def watching(*servers: Any, timeout_s: float = 0.25) -> AsyncIterator[SimpleNamespace]:
    addresses = [parse_node(server.address) for server in servers]
    mailbox, state = Mailbox(), DashboardState()
    readers: dict[str, NodeReadTotals] = {}
    breaker = BreakerSettings(failures=3, open_min_s=0.05, open_max_s=0.2)
    async with Cluster(addresses, breaker=breaker, operation_timeout_s=timeout_s) as cluster:
        node_watch = NodeStatsPoller(
            cluster, addresses, placement="ketama", mailbox=mailbox, clock=SYSTEM_CLOCK, readers=readers
        )
        context = SimpleNamespace(cache=SimpleNamespace(cluster=cluster), node_stats=node_watch)
        yield SimpleNamespace(
            cluster=cluster, watch=node_watch, mailbox=mailbox, state=state, readers=readers,
            context=cast(RequestContext, context),
        )  # fmt: skip


def figures(it: SimpleNamespace, server: Any) -> NodeFigures:
    it.state.apply(it.mailbox.drain())
    node: NodeFigures = next(node for node in it.state.node_figures.nodes if node.name == server.address)
    return node


@pytest.mark.real("memcached")
async def test_a_look_has_the_nodes_own_figures_and_ours_and_two_make_rates(memcached: Any) -> None:
    async with watching(memcached) as it:
        await it.watch.poll(memcached.address)
        first = figures(it, memcached)
        assert first.answered and first.ops_per_s is None and first.share == 1.0
        assert first.limit_bytes == 64 << 20 and first.tuning is not None and first.tuning.segmented
        totals = it.readers[memcached.address] = NodeReadTotals()
        totals.reads, totals.hits, totals.unreached = 40, 30, 2
        await it.cluster.set_many([SetItem(f"k{n}", b"x" * 200, 0, 60) for n in range(50)])
        await it.cluster.get_many([f"k{n}" for n in range(100)])
        await it.watch.poll(memcached.address)
        second = figures(it, memcached)
        assert second.items == 50 and second.used_bytes > 50 * 200
        assert second.hit_percent == second.hit_now == 50.0 and second.gets_per_s and second.unreached_per_s
        assert second.gets_per_s > 0 and second.ops_per_s == pytest.approx(second.gets_per_s * 1.5)
        assert second.read_hit_percent == 75.0 and second.unreached_per_s > 0
        assert second.p50_ms is not None and 0 < second.p50_ms <= (second.p99_ms or 0)
        (slab,) = [slab for slab in second.slabs if slab.items]
        assert slab.items == 50 == slab.hot + slab.warm + slab.cold + slab.temp
        assert 50 * slab.chunk_bytes == slab.used_bytes < slab.held_bytes
        hits = it.state.node_history.hits(memcached.address, second.at_s, 150)
        assert [value for value in hits if value is not None] == [50.0]


@pytest.mark.real("memcached")
async def test_a_hanging_node_holds_no_other_up(memcached_factory: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with watching(*servers, timeout_s=3_600.0) as it:
        await pause(servers[0])
        task = asyncio.create_task(it.watch.run())
        with it.watch.wanted():
            # Longer than any test may last: nobody waits for the time-out of the node that hangs.
            while it.state.node_figures is None or not figures(it, servers[1]).answered:
                it.state.apply(it.mailbox.drain())
                await asyncio.sleep(0.01)
            assert not figures(it, servers[0]).answered
        task.cancel()
        resume(servers[0])


@pytest.mark.real("memcached")
async def test_nodes_are_asked_for_little_until_somebody_wants_to_know_more(memcached: Any) -> None:
    async with watching(memcached) as it:
        task = asyncio.create_task(it.watch.run())
        await it.cluster.set_many([SetItem("k", b"x", 0, 60)])
        while it.state.node_figures is None or not figures(it, memcached).answered:
            it.state.apply(it.mailbox.drain())
            await asyncio.sleep(0.01)
        # The general figures are known, so that their history has no hole; nothing else was asked for.
        assert figures(it, memcached).limit_bytes == 64 << 20
        assert not figures(it, memcached).slabs
        asked = asyncio.create_task(watch(WatchNodes(), it.context))
        while not figures(it, memcached).slabs:
            await asyncio.sleep(0.01)
        for each in (asked, task):
            each.cancel()
        await asyncio.gather(asked, task, return_exceptions=True)
        assert not it.watch.is_wanted


async def done(it: SimpleNamespace, name: str, what: NodeAct, *values: float | str) -> list[str]:
    return [await act(ActOnNode(name, what, values), it.context)]


@pytest.mark.real("memcached")
async def test_acts_reach_the_node_and_its_answer_comes_back(memcached: Any) -> None:
    async with watching(memcached) as it:
        name = memcached.address
        assert await done(it, name, NodeAct.MEMORY, 32) == ["OK"]
        assert figures(it, memcached).limit_bytes == 32 << 20
        assert await done(it, name, NodeAct.LRU_TUNE, 30, 30, 0.5, 1.5) == ["OK"]
        assert await done(it, name, NodeAct.TEMP_TTL, 61) == ["OK"]
        assert await done(it, name, NodeAct.LRU_MODE, "flat") == ["OK"]
        assert await done(it, name, NodeAct.VERBOSITY, 0) == ["OK"]
        tuning = figures(it, memcached).tuning
        assert tuning is not None
        assert (tuning.hot_percent, tuning.temp_ttl_s, tuning.segmented) == (30, 61, False)
        assert await done(it, name, NodeAct.FLUSH) == ["OK"]
        await done(it, name, NodeAct.DRAIN)
        assert it.cluster.health()[0].drained
        with pytest.raises(NodeError):
            await done(it, name, NodeAct.FLUSH)
        await it.watch.poll(name)
        assert not figures(it, memcached).answered
        await done(it, name, NodeAct.REJOIN)
        await until(lambda: it.cluster.health()[0].state is NodeState.UP)


@pytest.mark.parametrize(
    ("what", "values"),
    [
        (NodeAct.MEMORY, ("x",)),
        (NodeAct.MEMORY, (float("nan"),)),
        (NodeAct.MEMORY, ()),
        (NodeAct.LRU_TUNE, (10, 10)),
        (NodeAct.FLUSH, ("x\r\nshutdown",)),
        (NodeAct.LRU_MODE, ("x\r\nshutdown",)),
        (NodeAct.DRAIN, ()),
    ],
)
def test_values_that_do_not_fit_an_act_are_refused_in_words(what: NodeAct, values: Any) -> None:
    with pytest.raises(UsageError):
        admin_command(what, values)


def seen(**changes: float) -> NodeFigures:
    base = NodeFigures(
        name="n", at_s=0.0, hit_percent=90.0, read_hit_percent=90.0, gets_per_s=100.0, reads_per_s=100.0
    )
    return structs.replace(base, **changes)


def test_the_gap_between_the_two_hit_ratios_is_explained() -> None:
    assert list(explain_gap(seen())) == []
    assert "never reached" in explain_gap(seen(unreached_per_s=3.0, read_hit_percent=80.0))[0]
    assert (
        "300 of its 400 gets/s are other clients'" in explain_gap(seen(gets_per_s=400.0, hit_percent=50.0))[0]
    )
    assert "refuse" in explain_gap(seen(hit_percent=99.0))[0]
    assert "writers" in explain_gap(seen(hit_percent=70.0))[0]
    assert list(explain_gap(NodeFigures(name="n", at_s=0.0))) == []


@pytest.mark.real("memcached")
async def test_the_ring_is_changed_from_the_screen_and_its_nodes_come_and_go(memcached_factory: Any) -> None:
    servers = [memcached_factory() for _ in range(2)]
    async with watching(servers[0]) as it:
        it.context.settings = Settings(cache=CacheSettings(nodes=(servers[0].address,)))
        it.context.mailbox = it.mailbox
        looking = asyncio.create_task(it.watch.run())

        def names() -> list[str]:
            it.state.apply(it.mailbox.drain())
            return [node.name for node in it.state.node_figures.nodes] if it.state.node_figures else []

        with it.watch.wanted():
            request = ResizeRing(tuple(server.address for server in servers), Foretold(0.5, 9, 3.0))
            *progress, outcome = [answer async for answer in resize(request, it.context)]
            assert all(isinstance(answer, ResizeProgress) for answer in progress)
            assert "% foretold) in" in str(outcome)
            await until(lambda: names() == [server.address for server in servers])
            await until(lambda: it.state.apply(it.mailbox.drain()) or it.state.node_figures.ring.epoch == 1)
            back = ResizeRing((servers[1].address,), Foretold(0.5, 9, 3.0))
            async for _ in resize(back, it.context):
                pass
            await until(lambda: names() == [servers[1].address])
            assert await undo(UndoResize(), it.context) == "no change of the ring is under way"
            with pytest.raises(NodeError, match="does not answer: start it first"):
                async for _ in resize(
                    ResizeRing(("127.0.0.1:1", servers[1].address), Foretold(0, 0, 0)), it.context
                ):
                    pass
        looking.cancel()
        await asyncio.wait((looking,))
