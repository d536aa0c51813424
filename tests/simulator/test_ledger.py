"""The ledger: it misses exactly what is missing, wherever that happens."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from xml.etree import ElementTree

import msgspec
import pytest
from pymemcache.client.base import Client

from iotcache.config.schema import BrokerSettings, Settings
from iotcache.errors import UsageError
from iotcache.model import Series
from iotcache_simulator.faults.kinds import Fault
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.ledger.expected import expected
from iotcache_simulator.ledger.reconcile import reconcile
from iotcache_simulator.ledger.sightings import HIGHEST_SEQ, Content, Sightings, Track
from iotcache_simulator.ledger.targets import VerifyTargets, parse_targets
from iotcache_simulator.ledger.unnumbered import DueReading, Unnumbered
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.conditions import parse_condition
from iotcache_simulator.report.junit import Case, junit
from iotcache_simulator.report.listening import ListeningReport
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import FIGURES, cases, figures, judged
from iotcache_simulator.wire.target import target_of
from tests.conftest import Server

SPEC = FleetSpec(devices=20, rate=200.0, duration_s=3.0)
HORIZONS = dict.fromkeys(range(64), 3_000_000)


async def test_exactly_the_missing_readings_are_named() -> None:
    timeline = SPEC.timeline(0)
    due = [reading async for window in expected(SPEC, timeline, HORIZONS) for reading in window]
    gone = {(due[n].track, due[n].seq) for n in (0, 17, 100, len(due) - 1)}
    mqtt, store = Sightings(), Sightings()
    for reading in due:
        store.add(reading.track, reading.seq)
        if (reading.track, reading.seq) not in gone:
            mqtt.add(reading.track, reading.seq, 5)
    balance = await reconcile(expected(SPEC, timeline, HORIZONS), {"mqtt": mqtt, "store": store})
    assert balance.expected == len(due)
    assert balance.lost == 4
    assert balance.lost_in == {"mqtt": 4, "store": 0}
    assert {(Track(one.device, one.sensor), one.seq) for one in balance.missing} == gone
    assert all(one.missing_in == ("mqtt",) for one in balance.missing)


def test_repetitions_disorder_and_strangers_are_told_apart() -> None:
    seen = Sightings()
    series = Track("a", "b")
    for seq in (1, 2, 4, 3, 3, 5, -1, HIGHEST_SEQ + 1):
        seen.add(series, seq, 10 + seq)
    assert (seen.total, seen.distinct(), seen.duplicates, seen.out_of_order, seen.impossible) == (
        6,
        5,
        1,
        1,
        2,
    )
    assert seen.when(series, 3) == 13
    assert seen.when(series, 6) == seen.when(series, 10_000) == seen.when(Track("x", "y"), 1) == 0


def test_what_a_birth_tells_is_no_reading_of_the_run_in_any_case() -> None:
    """Births of Sparkplug have values of their own, of times of their own, in any order with the readings."""
    series, track = Series("d", "s"), Track("d", "s")
    due = [
        DueReading(track, n, n * 1_000, Content(value, n * 1_000, "", ""))
        for n, value in enumerate((True, False, True), 1)
    ]

    def found(*sightings: tuple[int, bool]) -> Sightings:
        place = Unnumbered()
        for ts_us, value in sightings:
            place.add(series, ts_us, Content(value, ts_us, "", ""))
        numbered = place.numbered({series: due}, timed=True, births=True)
        numbered.only({(one.track, one.seq) for one in due})
        return numbered

    birth_before_the_last = found((1_000, True), (2_000, False), (2_500, True))
    assert birth_before_the_last.distinct() == 2, "it is waited for, not taken for altered"
    for at_one_time in ((True, False), (False, True)):
        all_there = found((1_000, True), (2_000, False), *((3_000, value) for value in at_one_time))
        assert all_there.distinct() == 3
        assert all(all_there.says(track, one.seq, one.content) for one in due)
    altered = found((1_000, True), (2_000, True), (3_000, True))
    assert [altered.says(track, one.seq, one.content) for one in due] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        ("lost==0", 0, True), ("lost == 0", 3, False), ("lost!=0", 3, True), ("e2e_p99<250ms", 249.9, True),
        ("e2e_p99<0.25s", 250.0, False), ("lag_max<=500us", 0.5, True), ("rate>=1990/s", 1_991.0, True),
        ("rate>1990", 1_990.0, False), ("stored>=1", None, False),
    ],
)  # fmt: skip
def test_conditions_hold_or_not(text: str, value: float | None, held: bool) -> None:
    condition = parse_condition(text, FIGURES)
    assert condition.holds({condition.name: value}) is held
    assert condition.describe({condition.name: value}).startswith(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lost", "must read like"), ("lost=0", "must read like"), ("lots==0", "no figure 'lots'"),
        ("lost<5ms", "not measured in 'ms'"), ("e2e_p99<5%", "not measured in '%'"), ("", "must read like"),
    ],
)  # fmt: skip
def test_a_condition_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_condition(text, FIGURES)


def test_what_failed_is_told_whole_and_with_its_unit() -> None:
    measured = {"lost": 1_234_567.0, "e2e_p99": 3.853, "rate": 1_989.25, "hit_ratio": 0.934}
    names = {**FIGURES, "hit_ratio": "share"}
    for text, told in (
        ("lost==0", "it was 1234567"), ("e2e_p99<50us", "it was 3.853 ms"),
        ("rate>=2000", "it was 1989.25/s"), ("hit_ratio>=95%", "it was 0.934"),
    ):  # fmt: skip
        condition = parse_condition(text, names)
        assert not condition.holds(measured)
        assert condition.describe(measured) == f"{text}: {told}"
    assert parse_condition("hit_ratio>=93%", names).holds(measured)


def test_places_to_verify() -> None:
    settings = Settings()
    places = parse_targets("store=sqlite:////tmp/x.db,cache=a:1,b:2,mqtt", settings)
    assert places.mqtt
    assert places.store is not None
    assert places.store.url == "sqlite:////tmp/x.db"
    assert places.cache is not None
    assert places.cache.nodes == ("a:1", "b:2")
    assert parse_targets("mqtt", settings) == VerifyTargets(mqtt=True)
    for wrong in ("mqtx", "mqtt=1", "", "a:1,mqtt"):
        with pytest.raises(UsageError, match="--verify"):
            parse_targets(wrong, settings)


def test_junit_has_a_case_for_each_promise() -> None:
    found = [Case("a < b & c"), Case("lost==0", 'lost==0: it was "3"')]
    root = ElementTree.fromstring(junit(found, suite="s", seconds=1.5, started="2026-01-01T00:00:00Z"))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["a < b & c", "lost==0"]
    assert suite[1][0].get("message") == 'lost==0: it was "3"'


# With real servers


async def verified(
    settings: Settings, spec: FleetSpec, meanwhile: Callable[[FleetRun], None] = lambda fleet: None
) -> Report:
    places = parse_targets("mqtt,store,cache", settings)
    fleet = FleetRun(spec, target_of(settings.broker))
    async with Verification(places, spec, settings.broker, settle_s=1.0) as verification:
        outcome = await fleet.run(verification.begin)
        await until_stored(settings, outcome.report)
        await asyncio.to_thread(meanwhile, fleet)
        report = await verification.judged(outcome.report, outcome.horizons)
    return judged(report, cases(report))


async def until_stored(settings: Settings, report: Report) -> None:
    def count() -> int:
        with sqlite3.connect(settings.store.url.removeprefix("sqlite:///")) as database:
            return int(
                database.execute("SELECT count(*) FROM reading WHERE boot = ?", (report.boot,)).fetchone()[0]
            )

    async with asyncio.timeout(10):
        while await asyncio.to_thread(count) < report.published:
            await asyncio.sleep(0.02)


@pytest.mark.real("mosquitto", "memcached")
@pytest.mark.parametrize(("payload", "duration_s"), [("json", 1.5), ("cbor", 0.5), ("senml", 0.5)])
async def test_what_was_published_arrives_is_stored_once_and_can_be_read(
    pipeline: Settings, payload: str, duration_s: float
) -> None:
    spec = FleetSpec(devices=30, rate=400, duration_s=duration_s, payload=Format(payload))
    report = await verified(pipeline, spec)
    ledger = report.ledger
    assert ledger is not None
    assert report.ok, report.failures
    assert ledger.expected == report.planned > 300 * duration_s
    assert (ledger.lost, ledger.missing) == (0, ())
    assert ledger.mqtt is not None
    assert (ledger.mqtt.received, ledger.mqtt.duplicates, ledger.mqtt.foreign) == (report.planned, 0, 0)
    assert ledger.store is not None
    assert ledger.store.stored == report.planned
    assert ledger.cache is not None
    assert ledger.cache.stale == 0
    assert ledger.cache.fresh > 0
    assert ledger.end_to_end_ms is not None
    assert ledger.end_to_end_ms.p50 > 0
    measured = figures(report)
    assert set(measured) == set(FIGURES)
    unmeasured = {name for name, figure in measured.items() if figure is None}
    of_answers = {name for name in FIGURES if name.startswith(("apply_", "report_"))}
    assert unmeasured <= {*ListeningReport.__struct_fields__, *of_answers}


@pytest.mark.real("mosquitto", "memcached")
async def test_what_disappears_from_the_store_or_grows_stale_in_the_cache_is_found(
    pipeline: Settings,
) -> None:
    spec = FleetSpec(devices=30, rate=400, duration_s=1.0)
    taken: list[tuple[str, str, int]] = []

    def damage(fleet: FleetRun) -> None:
        with sqlite3.connect(pipeline.store.url.removeprefix("sqlite:///")) as database:
            for key, device, sensor, seq, ts_us in database.execute(
                "SELECT series_id, device, sensor, seq, ts_us FROM reading JOIN series ON id = series_id "
                "ORDER BY ts_us LIMIT 3"
            ).fetchall():
                database.execute("DELETE FROM reading WHERE series_id = ? AND ts_us = ?", (key, ts_us))
                taken.append((device, sensor, seq))
        host, port = pipeline.cache.nodes[0].split(":")
        node = Client((host, int(port)))
        changes: list[dict[str, object]] = [{"boot": "another"}, {"seq": 0}]
        for device in fleet.partition.roster.names:
            key = f"{device}:temperature:latest"
            if (value := node.get(key)) is not None:
                content = json.loads(value) | changes.pop()
                node.set(key, json.dumps(content).encode())
                if not changes:
                    break
        node.close()

    report = await verified(pipeline, spec, damage)
    ledger = report.ledger
    assert ledger is not None
    assert ledger.lost == 3
    assert ledger.lost_in == {"mqtt": 0, "store": 3}
    assert sorted((one.device, one.sensor, one.seq) for one in ledger.missing) == sorted(taken)
    assert ledger.cache is not None
    assert (ledger.cache.stale, ledger.cache.others) == (1, 1)
    assert not report.ok
    told = ", ".join(f"{one.device} {one.sensor} {one.seq}" for one in ledger.missing)
    assert f"3 readings are missing (3 in store); the first: {told}" in report.failures
    assert any("1 cached value is stale" in failure for failure in report.failures)
    assert any("1 cached value is of another fleet" in failure for failure in report.failures)


@pytest.mark.real("mosquitto")
async def test_a_run_that_was_stopped_expects_no_more_than_it_planned(mosquitto: Server) -> None:
    settings = Settings(broker=BrokerSettings(url=f"mqtt://{mosquitto.address}"))
    fleet = FleetRun(FleetSpec(devices=30, rate=500), target_of(settings.broker))
    places = parse_targets("mqtt", settings)
    async with Verification(places, fleet.spec, settings.broker, settle_s=1.0) as verification:
        running = asyncio.create_task(fleet.run(verification.begin))
        while fleet.publisher.published < 200 and not running.done():
            await asyncio.sleep(0.005)
        fleet.stop()
        outcome = await running
        report = await verification.judged(outcome.report, outcome.horizons)
    assert report.ledger is not None
    assert report.ledger.expected == report.planned
    assert report.ledger.lost == 0


@pytest.mark.real("mosquitto")
async def test_faults_of_devices_are_not_losses(mosquitto: Server) -> None:
    settings = Settings(broker=BrokerSettings(url=f"mqtt://{mosquitto.address}"))
    faults = msgspec.convert(
        [
            {"kind": "dropout", "chance": 0.1}, {"kind": "late", "by_s": 0.2, "chance": 0.2},
            {"kind": "duplicate", "chance": 0.2}, {"kind": "malformed", "chance": 0.1},
            {"kind": "reboot", "at_s": 0.3, "for_s": 0.2, "share": 0.5},
            {"kind": "skew", "by_s": -60, "share": 0.3},
        ],
        tuple[Fault, ...],
    )  # fmt: skip
    spec = FleetSpec(devices=40, rate=800, duration_s=1.2, faults=faults)
    fleet = FleetRun(spec, target_of(settings.broker))
    async with Verification(
        parse_targets("mqtt", settings), spec, settings.broker, settle_s=0.5
    ) as verification:
        outcome = await fleet.run(verification.begin)
        report = await verification.judged(outcome.report, outcome.horizons)
    assert report.ledger is not None
    assert report.ledger.mqtt is not None
    assert report.ledger.lost == 0
    assert report.ledger.mqtt.received == report.ledger.expected
    assert report.ledger.mqtt.duplicates > 50
    assert report.ledger.mqtt.foreign > 20
    assert report.ledger.mqtt.out_of_order > 0
    assert (
        report.planned == report.ledger.expected + report.ledger.mqtt.duplicates + report.ledger.mqtt.foreign
    )
