"""Alerts where only nodes are named: the dashboard judges them itself, over any application's keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from pymemcache.client.base import Client

from iotcache.alerts.node_rules import RATIO_EVERY_S
from iotcache.clock import ManualClock
from iotcache.cluster import Cluster
from iotcache.config.parts import without_idle_parts
from iotcache.config.schema import AlertRuleSettings, CacheSettings, Settings
from iotcache.config.urls import parse_node
from iotcache.model import NodeState
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.feed.node_alerts import NodeAlerts
from iotcache_tui.state.dashboard import DashboardState
from tests.conftest import Server

RULES = (
    AlertRuleSettings(name="gone", kind="node_down", for_s=1.0, severity="error"),
    AlertRuleSettings(name="cold", kind="hit_ratio", below=50.0),
    AlertRuleSettings(name="hot", kind="threshold", above=50.0),
)

pytestmark = pytest.mark.real("memcached")


def read_by_an_application(node: Server, key: str) -> None:
    client = Client(("127.0.0.1", node.port), timeout=5)
    client.set("there", b"x", noreply=False)
    for _ in range(200):
        client.get(key)
    client.close()


async def until_state(cluster: Cluster, name: str, state: NodeState) -> None:
    async with asyncio.timeout(20):
        while next(node.state for node in cluster.health() if node.name == name) is not state:
            await cluster.stats()
            await asyncio.sleep(0.05)


async def test_a_node_that_is_out_and_a_low_hit_ratio_are_alerts_without_any_store(
    memcached_factory: Callable[..., Server],
) -> None:
    nodes = [memcached_factory(), memcached_factory()]
    settings = CacheSettings(nodes=tuple(node.address for node in nodes))
    clock = ManualClock()
    alerts = NodeAlerts(RULES, clock)
    async with Cluster.from_settings(
        list(map(parse_node, settings.nodes)), settings, observe=True
    ) as cluster:

        async def standing(later_s: float) -> list[tuple[str, str]]:
            clock.advance(later_s)
            await alerts.look(cluster)
            return [(alert.name, alert.state.value) for alert in await alerts.active()]

        for node in nodes:
            await until_state(cluster, node.address, NodeState.UP)
        assert await standing(0.0) == []
        await asyncio.to_thread(read_by_an_application, nodes[0], "missing")
        assert await standing(RATIO_EVERY_S) == [("cold", "raised")]
        assert await alerts.acknowledge("cold", "cache", "ops", 1) is not None
        assert await standing(0.0) == [("cold", "acknowledged")]
        assert await alerts.acknowledge("cold", "elsewhere", "ops", 1) is None
        await asyncio.to_thread(read_by_an_application, nodes[0], "there")
        assert await standing(RATIO_EVERY_S) == []
        nodes[1].kill()
        await until_state(cluster, nodes[1].address, NodeState.DOWN)
        assert await standing(0.5) == []
        assert await standing(1.0) == [("gone", "raised")]
        (alert,) = await alerts.active()
        assert (alert.subject, alert.severity.value) == (nodes[1].address, "error")
        assert alert.text.startswith(f"{nodes[1].address} is down: ")
        nodes[1].start()
        await until_state(cluster, nodes[1].address, NodeState.UP)
        assert await standing(0.0) == []


def test_the_dashboard_shows_them(memcached: Server) -> None:
    rule = AlertRuleSettings(name="gone", kind="node_down", for_s=0.0, severity="error")
    settings = without_idle_parts(Settings(cache=CacheSettings(nodes=(memcached.address,)), alerts=(rule,)))
    memcached.kill()
    feed, state, deadline = LiveFeed(settings), DashboardState(), time.monotonic() + 20
    feed.start()
    try:
        while not state.alerts:
            assert time.monotonic() < deadline
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
            time.sleep(0.05)
    finally:
        feed.stop()
    assert [(one.name, one.subject) for one in state.alerts] == [("gone", memcached.address)]
    assert [event.kind for event in state.events if event.kind.startswith("alert")] == ["alert.raised"]
