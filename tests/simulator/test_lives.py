"""Devices beside their readings: births, deaths, sessions, storms, aliases; from the other side."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from iotcache.config.schema import BrokerSettings, Settings
from iotcache.mqtt import MqttLink
from iotcache_simulator.fleet.classes import parse_class
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.multi_process import MultiProcessRun
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases, judged
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server
from tests.simulator.conftest import Subscriber

pytestmark = pytest.mark.real("mosquitto")
Subscribe = Callable[[Server], Subscriber]


def settings_of(broker: Server) -> Settings:
    return Settings(broker=BrokerSettings(url=f"mqtt://{broker.address}"))


async def verified(broker: Server, spec: FleetSpec) -> Report:
    settings = settings_of(broker)
    fleet = FleetRun(spec, target_of(settings.broker))
    async with Verification(VerifyTargets(mqtt=True), spec, settings.broker, settle_s=1.0) as verification:
        outcome = await fleet.run(verification.begin)
        report = await verification.judged(outcome.report, outcome.horizons)
    return judged(report, cases(report))


def by_kind(received: list[tuple[bytes, bytes]]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """What came on each last level of a topic, by device."""
    found: dict[str, dict[str, list[dict[str, object]]]] = {}
    for topic, payload in received:
        _, _, device, level = topic.decode().split("/")
        kind = level if level in {"birth", "cfg", "death"} else "reading"
        found.setdefault(kind, {}).setdefault(device, []).append(json.loads(payload))
    return found


@pytest.mark.parametrize("own", [False, True])
async def test_each_device_is_born_is_configured_and_dies(
    mosquitto: Server, subscribe: Subscribe, own: bool
) -> None:
    listener = subscribe(mosquitto)
    spec = FleetSpec(
        devices=12, rate=120, duration_s=0.5, lifecycle=True, own_connections=own, connections=12
    )
    report = await verified(mosquitto, spec)
    assert report.ok, report.failures
    assert report.ledger is not None
    assert report.ledger.mqtt is not None
    assert report.ledger.mqtt.foreign == 0
    found = by_kind(await asyncio.to_thread(listener.received))
    assert sum(map(len, found["reading"].values())) == report.planned
    assert len(found["birth"]) == len(found["death"]) == len(found["cfg"]) == 12
    assert all(len(payloads) == 1 for kind in ("birth", "death", "cfg") for payloads in found[kind].values())
    pump = found["birth"]["pump-0001"][0]
    assert pump["class"] == "pump"
    assert pump["boot"] == report.boot
    assert pump["metadata"]
    assert {"pressure"} <= {sensor["name"] for sensor in pump["sensors"]}  # type: ignore[attr-defined]
    assert pump["cfg_version"] == found["cfg"]["pump-0001"][0]["version"] == 1
    assert {payloads[0]["reason"] for payloads in found["death"].values()} == {"switched off"}
    late = subscribe(mosquitto)
    inherited = by_kind([pair for pair in await asyncio.to_thread(late.received) if b"marker" not in pair[0]])
    assert set(inherited) == {"birth", "cfg"}


async def test_the_last_will_of_a_device_on_its_own_connection_is_its_death(mosquitto: Server) -> None:
    settings = settings_of(mosquitto)
    spec = FleetSpec(devices=5, rate=50, lifecycle=True, own_connections=True, connections=5, duration_s=30)
    fleet = FleetRun(spec, target_of(settings.broker))
    async with (
        MqttLink.from_settings(settings.broker, "witness", subscriptions=(("iot/+/+/death", 1),)) as link,
        asyncio.timeout(15),
    ):
        await link.until_connected()
        running = asyncio.create_task(fleet.run())
        while fleet.publisher.published < 10:
            await asyncio.sleep(0.01)
        fleet.partition.uplinks[2].drop(30)
        (message,) = await link.batch(1)
        assert message.topic.split("/")[2] == fleet.partition.roster.names[2]
        assert json.loads(message.payload)["reason"] == "connection lost"
        fleet.stop()
        await running


@pytest.mark.parametrize(
    ("version", "persistent", "qos"),
    [
        ("3.1.1", False, 1), ("3.1.1", True, 2), ("5", False, 2), ("5", True, 1), ("5", True, 2),
        *(
            pytest.param(*others, marks=pytest.mark.long)
            for others in (("3.1.1", False, 2), ("3.1.1", True, 1), ("5", False, 1))
        ),
    ],
)  # fmt: skip
async def test_a_reconnect_storm_loses_nothing(
    mosquitto: Server, qos: int, persistent: bool, version: Literal["3.1.1", "5"]
) -> None:
    spec = FleetSpec(
        devices=20, rate=2_000, duration_s=0.9, qos=qos, own_connections=True, connections=20,
        persistent=persistent, storms_s=(0.2, 0.5), storm_within_s=0.1, lifecycle=True,
    )  # fmt: skip
    settings = Settings(broker=BrokerSettings(url=f"mqtt://{mosquitto.address}", protocol=version))
    fleet = FleetRun(spec, target_of(settings.broker))
    async with Verification(VerifyTargets(mqtt=True), spec, settings.broker, settle_s=1.0) as verification:
        outcome = await fleet.run(verification.begin)
        report = await verification.judged(outcome.report, outcome.horizons)
    assert report.ledger is not None
    assert report.ledger.mqtt is not None
    # On a busy machine some are still away when the second storm comes.
    assert 20 <= report.reconnects <= 40
    assert report.planned == report.published == report.confirmed == report.ledger.mqtt.received
    assert report.ledger.lost == 0
    if persistent and qos == 2:
        assert report.ledger.mqtt.duplicates == 0


ROVER = """\
name = "rover"
sites = ["field"]
link = { every_s = 2, min_s = 0.5, max_s = 0.7, catchup_s = 0.3 }
[[sensor]]
name = "speed"
interval_s = 0.05
waves = [{ kind = "walk", amplitude = 1, step_s = 10 }]
"""


@pytest.mark.parametrize("qos", [0, 1])
async def test_out_of_coverage_means_disconnected_and_then_late(mosquitto: Server, qos: int) -> None:
    kind = parse_class(ROVER, "rover.toml")
    spec = FleetSpec(
        devices=3, duration_s=4.0, qos=qos, own_connections=True, connections=3, lifecycle=True,
        classes=(kind,),
    )  # fmt: skip
    roster = roster_of(spec)
    link = roster.links[0]
    assert link is not None
    start_us = spec.timeline(0).start_us
    away = {
        device.name: [
            (begin - start_us, end - start_us)
            for begin, end in link.outages(device.key, start_us, start_us + 4_000_000)
        ]
        for device in roster
    }
    settings = settings_of(mosquitto)
    fleet = FleetRun(spec, target_of(settings.broker))
    deaths: list[str] = []
    topics = (("iot/+/+/death", 1),)
    async with (
        MqttLink.from_settings(settings.broker, "witness", subscriptions=topics) as witness,
        Verification(VerifyTargets(mqtt=True), spec, settings.broker, settle_s=1.0) as verification,
        asyncio.timeout(30),
    ):
        await witness.until_connected()
        outcome = await fleet.run(verification.begin)
        report = await verification.judged(outcome.report, outcome.horizons)
        while len(deaths) < report.reconnects:
            for message in await witness.batch(100):
                if json.loads(message.payload)["reason"] == "connection lost":
                    deaths.append(message.topic.split("/")[2])
    count = sum(map(len, away.values()))
    assert count >= 3
    assert report.reconnects == count, "each outage cuts its device's connection, once"
    assert Counter(deaths) == {name: len(found) for name, found in away.items() if found}
    assert report.unconfirmed == report.unsent == 0
    assert report.ledger is not None
    assert report.ledger.lost == 0


async def test_births_come_again_after_a_storm(mosquitto: Server, subscribe: Subscribe) -> None:
    listener = subscribe(mosquitto)
    spec = FleetSpec(
        devices=6, rate=60, duration_s=0.8, lifecycle=True, own_connections=True, connections=6,
        storms_s=(0.2,), storm_within_s=0.1,
    )  # fmt: skip
    await verified(mosquitto, spec)
    found = by_kind(await asyncio.to_thread(listener.received))
    assert [len(found["birth"][device]) for device in sorted(found["birth"])] == [2] * 6
    assert {payloads[0]["reason"] for payloads in found["death"].values()} == {"connection lost"}
    assert {payloads[-1]["reason"] for payloads in found["death"].values()} == {"switched off"}


async def test_own_connections_are_shared_out_over_processes(mosquitto: Server, subscribe: Subscribe) -> None:
    listener = subscribe(mosquitto)
    spec = FleetSpec(devices=9, rate=90, duration_s=0.5, lifecycle=True, own_connections=True, connections=9)
    settings = settings_of(mosquitto)
    alone = await FleetRun(spec, target_of(settings.broker)).run()
    await asyncio.to_thread(listener.received)
    fleet = MultiProcessRun(msgspec.structs.replace(spec, processes=2), settings.broker)
    shared = await fleet.run()
    assert shared.report.digest == alone.report.digest
    assert shared.report.confirmed == shared.report.planned > 0
    found = by_kind(await asyncio.to_thread(listener.received))
    assert [len(payloads) for payloads in found["birth"].values()] == [1] * 9


async def test_properties_aliases_and_the_retain_flag_reach_a_strangers_subscriber(mosquitto: Server) -> None:
    with subprocess.Popen(
        [
            "mosquitto_sub",
            "-p",
            str(mosquitto.port),
            "-V",
            "5",
            "-t",
            "iot/#",
            "-t",
            "ready",
            "-F",
            "%t|%P|%p",
        ],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            command = ["mosquitto_pub", "-p", str(mosquitto.port), "-t", "ready", "-m", "x", "-r"]
            await asyncio.to_thread(subprocess.run, command, check=True, timeout=10)
            await asyncio.to_thread(process.stdout.readline)
            spec = FleetSpec(
                devices=8, rate=200, duration_s=0.5, qos=1, retain=True, topic_aliases=True, connections=2,
                user_properties=(("site", "ost"), ("note", "größer")),
            )  # fmt: skip
            outcome = await FleetRun(spec, BrokerTarget("127.0.0.1", mosquitto.port, version=5)).run()
            assert outcome.report.confirmed == outcome.report.planned
            lines = [
                (await asyncio.to_thread(process.stdout.readline)).decode().rstrip("\n")
                for _ in range(outcome.report.planned)
            ]
        finally:
            process.kill()
    assert {line.split("|")[1] for line in lines} == {"site:ost note:größer"}
    assert len({line.split("|")[0] for line in lines}) > 20, "more topics than the broker takes aliases"
    for line in lines:
        topic, _, payload = line.split("|", 2)
        content = json.loads(payload)
        assert topic.split("/")[2:] == [content["device"], content["sensor"]]
    newest = {line.split("|")[0]: line.split("|", 2)[2] for line in lines}
    late = ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "iot/#", "-F", "%t|%p", "--retained-only",
            "-W", "10", "-C", str(len(newest))]  # fmt: skip
    inherited = await asyncio.to_thread(subprocess.run, late, capture_output=True, check=True, text=True)
    assert dict(line.split("|", 1) for line in inherited.stdout.splitlines()) == newest
