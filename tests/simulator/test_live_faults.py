"""Faults toggled while the fleet runs: heard, answered, labelled, and known to the ledger."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from iotcache.mqtt import MqttLink
from iotcache_simulator.faults.kinds import Dropout, Reboot, Stuck
from iotcache_simulator.faults.live import FAULTS_MAX, Journal, parse_request
from iotcache_simulator.fleet.load import LiveLoad
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.ledger.labels import label_lines
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.control import control_topic
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server

ROSTER = Roster(1, 20)


def test_a_wish_names_the_whole_set_and_the_journal_keeps_its_times() -> None:
    journal = Journal((Stuck(at_s=1.0),))
    drop, stuck = Dropout(classes=("pump",)), Stuck(share=0.5)
    assert journal.apply((drop,), 2_000_000)
    assert not journal.apply((drop,), 3_000_000)
    assert journal.apply((drop, stuck), 4_000_000)
    assert journal.apply((stuck,), 5_500_000)
    assert journal.apply((), 6_000_000)
    assert [(type(fault), fault.at_s, fault.for_s) for fault in journal.faults] == [
        (Stuck, 1.0, None),
        (Dropout, 2.0, 3.5),
        (Stuck, 4.0, 2.0),
    ]


def test_a_fault_that_ended_by_itself_keeps_its_end() -> None:
    journal = Journal(())
    journal.apply((Reboot(for_s=1.0),), 1_000_000)
    journal.apply((), 9_000_000)
    assert journal.faults == (Reboot(at_s=1.0, for_s=1.0),)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"load": 0}', "0.01"), (b'{"load": 1e9}', "100"), (b'{"load": NaN}', "control message"),
        (b"[]", "it must be a table"), (b"\xff", "control message"),
        (b'{"fault": []}', "did you mean faults"),
        (b'{"faults": [{"kind": "stuk"}]}', "no kind 'stuk'"), (b'{"load": 1e999}', "out of range"),
        (b'{"faults": [{"kind": "stuck", "at_s": 3}]}', "at_s"),
        (b'{"faults": [{"kind": "stuck", "classes": ["boat"]}]}', "no class 'boat'"),
        (b"[" * 9_999, "control message"),
        (json.dumps({"faults": [{"kind": "stuck"}] * (FAULTS_MAX + 1)}).encode(), "100 are allowed"),
    ],
)  # fmt: skip
def test_a_wrong_message_gets_one_sentence(payload: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_request(payload, ROSTER)


@pytest.mark.real("mosquitto")
async def test_the_running_fleet_follows_and_the_ledger_stays_exact(mosquitto: Server) -> None:
    broker = BrokerSettings(url=f"mqtt://{mosquitto.address}")
    spec = FleetSpec(devices=20, rate=1_000, duration_s=1.6, control="lab")
    topic = control_topic("lab")
    fleet = FleetRun(spec, target_of(broker), broker)
    wishes = (
        {"faults": [{"kind": "dropout", "classes": ["pump"]}, {"kind": "stuck", "classes": ["hvac"]}]},
        {"faults": [{"kind": "nonsense"}]},
        {"faults": [{"kind": "stuck", "classes": ["hvac"]}]},
    )
    states: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(20),
        Verification(VerifyTargets(mqtt=True), spec, broker, settle_s=1.0) as verification,
        MqttLink.from_settings(broker, "operator", subscriptions=((f"{topic}/state", 1),)) as link,
    ):
        await link.until_connected()
        running = asyncio.create_task(fleet.run(verification.begin))
        for request in wishes:
            while fleet.publisher.published < 300 * (len(states) + 1):
                await asyncio.sleep(0.005)
            link.post(topic, json.dumps(request).encode(), retain=True)
            (message,) = await link.batch(1)
            link.ack([message])
            states.append(json.loads(message.payload))
        outcome = await running
        report = await verification.judged(outcome.report, outcome.horizons, outcome.spec)
    assert [len(state["active"]) for state in states] == [2, 2, 1]
    assert [bool(state.get("error")) for state in states] == [False, True, False]
    assert "nonsense" in states[1]["error"]
    assert outcome.spec is not None
    drop, stuck = outcome.spec.faults
    assert (drop.at_s, stuck.at_s, stuck.for_s) == (states[0]["since_s"], states[0]["since_s"], None)
    assert drop.at_s + (drop.for_s or 0) == pytest.approx(states[2]["since_s"])
    assert report.ledger is not None
    assert report.ledger.expected == report.planned == report.confirmed
    assert report.ledger.lost == 0
    assert report.ledger.mqtt is not None
    assert report.ledger.mqtt.received == report.planned
    assert report.faults == 2
    lines = [
        json.loads(line)
        async for some in label_lines(outcome.spec, outcome.timeline, max(outcome.horizons.values()))
        for line in some.splitlines()
    ]
    assert {tuple(line["faults"]) for line in lines} == {("dropout",), ("stuck",)}
    dropped = [line for line in lines if line["faults"] == ["dropout"]]
    assert {line["device"].partition("-")[0] for line in dropped} == {"pump"}
    sound = FleetSpec(devices=20, rate=1_000, duration_s=1.6)
    whole = await FleetRun(sound, target_of(broker)).run()
    assert whole.report.planned == report.planned + len(dropped)


@pytest.mark.real("mosquitto")
async def test_the_load_is_turned_while_it_runs_and_the_ledger_stays_exact(mosquitto: Server) -> None:
    broker = BrokerSettings(url=f"mqtt://{mosquitto.address}")
    spec = FleetSpec(devices=20, rate=500, duration_s=2.0, control="load")
    topic = control_topic("load")
    fleet = FleetRun(spec, target_of(broker), broker)
    async with (
        asyncio.timeout(20),
        Verification(VerifyTargets(mqtt=True), spec, broker, settle_s=1.0) as verification,
        MqttLink.from_settings(broker, "operator", subscriptions=((f"{topic}/state", 1),)) as link,
    ):
        await link.until_connected()
        running = asyncio.create_task(fleet.run(verification.begin))
        while fleet.publisher.published < 250:
            await asyncio.sleep(0.005)
        link.post(topic, b'{"load": 4.0}')
        (message,) = await link.batch(1)
        link.ack([message])
        state = json.loads(message.payload)
        outcome = await running
        report = await verification.judged(outcome.report, outcome.horizons, outcome.spec)
    assert state["load"] == 4.0
    assert report.planned == pytest.approx(
        500 * state["since_s"] + 2_000 * (2.0 - state["since_s"]), rel=0.02
    )
    assert report.ledger is not None
    assert (report.ledger.lost, report.ledger.expected) == (0, report.planned)


@given(
    st.lists(st.tuples(st.integers(0, 5_000_000), st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0])), max_size=6),
    st.integers(0, 40_000_000),
)
def test_a_live_load_bends_there_and_back_as_the_profile_made_of_it(
    turns: list[tuple[int, float]], at_us: int
) -> None:
    load = LiveLoad()
    now_us = 0
    for after_us, factor in turns:
        now_us += after_us
        load.turn(now_us, factor)
    work_clock = load.work_clock()
    work = work_clock.work(at_us)
    assert work_clock.time(work) >= at_us
    assert work == 0 or work_clock.time(work - 1) < at_us
    profile = load.as_it_was()
    if profile is not None:
        profiled = profile.work_clock()
        assert (profiled.work(at_us), profiled.time(work)) == (work, work_clock.time(work))
