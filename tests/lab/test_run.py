"""Scenarios on real servers: they hold, and they do not when what they teach is broken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError
from iotcache_simulator.lab.definition.actions import (
    AnyAction,
    BrokerAction,
    Memory,
    PageMover,
    Policy,
    ReadersAction,
    Warm,
)
from iotcache_simulator.lab.definition.scenario import Scenario, catalogue, find, parse
from iotcache_simulator.lab.pace import Pace
from iotcache_simulator.lab.report import markdown
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.lab.state import LabState
from iotcache_simulator.stack.rundir import find_running
from iotcache_tui.cli.main import main
from tests.conforming import conforming

SHORT = """
title = "Short"
level = "basic"
minutes = 1
summary = "A node goes."
teaches = ["x"]
explanation = "It stood in."
[stack]
nodes = 2
devices = 5
ttl_s = 60
[[step]]
title = "All is well"
say = "Look."
expect = ["hit_percent > 80 within 20", "nodes_up == 2"]
[step.question]
ask = "Well?"
answers = ["yes", "no"]
right = 1
why = "So it is."
[[step]]
title = "A node is gone"
say = "Look again."
do = [{ act = "kill", node = 2 }]
expect = ["nodes_down == 1"]
"""
NAMES = [one.name for one in catalogue()[0]]


async def through(scenario: Scenario, forced: Policy | None = None) -> ScenarioRun:
    made = ScenarioRun(scenario, auto=True, forced=forced)
    async with asyncio.timeout(HANGS_S), made:
        await made.play()
    return made


def hurried(scenario: Scenario, seconds: int) -> Scenario:
    """Nobody waits long for a check that will not turn green."""

    def quick(text: str) -> str:
        head, _, within = text.partition(" within ")
        lasting = int(head.partition(" for ")[2] or 1)
        return f"{head} within {min(int(within), max(seconds, lasting))}" if within else text

    steps = tuple(structs.replace(step, expect=tuple(map(quick, step.expect))) for step in scenario.step)
    return structs.replace(scenario, step=steps)


def without(scenario: Scenario, unwanted: Callable[[AnyAction], bool]) -> Scenario:
    steps = tuple(
        structs.replace(step, do=tuple(act for act in step.do if not unwanted(act))) for step in scenario.step
    )
    return structs.replace(scenario, step=steps)


def roomy(scenario: Scenario) -> Scenario:
    return structs.replace(scenario, stack=structs.replace(scenario.stack, memory_mb=64))


def one_value_a_page(scenario: Scenario) -> Scenario:
    return structs.replace(scenario, stack=structs.replace(scenario.stack, batch=1))


def same_version_behind(scenario: Scenario) -> Scenario:
    """Every change goes through the push: nothing is behind the cache's back."""
    steps = tuple(
        structs.replace(
            step,
            do=tuple(
                structs.replace(act, behind=False) if hasattr(act, "behind") else act for act in step.do
            ),
        )
        for step in scenario.step
    )
    return structs.replace(scenario, step=steps)


def memory_as_it_was(scenario: Scenario) -> Scenario:
    steps = tuple(
        structs.replace(
            step,
            do=tuple(structs.replace(act, mb=8) if isinstance(act, Memory) else act for act in step.do),
        )
        for step in scenario.step
    )
    return structs.replace(scenario, step=steps)


def short_queue(scenario: Scenario) -> Scenario:
    return structs.replace(scenario, stack=structs.replace(scenario.stack, store_queue=20))


BROKEN: dict[str, tuple[Callable[[Scenario], Scenario], Policy | None, str]] = {
    "cache-stampede": (lambda one: one, Policy(lease=False), "store_reads_of_one_key <= 2"),
    "node-crash-and-remap": (lambda one: one, Policy(placement="modulo"), "ketama.hit_percent > 75"),
    "slow-node": (lambda one: one, Policy(failover=False), "hit_percent > 85"),
    "hot-key": (
        lambda one: without(one, lambda act: isinstance(act, ReadersAction)),
        None,
        "busiest_node_percent > 85",
    ),
    "ttl-too-short": (lambda one: one, Policy(ttl_s=2), "hit_percent > 95"),
    "ttl-too-long": (lambda one: one, Policy(ttl_s=2), "probe_stale_s > 8"),
    "eviction-pressure": (roomy, None, "evictions_per_s > 50"),
    "cold-start-and-warming": (
        lambda one: without(one, lambda act: isinstance(act, Warm)), None, "hit_percent > 92",
    ),
    "broker-outage": (
        lambda one: without(one, lambda act: isinstance(act, BrokerAction) and act.to == "resume"), None,
        "stored_per_s > 250",
    ),
    "slow-database": (lambda one: one, Policy(ttl_s=3), "hit_percent > 97"),
    "cache-penetration": (lambda one: one, Policy(negative_ttl_s=0), "hit_percent > 90"),
    "synchronised-expiry": (lambda one: one, Policy(jitter=0.0), "same.store_reads_peak > 250%"),
    "hot-key-cured": (lambda one: one, Policy(near_s=0), "node_gets_per_s < 20%"),
    "multiget-hole": (one_value_a_page, None, "nodes_per_request > 4.5"),
    "early-refresh": (lambda one: one, Policy(refresh_s=0), "early.p99_ms < "),
    "invalidate-race": (lambda one: one, Policy(lease=False), "guarded.probe_stale_s == 0"),
    "write-policies": (lambda one: one, Policy(writing="through"), "left.lost_writes > 0"),
    "slab-classes": (
        lambda one: without(one, lambda act: isinstance(act, PageMover) and act.to == "eager"), None,
        "evictions_per_s < 5% of reads",
    ),
    "database-collapse": (short_queue, None, "store_waiting > 140 for 8"),
    "how-much-memory": (memory_as_it_was, None, "prediction_error < 3"),
    "which-ttl": (lambda one: one, Policy(ttl_s=3), "prediction_error < 3"),
    "config-push": (same_version_behind, None, "config_stale_s > 5"),
    "scale-out": (lambda one: one, Policy(hand_over=False), "hand-over.store_reads_since_change < 10"),
}  # fmt: skip
"""How each is broken, and which expectation must say so."""
LASTING = dict.fromkeys(("how-much-memory", "which-ttl", "slab-classes", "synchronised-expiry"), 40)
"""Seconds for which a broken one is waited for, where it takes long to measure, or entries expire first."""
HANGS_S = 300.0
"""No lesson takes a third of it on a machine of its own: a bound on a hang, none on a busy machine."""


def test_every_scenario_has_its_negative() -> None:
    assert set(BROKEN) == set(NAMES)


@pytest.mark.lab
@pytest.mark.timeout(330)
@pytest.mark.real("memcached")
@pytest.mark.parametrize("name", NAMES)
async def test_a_shipped_scenario_holds(name: str) -> None:
    made = await through(find(name))
    assert made.describe_failures() == []
    assert made.state.passed


@pytest.mark.lab
@pytest.mark.timeout(330)
@pytest.mark.real("memcached")
@pytest.mark.parametrize("name", NAMES)
async def test_it_fails_when_what_it_teaches_is_broken(name: str) -> None:
    await fails(name)


async def fails(name: str) -> None:
    spoil, forced, says = BROKEN[name]
    made = await through(hurried(spoil(find(name)), LASTING.get(name, 9)), forced)
    assert not made.state.passed
    assert any(says in sentence for sentence in made.describe_failures()), made.describe_failures()


@pytest.mark.real("memcached")
async def test_without_leases_the_stampede_goes_on() -> None:
    stampede = find("cache-stampede")
    last = structs.replace(stampede.step[2], expect=("store_reads_of_one_key <= 2 for 4 within 4",))
    made = await through(structs.replace(stampede, step=(last,)), Policy(lease=False))
    assert len(made.describe_failures()) == 1
    assert not made.state.passed


def test_what_cannot_be_run_is_another_exit_code_than_what_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def silent(self: ScenarioRun) -> ScenarioRun:
        raise IotCacheError("the scenario's fleet did not report within 40 s")

    monkeypatch.setattr(ScenarioRun, "__aenter__", silent)
    assert main(["lab", "run", "hot-key", "--headless"]) == 3
    assert capsys.readouterr().err == "iotcache-tui lab: the scenario's fleet did not report within 40 s\n"
    assert main(["lab", "run", "hot-key", "--headless", "--report", str(tmp_path / "no" / "r.json")]) == 2


@pytest.mark.real("memcached")
def test_headless_writes_its_reports_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "short.toml"
    file.write_text(SHORT)
    report, xml, text = (tmp_path / name for name in ("report.json", "report.xml", "summary.md"))
    code = main(
        ["lab", "run", str(file), "--headless", "--report", str(report), "--junit", str(xml),
         "--markdown", str(text)]
    )  # fmt: skip
    printed = capfd.readouterr().err
    assert code == 0, printed
    assert "step 2: A node is gone" in printed
    data = conforming("lab-report", report.read_bytes())
    assert (data["schema"], data["ok"], data["failures"]) == ("iotcache.lab/1", True, [])
    assert [step["title"] for step in data["steps"]] == ["All is well", "A node is gone"]
    assert data["steps"][1]["did"] == ["node 2 killed"]
    assert {len(figures) for figures in data["history"].values()} == {len(data["history"]["at_s"])}
    suite = ElementTree.fromstring(xml.read_bytes())[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert "What it means" in text.read_text()


@pytest.mark.real("memcached")
async def test_a_person_goes_on_back_and_answers_and_may_leave_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOTCACHE_RUNTIME_DIR", str(tmp_path))
    states: list[LabState] = []
    made = ScenarioRun(parse(SHORT, "short.toml"), on_change=states.append)
    async with asyncio.timeout(60), made:
        pids = made.stack.pids
        with pytest.raises(IotCacheError, match="no stack is running"):
            find_running(Settings())  # another command does not end up among a lesson's servers
        playing = asyncio.create_task(made.play())

        async def until(wanted: Callable[[LabState], bool]) -> None:
            while not wanted(made.state):
                await asyncio.sleep(0.05)

        await until(lambda state: state.status == "running" and state.settled)
        assert made.state.step == 0
        made.answer(2)
        assert made.state.steps[0].answered == 0, "it was not asked yet"
        made.next()
        assert (made.state.step, made.state.asked) == (0, True), "the question comes before the next step"
        made.answer(2)
        made.answer(1)
        assert made.state.steps[0].answered == 2, "the first answer counts"
        made.next()
        await until(lambda state: state.step == 1)
        made.back()
        assert (made.state.step, made.state.shown) == (1, 0)
        made.next()
        assert made.state.shown == 1
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
    assert states[0].status == "starting"
    assert not made.state.passed
    for pid in (pids.broker, pids.ingest, pids.simulator, *pids.nodes):
        assert pid is not None
        assert not Path(f"/proc/{pid}").exists()
    assert re.search(r"\*\d+ s, ended in step 2: [12] of \d expectations held\*", markdown(made))
    assert "**Well?** Answered: no. Right is: yes. So it is." in markdown(made)


def test_an_unattended_show_leaves_time_to_read_to_think_and_to_learn_the_answer() -> None:
    asking = find("cache-stampede").step[1]
    pace = Pace.of(asking)
    words = len(asking.say.split())
    assert pace.ask_s == pytest.approx(3 + 0.3 * words)
    assert pace.reveal_after_s > 5
    assert pace.leave_after_s > 5
    assert Pace.of(structs.replace(asking, question=None)) == (pace.ask_s, 0, 0)


@pytest.mark.real("memcached")
async def test_an_unattended_show_answers_its_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "of", lambda step: Pace(0.5, 0.5, 0.5))
    made = ScenarioRun(parse(SHORT, "short.toml"), auto=True, at_reading_pace=True)
    async with asyncio.timeout(60), made:
        await made.play()
    assert [(step.answered, step.revealed) for step in made.state.steps] == [(0, True), (0, False)]
    assert made.state.steps[0].lasted_s >= 1.5


@pytest.mark.lab
@pytest.mark.real("memcached")
@pytest.mark.parametrize(("lost", "held"), [(0, True), (1, False)])
async def test_one_reading_missing_among_thousands_is_seen(lost: int, held: bool) -> None:
    outage = hurried(find("broker-outage"), 8)
    calm = structs.replace(outage, step=(outage.step[0], outage.step[-1]))
    made = ScenarioRun(calm, auto=True)
    async with asyncio.timeout(60), made:
        # As if the store had one reading less than the fleet was told.
        made.stack.stats.exclude(lost)
        await made.play()
    assert made.state.passed == held, made.describe_failures()
    assert lost == 0 or any(sentence.endswith("it was 1") for sentence in made.describe_failures())


async def test_commands_reach_the_nodes_and_fail_the_run_when_no_node_follows() -> None:
    text = (
        SHORT.split("[[step]]", 1)[0]
        + """
[[step]]
title = "More memory, and none of the entries"
say = "Look."
do = [{ act = "memory", mb = 96 }, { act = "flush" }]
[[step]]
title = "Nobody is left"
say = "Look again."
do = [{ act = "kill", node = 1 }, { act = "kill", node = 2 }, { act = "flush" }]
"""
    )
    run = ScenarioRun(parse(text, "short.toml"), auto=True)
    async with asyncio.timeout(80), run:
        await run.play()
        assert run.state.status == "failed"
        assert run.state.message.startswith("no node followed 'flush_all'")
        assert [mark.text for mark in run.state.marks[:2]] == [
            "memory of each node: 96 MB",
            "every node flushed",
        ]
