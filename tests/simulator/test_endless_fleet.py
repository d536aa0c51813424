"""The fleet beside the dashboard: it greets, announces itself, outlives its broker and ends when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import msgspec
import pytest

from iotcache.config.schema import BrokerSettings, Settings, SimulatorSettings
from iotcache.mqtt import Message, MqttLink
from iotcache.published_stats import FleetStats, decode
from iotcache_simulator.faults.demo_dropouts import FOR_S, dropouts
from iotcache_simulator.faults.kinds import Dropout
from iotcache_simulator.faults.stream import FaultyStream
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Stream, Timeline
from iotcache_simulator.publish import publisher as publishing
from iotcache_simulator.publish.publisher import Publisher
from iotcache_simulator.publish.run import run_fleet
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.uplink import Uplink
from tests.conftest import Server

pytestmark = pytest.mark.real("mosquitto")
Hear = Callable[..., Awaitable[Message]]


def settings_of(broker: Server, **fields: Any) -> Settings:
    return Settings(
        broker=BrokerSettings(url=f"mqtt://{broker.address}"), simulator=SimulatorSettings(**fields)
    )


@contextlib.asynccontextmanager
async def listening(broker: Server, *topics: str) -> AsyncIterator[MqttLink]:
    link = MqttLink.from_settings(
        BrokerSettings(url=f"mqtt://{broker.address}"),
        "test-ear",
        subscriptions=[(topic, 1) for topic in topics],
    )
    async with link:
        await link.until_connected()
        yield link


async def test_every_sensor_is_heard_of_within_seconds_and_stop_ends_it(mosquitto: Server) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    trucks = {"lat", "lon", "speed", "cargo"}
    roster = Roster(1, 30)
    wanted = {
        (device.name, sensor.name)
        for device in roster
        for sensor in roster.classes[device.kind].sensor
        if sensor.name not in trucks
    }
    async with listening(mosquitto, "iot/#") as link, asyncio.timeout(10):
        running = asyncio.create_task(
            run_fleet(settings_of(mosquitto, devices=30), ready=ready.set, stop=stop)
        )
        await ready.wait()
        seen: set[tuple[str, str]] = set()
        while not wanted <= seen:
            for message in await link.batch(500):
                content = json.loads(message.payload)
                seen.add((content["device"], content["sensor"]))
                link.ack([message])
        stop.set()
        await running


async def test_it_announces_itself_and_leaves_no_retained_message(mosquitto: Server) -> None:
    async with asyncio.timeout(15):
        async with listening(mosquitto, "iotcache/stats/simulator/#") as link:
            running = asyncio.create_task(run_fleet(settings_of(mosquitto, devices=30, rate=100.0)))
            counters: list[FleetStats] = []
            while len(counters) < 3:
                for message in await link.batch(10):
                    stats = decode(message.payload, FleetStats)
                    assert stats is not None
                    counters.append(stats)
                    link.ack([message])
            assert [one.state for one in counters] == ["running"] * 3
            assert counters[2].published > counters[1].published > 0
            assert counters[2].rate == pytest.approx(125, rel=0.5), (
                "100, and the greetings of the first seconds"
            )
            assert (counters[2].devices, counters[2].target_rate) == (30, 100.0)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            last = [message.payload for message in await link.batch(10, linger_s=0.3)]
            assert b'"gone"' in last[-2]
            assert last[-1] == b""
        async with listening(mosquitto, "iotcache/stats/simulator/#") as link:
            # A retained message would come before anything published after the subscription.
            await link.publish("iotcache/stats/simulator/probe", b"probe")
            assert [message.payload for message in await link.batch(10, linger_s=0)] == [b"probe"]


async def test_a_fleet_that_vanishes_is_said_to_be_gone(mosquitto: Server) -> None:
    from iotcache_simulator.publish.announce import last_will
    from iotcache_simulator.publish.partition import uplinks
    from iotcache_simulator.publish.plan.spec import FleetSpec

    target = BrokerTarget("127.0.0.1", mosquitto.port)
    async with listening(mosquitto, "iotcache/stats/simulator/x") as link, asyncio.timeout(10):
        (uplink,) = uplinks(target, FleetSpec(), wills=[last_will("x")])
        async with uplink:
            while not uplink.connected:
                await uplink.until_room()
            uplink.drop(away_s=60)
            (message,) = await link.batch(1)
            assert msgspec.json.decode(message.payload)["state"] == "gone"


async def test_it_outlives_its_broker(mosquitto: Server) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(run_fleet(settings_of(mosquitto, devices=30, rate=200.0), stop=stop))
    async with asyncio.timeout(20):
        async with listening(mosquitto, "iot/#") as link:
            await link.batch(1)
            mosquitto.kill()
        await asyncio.to_thread(mosquitto.start)
        async with listening(mosquitto, "iot/#") as link:
            found = await link.batch(100, linger_s=0.5)
            assert any(json.loads(message.payload)["seq"] > 0 for message in found), "it went on counting"
        stop.set()
        await running


async def test_its_devices_tell_births_configurations_and_deaths_also_to_a_new_broker(
    mosquitto: Server,
) -> None:
    stop = asyncio.Event()

    async def lifecycle_messages(link: MqttLink, *kinds: str) -> set[str]:
        received: set[str] = set()
        while len(received) < 10 * len(kinds):
            for message in await link.batch(100):
                if message.topic.rpartition("/")[2] in kinds:
                    received.add(message.topic)
                link.ack([message])
        return received

    running = asyncio.create_task(run_fleet(settings_of(mosquitto, devices=10, lives=True), stop=stop))
    async with asyncio.timeout(20):
        async with listening(mosquitto, "iot/#") as link:
            first = await lifecycle_messages(link, "birth", "cfg")
            mosquitto.kill()  # with what it had retained
        await asyncio.to_thread(mosquitto.start)
        async with listening(mosquitto, "iot/#") as link:
            assert await lifecycle_messages(link, "birth", "cfg") == first
            stop.set()
            await lifecycle_messages(link, "death")
        await running


async def test_it_waits_for_a_broker_that_is_not_there_yet(mosquitto: Server) -> None:
    mosquitto.kill()
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(run_fleet(settings_of(mosquitto, devices=5), ready=ready.set, stop=stop))
    await asyncio.sleep(0.15)
    assert not ready.is_set()
    await asyncio.to_thread(mosquitto.start)
    async with asyncio.timeout(10):
        await ready.wait()
        stop.set()
        await running


async def test_what_is_too_old_is_skipped_and_a_step_of_the_clock_is_followed(
    mosquitto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_CATCH_UP_US", 500_000)
    now = 1_800_000_000.0
    monkeypatch.setattr(publishing, "time", lambda: now)
    timeline = Timeline(shift_us=0)
    stream = Stream(Roster(1, 30), timeline, rate=200.0)
    async with Uplink(BrokerTarget("127.0.0.1", mosquitto.port), "x") as uplink, asyncio.timeout(10):
        while not uplink.connected:
            await uplink.until_room()
        publisher = Publisher(stream, (uplink,), devices=30)
        running = asyncio.create_task(publisher.run(monotonic() - 5.0))
        while uplink.confirmed < 20:
            await asyncio.sleep(0.01)
        publisher.stop()
        await running
    assert publisher.counters.skipped > 600, "4.5 of 5 s, but for what trucks keep"
    assert publisher.counters.planned == publisher.published + publisher.counters.skipped
    shown_us = stream.timeline.start_us + stream.timeline.shift_us
    assert abs(shown_us / 1e6 - now) < 10


def test_three_devices_of_a_demonstration_fall_silent_in_turn_and_report_again() -> None:
    roster = Roster(1, 120)
    faults = dropouts(roster)
    silent = {fault.devices[0]: fault.at_s for fault in faults}
    assert list(silent.values()) == [10.0, 45.0, 80.0]
    assert "pump-0001" not in silent

    def sent(*wanted: Dropout) -> set[tuple[int, int]]:
        stream = FaultyStream(roster, Timeline(start_us=1_800_000_000_000_000), wanted, digest=False)
        return {message[:2] for message in stream.window(120_000_000)}

    missing = sent() - sent(*faults)
    assert sent(*faults) < sent()
    for name, at_s in silent.items():
        device = roster.names.index(name)
        moments = [at_us / 1e6 for at_us, tie in missing if tie % len(roster) == device]
        assert len(moments) >= 2 * FOR_S - 2, "two of its sensors report every second"
        assert at_s <= min(moments) and max(moments) < at_s + FOR_S
    assert {tie % len(roster) for _, tie in missing} == {roster.names.index(name) for name in silent}
    assert dropouts(Roster(1, 10)) == ()


async def test_a_fleet_whose_devices_are_not_to_fall_silent_has_no_dropouts(
    mosquitto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[object, ...]] = []

    class Witness(FaultyStream):
        def reschedule(self, faults: Any) -> None:
            given.append(tuple(faults))
            super().reschedule(faults)

    monkeypatch.setattr("iotcache_simulator.publish.run.FaultyStream", Witness)
    for wanted in ("auto", False, True):
        stop = asyncio.Event()
        settings = settings_of(mosquitto, devices=30, dropouts=wanted)
        async with asyncio.timeout(10):
            await run_fleet(settings, ready=stop.set, stop=stop)
    # What "auto" comes to, the stack says: whoever runs a fleet without one gets none.
    assert [len(faults) for faults in given] == [0, 0, 3]
