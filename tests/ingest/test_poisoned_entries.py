"""Background work that fails on one entry leaves that entry out, and neither waits nor begins anew for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from iotcache import faults as faults_module
from iotcache.aggregates import writer as writer_module
from iotcache.aggregates.writer import Aggregates
from iotcache.alerts.publish import AlertPublisher
from iotcache.alerts.watch import AlertWatch
from iotcache.cache import DeviceCache
from iotcache.clock import ManualClock
from iotcache.config.schema import AlertRuleSettings, IngestSettings, Settings
from iotcache.faults import Faults
from iotcache.model import Reading, Severity, StoredReading
from iotcache.model.alerts import Alert, AlertState
from iotcache.model.batches import CommittedBatch
from iotcache.onboarding import warm_queue as warm_queue_module
from iotcache.onboarding.retire import forget
from iotcache.onboarding.warm_queue import WarmQueue
from iotcache.tasks import end
from tests.cache.conftest import open_cache
from tests.conftest import Server
from tests.ingest.conftest import until

__all__ = ["open_cache"]

pytestmark = pytest.mark.real("memcached")
Open = Callable[..., Any]
NOW_S = 1_795_348_800.0
EVIL = "evil"


@pytest.fixture(autouse=True)
def nothing_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_module, "RESTART_S", 3_600.0)
    monkeypatch.setattr(warm_queue_module, "SETTLE_S", 0.001)


def poisoned(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; it fails whenever what it is given names the evil one."""

    def called(*arguments: Any, **named: Any) -> Any:
        if EVIL in repr(arguments[1:]):
            raise MemoryError("at the worst place")
        return function(*arguments, **named)

    return called


def readings(*devices: str) -> CommittedBatch:
    many = [Reading(one, "t", 99.0, round(NOW_S * 1e6), site=one) for one in devices]
    return CommittedBatch(many, [StoredReading(one) for one in many])


async def test_devices_are_warmed_beside_one_that_cannot_be(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults()
    cache: DeviceCache = await open_cache([memcached])
    queue = WarmQueue(cache, faults, bound=100, per_s=1e6)
    monkeypatch.setattr(WarmQueue, "_warm", poisoned(WarmQueue._warm))
    task = asyncio.create_task(queue.run())
    queue.add(["a", EVIL, "b"])
    await until(lambda: queue.counts.warmed == 2)
    queue.add(["c"])
    await until(lambda: queue.counts.warmed == 3)
    assert (queue.counts.failed, queue.counts.waiting, faults.count) == (1, 0, 1)
    await end(task)


async def test_devices_out_of_service_are_forgotten_beside_one_that_cannot_be(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults()
    cache: DeviceCache = await open_cache([memcached])
    forgotten: list[str] = []
    sensors = cache.store.documents.sensors

    async def noted(devices: Sequence[str]) -> Any:
        if EVIL in devices:
            raise RecursionError
        forgotten.extend(devices)
        return await sensors(devices)

    monkeypatch.setattr(cache.store.documents, "sensors", noted)
    await forget(cache, ["a", EVIL, "b"], faults)
    assert (forgotten, faults.count) == (["a", "b"], 1)


@pytest.mark.parametrize("group", ["", "g"])
@pytest.mark.parametrize("place", ["_close_one", "_key"])
async def test_aggregates_are_written_and_windows_closed_beside_one_that_cannot_be(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch, place: str, group: str
) -> None:
    clock = ManualClock(NOW_S)
    faults = Faults(clock)
    cache: DeviceCache = await open_cache([memcached], clock=clock)
    settings = Settings(ingest=IngestSettings(group=group))
    aggregates = Aggregates(cache, settings, clock=clock, faults=faults)
    monkeypatch.setattr(Aggregates, place, poisoned(getattr(writer_module.Aggregates, place)))
    for turn in range(3):
        aggregates.follow(readings("a", EVIL, "b"))
        clock.advance(130.0 if turn == 1 else 0.0)
        await aggregates.write_changes()
    assert aggregates.written >= 2
    assert aggregates.recounted == (2 if place == "_close_one" else aggregates.recounted)
    assert faults.count
    assert aggregates.pairs <= 3


class Broker:
    """A link that cannot publish on the evil one's topics."""

    def __init__(self) -> None:
        self.connects = 1
        self.said: list[str] = []

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        if EVIL in topic:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        self.said.append(topic)

    async def until_connected(self) -> None: ...


def _alert(device: str) -> Alert:
    return Alert(
        name="hot", subject=device, severity=Severity.WARNING, state=AlertState.RAISED, since_us=1, text="x"
    )


async def test_alerts_are_published_beside_one_that_cannot_be() -> None:
    broker, faults = Broker(), Faults()
    publisher = AlertPublisher(broker, faults)
    for device in ("a", EVIL, "b"):
        publisher.put(_alert(device))
    task = asyncio.create_task(publisher.run())
    await until(lambda: len(broker.said) == 2)
    assert (publisher.dropped, faults.count) == (1, 1)
    await end(task)


@pytest.mark.parametrize("group", ["", "g"])
async def test_alerts_are_raised_beside_one_that_cannot_be(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    faults, broker = Faults(), Broker()
    cache: DeviceCache = await open_cache([memcached])
    settings = Settings(
        alerts=(AlertRuleSettings(name="hot", kind="threshold", above=50.0),),
        ingest=IngestSettings(group=group),
    )
    record = cache.store.alerts.record

    async def recorded(alerts: Sequence[Alert]) -> Any:
        if any(EVIL in alert.subject for alert in alerts):
            raise ZeroDivisionError
        return await record(alerts)

    monkeypatch.setattr(cache.store.alerts, "record", recorded)
    watch = AlertWatch(cache, settings, broker, instance="w", tick_s=0.01, faults=faults)
    task = asyncio.create_task(watch.run())
    try:
        batch = readings("a", EVIL, "b")
        await cache.store.commit(batch.newest)
        watch.follow(batch)
        await until(lambda: watch.raised == 2)
        later = readings("c")
        await cache.store.commit(later.newest)
        watch.follow(later)
        await until(lambda: watch.raised == 3)
    finally:
        with suppress(asyncio.CancelledError):
            await end(task)
    assert 0 < faults.count < 20
