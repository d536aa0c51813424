"""Each fault does what its name says, as a subscriber sees it, and its truth is told."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iotcache.errors import ConfigError
from iotcache_simulator.faults.kinds import Fault
from iotcache_simulator.faults.schedule import load_faults
from iotcache_simulator.faults.stream import FaultyStream, Label
from iotcache_simulator.fleet.classes import load_classes
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Stream, Timeline
from iotcache_simulator.ledger.labels import label_lines
from iotcache_simulator.publish.plan.digest import StreamDigest
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import stream_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire.connection import BrokerTarget
from tests.conftest import Server
from tests.simulator.conftest import Subscriber

SECOND = 1_000_000
MINUTE = Timeline(end_us=60 * SECOND, boot="b")
START_US = 1_767_225_600_000_000
PUMPS = FleetSpec(
    devices=4, duration_s=60.0, classes=load_classes(["pump"]), speed=math.inf, start_us=START_US
)


def fault(**fields: object) -> Fault:
    made: Fault = msgspec.convert(fields, Fault)
    return made


class Received:
    """What a subscriber received of one run, beside what it would have been without faults."""

    def __init__(self, received: list[tuple[bytes, bytes]], spec: FleetSpec, labels: list[Label]) -> None:
        self.labels = labels
        self.raw = [payload for _, payload in received]
        self.contents: list[dict[str, Any]] = []
        for payload in self.raw:
            try:
                self.contents.append(json.loads(payload))
            except ValueError:
                continue
        roster = Roster(spec.seed, spec.devices, spec.classes)
        plain = Stream(roster, spec.timeline(0), rate=spec.rate).window(60 * SECOND)
        self.sound = {self._context(json.loads(message[3])): json.loads(message[3]) for message in plain}

    @staticmethod
    def _context(content: dict[str, Any]) -> tuple[str, str, int]:
        return content["device"], content["sensor"], content["seq"]

    def of(self, device: str = "pump-0001", sensor: str = "pressure") -> list[dict[str, Any]]:
        return [one for one in self.contents if (one["device"], one["sensor"]) == (device, sensor)]

    def errors(self) -> dict[tuple[str, str, int], float]:
        """How far each value is from the sound one, where it differs."""
        found = {}
        for content in self.contents:
            off = content["value"] - self.sound[self._context(content)]["value"]
            if off:
                found[self._context(content)] = off
        return found


@pytest.fixture
def receive(mosquitto: Server, subscribe: Callable[[Server], Subscriber]) -> Callable[..., Any]:
    """``await hear(fault, …)``: four pumps for a virtual minute with these faults, over a real broker."""

    async def run(*faults: Fault) -> Received:
        listener = subscribe(mosquitto)
        spec = msgspec.structs.replace(PUMPS, faults=faults)
        outcome = await FleetRun(spec, BrokerTarget("127.0.0.1", mosquitto.port)).run()
        received = await asyncio.to_thread(listener.received)
        assert len(received) == outcome.report.planned == outcome.report.confirmed
        lines = [line async for line in label_lines(spec, outcome.timeline, 60 * SECOND)]
        return Received(received, spec, msgspec.json.Decoder(Label).decode_lines(b"".join(lines)))

    return run


pytestmark = pytest.mark.real("mosquitto")


async def test_dropout_leaves_a_hole(receive: Any) -> None:
    received = await receive(
        fault(kind="dropout", at_s=10, for_s=20, devices=["pump-0001"], sensors=["pressure"])
    )
    assert [one["seq"] for one in received.of()] == [*range(1, 11), *range(31, 61)]
    assert len(received.of("pump-0002")) == 60
    assert len(received.labels) == 20
    assert all(label.sent == 0 and label.reported is None for label in received.labels)


async def test_stuck_repeats_one_value(receive: Any) -> None:
    received = await receive(fault(kind="stuck", at_s=10, for_s=20, devices=["pump-0002"]))
    values = [one["value"] for one in received.of("pump-0002", "vibration")]
    assert len(set(values[10:30])) == 1
    assert len(set(values[:10])) > 3
    assert {label.reported for label in received.labels if label.sensor == "vibration"} == {values[12]}
    assert len({label.truth for label in received.labels if label.sensor == "vibration"}) > 5


async def test_spikes_are_rare_and_far_off(receive: Any) -> None:
    received = await receive(fault(kind="spike", chance=0.1, size=0.5, sensors=["pressure"]))
    errors = received.errors()
    assert 10 <= len(errors) <= 45, "a tenth of 240"
    assert {round(abs(error), 1) for error in errors.values()} == {8.0}
    assert {error > 0 for error in errors.values()} == {True, False}
    assert {(one.device, one.sensor, one.seq) for one in received.labels} == set(errors)


async def test_drift_grows_with_time(receive: Any) -> None:
    received = await receive(fault(kind="drift", at_s=30, per_minute=0.1, sensors=["pressure"]))
    errors = [error for (device, _, _), error in received.errors().items() if device == "pump-0003"]
    assert len(errors) >= 28
    assert errors[-1] == pytest.approx(0.8, abs=0.05), "half a minute, a tenth of 16 bar a minute"
    assert errors == pytest.approx(sorted(errors), abs=0.011)


async def test_noise_scatters(receive: Any) -> None:
    received = await receive(fault(kind="noise", size=0.05, sensors=["pressure"]))
    errors = list(received.errors().values())
    assert len(errors) > 220
    assert 0.6 < math.sqrt(math.fsum(error * error for error in errors) / len(errors)) < 1.0, "0.05 of 16 bar"


async def test_skew_shows_the_wrong_time(receive: Any) -> None:
    received = await receive(fault(kind="skew", by_s=-3600, devices=["pump-0001"]))
    for content in received.of():
        sound = received.sound[content["device"], content["sensor"], content["seq"]]
        shown, right = (datetime.fromisoformat(one["ts"]) for one in (content, sound))
        assert (right - shown).total_seconds() == 3600


async def test_late_readings_come_late_and_complete(receive: Any) -> None:
    received = await receive(fault(kind="late", by_s=8, devices=["pump-0001"], sensors=["pressure"]))
    order = [(one["device"], one["ts"]) for one in received.contents if one["sensor"] == "pressure"]
    assert len(received.of()) == 60
    latest = ""
    behind = []
    for device, ts in order:
        if device == "pump-0001":
            delay = datetime.fromisoformat(latest) - datetime.fromisoformat(ts) if latest else None
            behind.append(delay.total_seconds() if delay else 0.0)
        else:
            latest = max(latest, ts)
    assert 3 < sorted(behind)[len(behind) // 2] < 9


async def test_out_of_order_readings_are_overtaken(receive: Any) -> None:
    received = await receive(fault(kind="out-of-order", chance=0.2, sensors=["pressure"]))
    for device in ("pump-0001", "pump-0002", "pump-0003", "pump-0004"):
        numbers = [one["seq"] for one in received.of(device)]
        assert sorted(numbers) == list(range(1, 61))
        assert numbers != sorted(numbers)


async def test_duplicates_are_the_same_bytes_again(receive: Any) -> None:
    received = await receive(fault(kind="duplicate", chance=0.25, after_s=2))
    again = len(received.raw) - len(set(received.raw))
    assert len(set(received.raw)) == len(received.sound)
    assert 0.17 < again / len(received.sound) < 0.33
    assert sum(label.sent == 2 for label in received.labels) == again


async def test_a_reboot_counts_from_one_again_under_a_new_boot(receive: Any) -> None:
    received = await receive(fault(kind="reboot", at_s=20, for_s=10, devices=["pump-0001"]))
    numbers = [(one["boot"].partition("-")[2], one["seq"]) for one in received.of()]
    assert numbers == [("", n) for n in range(1, 21)] + [("1", n) for n in range(1, 31)]
    boots = {one["boot"] for one in received.of()}
    assert len(boots) == 2
    assert len({one["boot"] for one in received.of("pump-0002")}) == 1


async def test_malformed_payloads_cannot_be_decoded(receive: Any) -> None:
    received = await receive(fault(kind="malformed", chance=0.2))
    unreadable = len(received.raw) - len(received.contents)
    wrong_type = sum(not isinstance(one.get("value"), int | float) for one in received.contents)
    assert unreadable > 40
    assert wrong_type > 10
    assert unreadable + wrong_type == len(received.labels)
    assert 0.13 < len(received.labels) / len(received.raw) < 0.27


def test_without_a_fault_at_hand_the_stream_is_the_plain_one_to_the_byte() -> None:
    roster = Roster(1, 60)
    plain = Stream(roster, MINUTE).window(60 * SECOND)
    beyond = FaultyStream(roster, MINUTE, [fault(kind="stuck", at_s=100)]).window(60 * SECOND)
    empty = FaultyStream(roster, MINUTE, [fault(kind="drift", per_minute=0.0)]).window(60 * SECOND)
    assert plain == beyond
    assert [message[:4] for message in plain] == [message[:4] for message in empty]


def test_a_faulty_stream_has_one_digest_whatever_the_windows_and_the_shares() -> None:
    faults = (
        fault(kind="late", chance=0.3), fault(kind="reboot", at_s=5, share=0.5), fault(kind="spike"),
        fault(kind="duplicate"), fault(kind="malformed", chance=0.05), fault(kind="skew", by_s=2, share=0.3),
    )  # fmt: skip
    spec = FleetSpec(devices=100, duration_s=30.0, faults=faults)
    roster = Roster(spec.seed, spec.devices)
    whole = stream_of(spec, roster, MINUTE).window(60 * SECOND)
    windows = stream_of(spec, roster, MINUTE)
    parts = [message for n in range(150) for message in windows.window((n + 1) * 400_000)]
    shares = [
        stream_of(spec, roster, MINUTE, shards=range(part, 64, 2)).window(60 * SECOND) for part in (0, 1)
    ]
    assert whole == parts == sorted(shares[0] + shares[1])
    digest, other = StreamDigest(100), StreamDigest(100)
    digest.add(whole)
    other.add(Stream(roster, MINUTE).window(60 * SECOND))
    assert digest.hexdigest() != other.hexdigest()


def test_a_share_of_the_fleet_is_struck_whole() -> None:
    spec = FleetSpec(devices=400, faults=(fault(kind="dropout", share=0.25),))
    roster = Roster(spec.seed, spec.devices)
    received = {message[2].split(b"/")[2] for message in stream_of(spec, roster, MINUTE).window(60 * SECOND)}
    assert 0.69 < len(received) / 400 < 0.81


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[fault]]\nkind = "stuk"\n', 2, ["fault[0].kind", "stuck", "dropout"]),
        ('[[fault]]\nkind = "stuck"\nat = 3\n', 3, ["fault[0].at", "no such key"]),
        ('[[fault]]\nkind = "stuck"\nshare = 2\n', 3, ["fault[0].share", "2"]),
        ('[[fault]]\nkind = "late"\n\n[[fault]]\nkind = "skew"\n', 4, ["fault[1]", "'by_s' is missing"]),
        ('[[fault]]\nkind = "stuck"\nclasses = ["boat"]\n', 3, ["fault[0].classes", "'boat'"]),
        ('[[fault]]\nkind = "stuck"\ndevices = ["pump-9999"]\n', 3, ["'pump-9999'"]),
        ('[[fault]]\nkind = "stuck"\nsensors = ["smell"]\n', 3, ["'smell'"]),
        ("fault = []\n", 0, ["no fault"]),
        ("[[fault]\n", 1, ["not valid TOML"]),
    ],
)
def test_a_mistake_in_a_fault_file_is_named(text: str, line: int, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_faults(str(file), Roster(1, 30))
    text = str(caught.value)
    assert "\n" not in text
    assert not line or f"line {line}" in text
    for word in words:
        assert word in text
