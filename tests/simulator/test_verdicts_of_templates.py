"""Messages in the words of other fleets: their readings are compared as closely as those of our own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from iotcache.model import Reading
from iotcache_simulator.fleet.classes import preset_classes
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.publish.plan.spec import FleetSpec
from tests.conftest import Server
from tests.simulator.backend import HEALTHY, Delivery, Mutation, Wire, verdict
from tests.simulator.test_mutations import each, number

pytestmark = pytest.mark.real("memcached")
PRESETS = {name: FleetSpec(devices=3, duration_s=150.0, seed=5, classes=preset_classes(name))
           for name in ("chirpstack", "zigbee2mqtt", "homie")}  # fmt: skip
"""Readings known by their number, by their time, by their order."""


def text(change: str, to: str, every: int = 4) -> Wire:
    """Every so many-th payload with what matches ``change`` replaced."""

    def wire(sent: list[Delivery]) -> list[Delivery]:
        return [
            Delivery(topic, re.sub(change, to, payload.decode(), count=1).encode())
            if at % every == every // 2
            else Delivery(topic, payload)
            for at, (topic, payload) in enumerate(sent)
        ]

    return wire


def rows_dropped(rows: list[Reading]) -> list[Reading]:
    return rows[:5] + rows[6:]


MUTATIONS = [
    HEALTHY,
    Mutation("wire: one message dropped", "in mqtt", wire=lambda sent: sent[:4] + sent[5:]),
    Mutation("wire: values changed", "altered", wire=text(r'(?<="temperature":)-?\d+|^-?\d+', "99", 1)),
    Mutation("wire: messages doubled", "handed on twice", wire=lambda sent: [*sent, *sent[::5]]),
    Mutation("wire: another topic", "", wire=lambda sent: [
        Delivery(t + "x" if at % 5 == 1 else t, p) for at, (t, p) in enumerate(sent)]),
    Mutation("store: one row dropped", "(1 in store)", rows=rows_dropped),
    Mutation("store: a value changed", "altered", rows=each(lambda row: number(row, lambda v: v + 1))),
    Mutation("store: a unit changed", "unit", rows=each(lambda row: replace(row, unit="K"), 1)),
]  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
@pytest.mark.parametrize("preset", PRESETS)
async def test_a_back_end_with_this_fault_is_found_out_whatever_the_fleet(
    preset: str, mutation: Mutation, memcached: Server, tmp_path: Path
) -> None:
    report = await verdict(PRESETS[preset], memcached.address, tmp_path, mutation)
    assert report.ok is (mutation is HEALTHY), report.failures
    if mutation is not HEALTHY:
        assert any(mutation.says in failure for failure in report.failures), report.failures


@pytest.mark.parametrize(
    "fields",
    [
        {"topic": "a/{device}"},
        {"topic": "x/{sensor}/of/{device}", "payload": Format("senml")},
        {"topic": "x/{device}", "payload": Format("cbor")},
        {"topic": "a/{device}", "payload": Format("template", '{"v":{values},"t":{ts:ms}}')},
        {
            "topic": "a/{class}/{number:03d}",
            "payload": Format("template", '{"v":{values},"n":{seq},"b":"{boot}"}'),
        },
        {"payload": Format("template", '{"d":"{device}","s":"{sensor}","v":{json}}')},
    ],
)
async def test_a_topic_of_ones_own_is_read_back(
    fields: dict[str, object], memcached: Server, tmp_path: Path
) -> None:
    spec = replace(FleetSpec(devices=10, duration_s=40.0), **fields)
    report = await verdict(spec, memcached.address, tmp_path)
    assert report.ledger is not None
    ledger = report.ledger
    assert (ledger.lost_in["mqtt"], ledger.foreign_in["mqtt"], ledger.altered_in["mqtt"]) == (0, 0, 0)
    assert (ledger.misplaced_in["mqtt"], ledger.mqtt and ledger.mqtt.foreign) == (0, 0)


@pytest.mark.parametrize(
    "template",
    [
        '{"d":"{device}","s":"{sensor}","v":{json},"u":"{unit}","at":{ts:ms},"n":{seq},"b":"{boot}"}',
        "{device};{sensor};{value};{ts:%d.%m.%Y %H:%M:%S.%f};{seq};{boot}",
    ],
)
@pytest.mark.parametrize(("change", "says"), [("", ""), (r"(?<=[:;])true(?=[,;])", "altered")])
async def test_a_payload_of_ones_own_is_read_back(
    template: str, change: str, says: str, memcached: Server, tmp_path: Path
) -> None:
    spec = FleetSpec(devices=10, duration_s=40.0, payload=Format("template", template), zone="Asia/Kolkata")
    wire = text(change, "false", 1) if change else list
    report = await verdict(spec, memcached.address, tmp_path, Mutation("", says, wire=wire))
    assert report.ledger is not None
    assert (report.ledger.lost_in["mqtt"], report.ledger.foreign) == (0, 0)
    assert bool(report.ledger.altered_in["mqtt"]) is bool(change)
