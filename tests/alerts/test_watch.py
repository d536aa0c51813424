"""The alert watch of a worker, told batches and the time: silence, groups, a store away, a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from iotcache.alerts.watch import AlertWatch
from iotcache.cache import DeviceCache
from iotcache.clock import ManualClock
from iotcache.config.schema import AlertingSettings, AlertRuleSettings, IngestSettings, Settings
from iotcache.errors import StoreError
from iotcache.model import Reading, StoredReading
from iotcache.model.alerts import Alert, AlertState, decode_alert
from iotcache.model.batches import CommittedBatch
from iotcache.tasks import end
from tests.alerts.test_webhook import Site
from tests.cache.conftest import open_cache
from tests.conftest import Server
from tests.ingest.conftest import until

__all__ = ["open_cache"]

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
S = 1_000_000
HOT = AlertRuleSettings(name="hot", kind="threshold", above=8.0)
SILENT = AlertRuleSettings(name="silent", kind="silent", for_s=30.0)


class Broker:
    """A link that keeps what is published."""

    def __init__(self) -> None:
        self.connects = 1
        self.said: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        assert retain
        self.said.append((topic, payload))

    async def until_connected(self) -> None: ...


class Worker:
    """A watch whose turns a test makes."""

    def __init__(self, cache: DeviceCache, clock: ManualClock, settings: Settings, name: str) -> None:
        self.broker, self.well = Broker(), True
        self.cache = cache
        self.clock = clock
        self.watch = AlertWatch(
            cache, settings, self.broker, instance=name, well=lambda: self.well, clock=clock
        )

    async def fed(self, *readings: Reading) -> None:
        done = await self.cache.store.commit([StoredReading(one) for one in readings])
        self.watch.follow(CommittedBatch(readings, done.newest, done.duplicates))

    async def turn(self) -> list[Alert]:
        """What stands after one more turn."""
        await self.watch.turn()
        return list(await self.cache.store.alerts.active())

    def reading(self, value: float, device: str = "d1") -> Reading:
        now_us = round(self.clock.now() * S)
        return Reading(device, "t", value, now_us, site="n", received_us=now_us)


@pytest.fixture
async def team(memcached: Server, open_cache: Make) -> AsyncIterator[Make]:
    clock = ManualClock()

    async def make(names: Sequence[str], *rules: AlertRuleSettings) -> list[Worker]:
        settings = Settings(alerts=rules, ingest=IngestSettings(group="g" if len(names) > 1 else ""))
        made = [Worker(await open_cache([memcached], clock=clock), clock, settings, name) for name in names]
        for one in made:
            await one.watch.begin()
        return made

    yield make


def names(alerts: Sequence[Alert]) -> list[tuple[str, str]]:
    return [(alert.name, alert.subject) for alert in alerts]


async def test_a_silent_device_is_raised_and_cleared_when_it_speaks(team: Make) -> None:
    (one,) = await team(["one"], SILENT)
    await one.fed(one.reading(1), one.reading(1, "d2"))
    one.clock.advance(20)
    await one.fed(one.reading(1, "d2"))
    assert await one.turn() == []
    one.clock.advance(12)
    (alert,) = await one.turn()
    assert (alert.subject, alert.text) == ("d1", "nothing was heard of d1 for 32 s")
    await one.fed(one.reading(1))
    assert await one.turn() == []


async def test_nobody_is_silent_while_the_broker_is_away(team: Make) -> None:
    (one,) = await team(["one"], SILENT)
    await one.fed(one.reading(1))
    one.well = False
    for _ in range(5):
        one.clock.advance(20)
        assert await one.turn() == []
    one.well = True
    one.clock.advance(29)
    assert await one.turn() == []
    one.clock.advance(2)
    assert names(await one.turn()) == [("silent", "d1")]


async def test_a_device_put_out_of_service_may_be_silent(team: Make) -> None:
    (one,) = await team(["one"], SILENT)
    await one.fed(one.reading(1))
    one.clock.advance(31)
    assert names(await one.turn()) == [("silent", "d1")]
    await one.cache.store.documents.decommission({"d1": round(one.clock.now() * S)})
    one.clock.advance(61)
    assert await one.turn() == []


async def test_of_a_group_one_watches_and_believes_what_another_heard(team: Make) -> None:
    one, other = await team(["one", "other"], SILENT)
    await one.fed(one.reading(1))
    await one.turn()
    await other.turn()
    for _ in range(3):  # the broker deals all its messages to the other
        one.clock.advance(20)
        await other.fed(other.reading(1))
        assert await one.turn() == []
        assert await other.turn() == []
    one.clock.advance(31)
    assert names(await one.turn()) == [("silent", "d1")]
    await other.turn()
    await other.fed(other.reading(1))
    assert await other.turn() == [], "who did not raise it clears it"
    assert await one.turn() == []
    one.clock.advance(31)
    assert names(await one.turn()) == [("silent", "d1")], "and it is raised again"


async def test_of_a_group_a_threshold_is_judged_by_the_newest_reading(team: Make) -> None:
    one, other = await team(["one", "other"], HOT)
    old = one.reading(9)
    one.clock.advance(1)
    await other.fed(other.reading(3))
    await one.fed(old)  # late, but one has seen nothing newer
    assert await one.turn() == []
    one.clock.advance(1)
    await one.fed(one.reading(9.5))
    (alert,) = await one.turn()
    await other.turn()
    one.clock.advance(1)
    await other.fed(other.reading(3))
    assert await other.turn() == []
    assert alert.value == 9.5
    one.clock.advance(1)
    assert await one.turn() == []
    await one.fed(one.reading(9.6))
    assert names(await one.turn()) == [("hot", "d1:t")], "one knows that the other cleared it"


async def test_a_hit_ratio_is_judged_by_the_nodes_own_counters(team: Make) -> None:
    (one,) = await team(
        ["one"], AlertRuleSettings(name="ratio", kind="hit_ratio", below=50.0, hysteresis=5.0)
    )
    assert await one.turn() == []
    await one.cache.cluster.get_many([f"nothing{n}" for n in range(60)])
    one.clock.advance(6)
    (alert,) = await one.turn()
    assert (alert.subject, alert.value, alert.text) == (
        "cache", 0.0, "0 % of the reads hit the cache, below 50"
    )  # fmt: skip
    await one.fed(one.reading(1))
    await one.cache.read("d1", "t")
    for _ in range(60):
        await one.cache.read("d1", "t")
    one.clock.advance(6)
    assert await one.turn() == []


async def test_what_the_store_could_not_take_is_kept_and_told_later(
    team: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = await team(["one"], HOT)
    record = one.cache.store.alerts.record

    async def away(alerts: Sequence[Alert]) -> Sequence[Alert]:
        raise StoreError("away")

    await one.fed(one.reading(9))
    monkeypatch.setattr(one.cache.store.alerts, "record", away)
    with pytest.raises(StoreError):
        await one.turn()
    one.clock.advance(1)
    await one.fed(one.reading(1))
    monkeypatch.setattr(one.cache.store.alerts, "record", record)
    assert await one.turn() == []
    (past,) = await one.cache.store.alerts.cleared()
    assert (past.state, past.value) == (AlertState.CLEARED, 1.0)


async def test_what_there_is_no_room_for_is_judged_again(team: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotcache.alerts.watch._UNSETTLED_LIMIT", 2)
    (one,) = await team(["one"], HOT)
    await one.fed(*(one.reading(9, f"d{n}") for n in range(4)))
    assert len(await one.turn()) == 2
    one.clock.advance(1)
    await one.fed(*(one.reading(9, f"d{n}") for n in range(4)))
    assert len(await one.turn()) == 4


async def test_after_a_reconnect_what_stands_is_published_again_and_the_webhook_hears_of_changes(
    memcached: Server, open_cache: Make
) -> None:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    clock = ManualClock()
    settings = Settings(alerts=(HOT,), alerting=AlertingSettings(webhook=url))
    one = Worker(await open_cache([memcached], clock=clock), clock, settings, "one")
    one.watch.tick_s = 0.05
    task = asyncio.create_task(one.watch.run())
    await one.fed(one.reading(9))
    topic = "iotcache/alerts/hot/d1:t"
    await until(lambda: [name for name, _ in one.broker.said] == [topic])
    one.broker.connects += 1
    await until(lambda: len(one.broker.said) == 2)
    clock.advance(1)
    await one.fed(one.reading(1))
    await until(lambda: one.broker.said[-1] == (topic, b""))
    await until(lambda: len(site.bodies) == 2)
    assert [alert.state for alert in map(decode_alert, site.bodies) if alert] == [
        AlertState.RAISED, AlertState.CLEARED
    ]  # fmt: skip
    await end(task)
    server.close()
