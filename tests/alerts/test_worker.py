"""Alerts of a real worker: from a published reading to the store, the retained topic and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.alerts.acknowledge import acknowledge
from iotcache.config.schema import AlertRuleSettings, Settings
from iotcache.errors import UsageError
from iotcache.model.alerts import Alert, AlertState, decode_alert
from iotcache.mqtt import MqttLink
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest.conftest import link, settings_for, until, worker

__all__ = ["link", "settings_for", "worker"]

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto")]
Make = Callable[..., Any]
HOT = AlertRuleSettings(name="hot", kind="threshold", sensor="t", above=8.0)
DOWN = AlertRuleSettings(name="down", kind="node_down", severity="error")


class Board:
    """What a dashboard hears on the alert topics."""

    def __init__(self, heard: MqttLink) -> None:
        self._link = heard
        self.said: list[tuple[str, Alert | None]] = []
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            messages = await self._link.batch(100, 0.01)
            self.said += [
                (one.topic.removeprefix("iotcache/alerts/"), decode_alert(one.payload)) for one in messages
            ]
            self._link.ack(messages)

    def states(self, topic: str) -> list[AlertState | None]:
        return [alert.state if alert else None for name, alert in self.said if name == topic]


@pytest.fixture
async def board(mosquitto: Server, link: Make) -> AsyncIterator[Make]:
    tasks = []

    async def make(name: str) -> Board:
        made = Board(await link(mosquitto.port, name, subscriptions=[("iotcache/alerts/#", 1)]))
        tasks.append(made.task)
        return made

    yield make
    for task in tasks:
        task.cancel()


def ruled(settings: Settings, *rules: AlertRuleSettings) -> Settings:
    return replace(settings, alerts=rules)


async def said(sender: MqttLink, device: str, value: float, n: int) -> None:
    body = json.dumps({"value": value, "ts": 1_795_348_800 + n, "seq": n, "boot": "b"})
    await sender.publish(f"iot/north/{device}/t", body.encode())


def quick(made: Ingest) -> None:
    assert made.alerts is not None
    made.alerts.tick_s = 0.1


async def test_raised_published_acknowledged_and_cleared(
    mosquitto: Server, memcached: Server, *, settings_for: Make, worker: Make, link: Make, board: Make
) -> None:
    made = await worker(ruled(settings_for(mosquitto.port, [memcached]), HOT))
    quick(made)
    seen = await board("board")
    sender = await link(mosquitto.port, "sender")
    store = made.cache.store
    await said(sender, "dev b", 9.5, 1)
    await until(lambda: seen.states("hot/dev%2520b:t"))
    (topic, alert) = seen.said[-1]
    assert (alert.name, alert.subject, alert.value, alert.site) == ("hot", "dev%20b:t", 9.5, "north")
    assert alert.text == "dev%20b:t is at 9.5, above 8"
    assert list(await store.alerts.active()) == [alert]

    late = await board("late")
    await until(lambda: late.said == [(topic, alert)])  # retained

    known = await acknowledge(store, "hot", "dev%20b:t", by="eva\x1b")
    assert (known.state, known.acknowledged_by) == (AlertState.ACKNOWLEDGED, "eva\\x1b")
    await until(lambda: seen.states(topic)[-1] is AlertState.ACKNOWLEDGED)

    await said(sender, "dev b", 3.0, 2)
    await until(lambda: seen.states(topic)[-2:] == [AlertState.CLEARED, None])
    assert await store.alerts.active() == []
    (past,) = await store.alerts.cleared()
    assert (past.since_us, past.acknowledged_by, past.value) == (alert.since_us, "eva\\x1b", 3.0)
    with pytest.raises(UsageError, match="stands"):
        await acknowledge(store, "hot", "dev%20b:t")
    stats = made.stats()
    assert (stats.alerts_raised, stats.alerts_standing) == (1, 0)


async def test_a_worker_that_starts_again_clears_what_stood_and_what_has_no_rule_any_more(
    mosquitto: Server, memcached: Server, *, settings_for: Make, worker: Make, link: Make, board: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached])
    seen = await board("board")
    sender = await link(mosquitto.port, "sender")
    other = replace(HOT, name="other")
    async with Ingest(ruled(settings, HOT, other), instance="first") as first:
        await asyncio.wait_for(first.ready(), 10)
        quick(first)
        await said(sender, "d1", 9.0, 1)
        await until(lambda: first.alerts is not None and first.alerts.standing == 2)
    made = await worker(ruled(settings, HOT), instance="first")
    quick(made)
    await until(lambda: seen.states("other/d1:t")[-1:] == [None])
    assert made.alerts.standing == 1
    await said(sender, "d1", 1.0, 2)
    await until(lambda: seen.states("hot/d1:t")[-1:] == [None])
    assert sorted(one.text for one in await made.cache.store.alerts.cleared()) == [
        "d1:t is at 1, no longer above 8", "there is no such rule any more"
    ]  # fmt: skip


async def test_of_two_workers_one_tells_and_a_node_down_is_told_once(
    mosquitto: Server, memcached_factory: Make, *, settings_for: Make, worker: Make, link: Make, board: Make
) -> None:
    nodes = [memcached_factory(), memcached_factory()]
    settings = ruled(settings_for(mosquitto.port, nodes, group="g"), HOT, DOWN)
    both = [await worker(settings, instance=name) for name in ("one", "two")]
    for made in both:
        quick(made)
    seen = await board("board")
    sender = await link(mosquitto.port, "sender")
    nodes[1].kill()
    name = f"down/{nodes[1].address}"
    for n in range(1, 41):  # dealt out among the two
        await said(sender, "d1", 9.0, n)
    await until(lambda: seen.states("hot/d1:t") and seen.states(name))
    assert min(made.counters.readings for made in both) > 0
    for n in range(41, 61):
        await said(sender, "d1", 1.0, n)
    nodes[1].start()
    await until(lambda: seen.states("hot/d1:t")[-1:] == [None] and seen.states(name)[-1:] == [None], 15)
    raised = [alert for _, alert in seen.said if alert and alert.state is AlertState.RAISED]
    assert sorted({(one.name, one.subject, one.since_us) for one in raised}) == sorted(
        {(one.name, one.subject, one.since_us) for one in await both[0].cache.store.alerts.cleared()}
    )
    assert sum(made.alerts.raised for made in both) == len(await both[0].cache.store.alerts.cleared())
