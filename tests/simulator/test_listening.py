"""Devices that listen: what is pushed to them holds, is reported, and the ledger knows of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.config.schema import BrokerSettings
from iotcache.mqtt import MqttLink
from iotcache.mqtt.codec import PropertyId, Publish
from iotcache_simulator.faults.kinds import DelayPush, Fault, HalfApply, IgnorePush
from iotcache_simulator.fleet.classes import load_classes
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.listening import Listening
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.pushes import COMMANDS, Unusable, read_command, read_configuration
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.wire.target import target_of
from iotcache_simulator.wire.uplink import Uplink
from iotcache_tui.cli.main import main
from tests.conftest import Server

PUMPS = FleetSpec(
    devices=3,
    rate=60,
    duration_s=4.0,
    classes=load_classes(["pump"]),
    listen=True,
    lifecycle=True,
    stats=False,
)


class BackEnd:
    """Pushes, and hears what devices report and send."""

    def __init__(self, link: MqttLink, fleet: FleetRun) -> None:
        self._link = link
        self.fleet = fleet
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def base(self, device: str) -> str:
        roster = self.fleet.partition.roster
        return f"iot/{roster.site(roster.names.index(device))}/{device}"

    async def push(self, device: str, what: str, content: object, *, retain: bool = False) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self._link.publish(f"{self.base(device)}/{what}", payload, qos=1, retain=retain)

    async def until(self, topic: str) -> dict[str, Any]:
        """The next message on a topic."""
        async with asyncio.timeout(10):
            while True:
                for at, (name, content) in enumerate(self.messages):
                    if name == topic:
                        del self.messages[: at + 1]
                        return content
                batch = await self._link.batch(100)
                self._link.ack(batch)
                self.messages += [
                    (one.topic, json.loads(one.payload or b"{}"))
                    for one in batch
                    if not one.topic.endswith("/cfg") or "/reported/" in one.topic
                ]

    async def reported(self, device: str, what: str) -> dict[str, Any]:
        return await self.until(f"{self.base(device)}/reported/{what}")


@asynccontextmanager
async def running(broker: Server, spec: FleetSpec, found: list[Report]) -> AsyncIterator[BackEnd]:
    """A fleet and a back end; at the end the report, verified on the wire."""
    settings = BrokerSettings(url=f"mqtt://{broker.address}")
    fleet = FleetRun(spec, target_of(settings))
    subscriptions = [("iot/+/+/+", 1), ("iot/+/+/reported/+", 1)]
    async with (
        asyncio.timeout(30),
        Verification(VerifyTargets(mqtt=True), spec, settings, settle_s=0.5) as places,
        MqttLink.from_settings(settings, "back-end", subscriptions=subscriptions) as link,
    ):
        await link.until_connected()
        run = asyncio.create_task(fleet.run(places.begin))
        uplinks = fleet.partition.uplinks
        while sum(uplink.subscriptions.granted for uplink in uplinks) < 2 * spec.devices:
            await asyncio.sleep(0.01)
        yield BackEnd(link, fleet)
        outcome = await run
        found.append(await places.judged(outcome.report, outcome.horizons, outcome.spec))


@pytest.mark.real("mosquitto")
async def test_what_is_pushed_holds_is_reported_and_the_ledger_knows_it(mosquitto: Server) -> None:
    found: list[Report] = []
    async with running(mosquitto, PUMPS, found) as back_end:
        await back_end.push("pump-0001", "cfg", {"version": 7, "interval_s": {"pressure": 4.0}}, retain=True)
        applied = await back_end.reported("pump-0001", "cfg")
        natural = {s.name: s.interval_s for s in back_end.fleet.partition.roster.classes[0].sensor}
        scale = back_end.fleet.partition.stream.scale
        times = max(1, round(4.0 * scale / natural["pressure"]))
        assert times > 1
        assert (applied["status"], applied["version"]) == ("applied", 7)
        assert applied["interval_s"]["pressure"] == pytest.approx(times * natural["pressure"] / scale)
        await back_end.push("pump-0001", "cfg", b"x" * (3 << 20))  # the connection outlives it
        await back_end.push("pump-0001", "cfg", {"version": 6, "interval_s": {}})
        await back_end.push("pump-0001", "cfg", {"version": 8, "interval_s": {"none": 1}})
        assert "no sensor 'none'" in (await back_end.reported("pump-0001", "cfg"))["error"]
        await back_end.push("pump-0002", "cmd/reboot", {"id": "r1", "for_s": 0.4})
        assert (await back_end.reported("pump-0002", "reboot"))["id"] == "r1"
        await back_end.push("pump-0003", "cmd/pause", {"for_s": 0.5})
        assert (await back_end.reported("pump-0003", "pause"))["status"] == "done"
        await back_end.push("pump-0001", "cmd/birth", b"")
        assert (await back_end.until(f"{back_end.base('pump-0001')}/birth"))["cfg_version"] == 7
        await back_end.push("pump-0001", "cmd/explode", {})
        assert "there are ping, birth" in (await back_end.reported("pump-0001", "explode"))["error"]
    (report,) = found
    assert report.ledger is not None
    assert report.ledger.mqtt is not None
    assert (report.ledger.lost, report.ledger.altered, report.ledger.foreign) == (0, 0, 0)
    assert report.planned == report.confirmed == report.ledger.mqtt.received < 60 * 4
    told = report.listening
    assert told is not None
    assert report.reconnects == 0
    assert told.subscriptions == 6
    assert (told.configurations, told.applied, told.outdated, told.rejected) == (2, 1, 1, 2)
    assert (told.commands, told.done, told.reported) == (4, 3, 6)
    assert told.apply_ms is not None
    assert told.report_ms is not None


@pytest.mark.real("mosquitto")
async def test_a_device_may_ignore_delay_or_half_apply_what_it_is_told(mosquitto: Server) -> None:
    faults: tuple[Fault, ...] = (
        IgnorePush(devices=("pump-0001",)), DelayPush(by_s=0.5, devices=("pump-0002",)),
        HalfApply(devices=("pump-0003",)),
    )  # fmt: skip
    found: list[Report] = []
    spec = msgspec.structs.replace(PUMPS, faults=faults, duration_s=2.5, own_connections=True, connections=3)
    async with running(mosquitto, spec, found) as back_end:
        wanted = {"bearing": 40.0, "pressure": 4.0, "vibration": 4.0}
        for name in ("pump-0001", "pump-0002", "pump-0003"):
            await back_end.push(name, "cfg", {"version": 2, "interval_s": wanted})
        half = (await back_end.reported("pump-0003", "cfg"))["interval_s"]
        late = await back_end.reported("pump-0002", "cfg")
        assert late["status"] == "applied"
        assert sum(half[name] < late["interval_s"][name] for name in wanted) == 1
    (report,) = found
    told = report.listening
    assert told is not None
    assert (told.configurations, told.ignored, told.half_applied, told.applied) == (3, 1, 1, 1)
    assert told.apply_ms is not None
    assert told.apply_ms.max >= 500
    assert report.ledger is not None
    assert report.ledger.lost == 0


class Sent(Uplink):
    """An uplink that keeps what is announced."""

    def __init__(self) -> None:
        super().__init__(target_of(BrokerSettings(url="mqtt://127.0.0.1:1")), "x")
        self.announced: list[tuple[str, bytes, object]] = []

    @property
    def connected(self) -> bool:
        return True

    def announce(self, topic: str, payload: bytes, *, retain: bool = True, properties: object = ()) -> None:
        self.announced.append((topic, payload, properties))


def test_an_answer_goes_where_mqtt_5_says_that_it_is_wanted() -> None:
    uplink = Sent()
    listening = Listening(roster_of(PUMPS), (), 1.0)
    take = listening.recipient([0], lambda: uplink)
    wanted = ((PropertyId.RESPONSE_TOPIC, "my/answers"), (PropertyId.CORRELATION_DATA, b"9"))
    take(Publish("iot/plant-north/pump-0001/cmd/none", b"", properties=wanted))
    ((topic, payload, properties),) = uplink.announced
    assert topic == "my/answers"
    assert json.loads(payload)["status"] == "rejected"
    assert properties == ((PropertyId.CORRELATION_DATA, b"9"),)


ANY = st.none() | st.floats() | st.integers() | st.text()
FIELDS = st.dictionaries(
    st.sampled_from(("version", "interval_s", "id", "for_s", "ts")), ANY | st.dictionaries(st.text(), ANY)
)
JSON = (FIELDS | ANY | st.lists(ANY)).map(lambda value: json.dumps(value).encode())


@given(st.binary() | JSON, st.sampled_from(COMMANDS) | st.text())
def test_whatever_is_pushed_is_followed_or_refused_in_a_printable_sentence(payload: bytes, name: str) -> None:
    for read in (read_configuration, lambda text: read_command(name, text)):
        try:
            read(payload)
        except Unusable as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    "flags", [("--preset", "tasmota"), ("--processes", "2"), ("--control", "x"), ("--arrival", "scattered"),
              ("--format", "sparkplug"), ("-o", "x.csv", "--count", "1")],
)  # fmt: skip
def test_what_cannot_be_had_with_listening_is_refused(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--listen", *flags, "--broker", "mqtt://127.0.0.1:1"]) == 2
    assert "--listen" in capsys.readouterr().err
