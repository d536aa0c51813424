"""A pipeline that is killed at seeded moments keeps its promises; one that breaks them is found out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from iotcache_simulator.chaos.plan import Act, draw
from iotcache_simulator.chaos.run import ChaosSpec, chaos
from iotcache_tui.cli.main import main
from tests.chaos.mutant import MUTANTS
from tests.conforming import conforming

SERVERS = pytest.mark.real("mosquitto", "memcached")
SMALL = ChaosSpec(kills=8, seconds=8.0, seed=9, devices=30, rate=200.0)
SEEDS = (9, 2, 4, 5)
FOUND_BY = {
    "acknowledge_before_commit": "missing",
    "cache_before_store": "not in the store yet",
    "no_dedupe": "stored more than once",
    "lose_the_last_of_a_batch": "missing",
    "forget_the_write_through": "stale",
    "give_up_on_a_store_that_is_away": "missing",
    "begin_a_clean_session": "missing",
    "swap_values": "altered",
}


def test_a_seed_decides_what_is_done_and_when() -> None:
    parts: dict[str, Sequence[Act]] = {
        "broker": ("restart",), "node 1": ("kill", "freeze"), "store": ("freeze",), "worker 1": ("kill",),
    }  # fmt: skip
    plan = draw(3, 400, 60.0, parts)
    assert plan == draw(3, 400, 60.0, parts)
    assert plan != draw(4, 400, 60.0, parts)
    assert [act.at_s for act in plan] == sorted(act.at_s for act in plan)
    assert plan[0].at_s >= 1.0
    assert plan[-1].at_s <= 59.0
    counts = Counter(act.part for act in plan)
    assert counts["worker 1"] > counts["node 1"] > counts["broker"] > 0
    assert all(act.act in parts[act.part] for act in plan)


def test_every_mutant_is_tried() -> None:
    assert set(MUTANTS) == set(FOUND_BY)


@SERVERS
@pytest.mark.timeout(120)
@pytest.mark.long
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.real("postgres"))])
def test_a_pipeline_that_is_killed_loses_doubles_and_alters_nothing(store: str, tmp_path: Path) -> None:
    report, suite = tmp_path / "chaos.json", tmp_path / "chaos.xml"
    flags = ["--kills", "8", "--for", "8", "--rate", "200", "--seed", "9", "--store-kind", store]
    assert main(["verify", "chaos", *flags, "--report", str(report), "--junit", str(suite)]) == 0
    content = conforming("verify-chaos", report.read_text())
    (run,) = content["runs"]
    assert content["schema"] == "iotcache.chaos/1"
    assert content["ok"]
    assert (run["lost"], run["duplicated"], run["altered"], run["stale"], run["early"]) == (0, 0, 0, 0, 0)
    assert sum(run["acts"].values()) == 8
    assert run["compared"] > 100
    assert run["fleet"]["ledger"]["store"]["stored"] == run["fleet"]["planned"] > 1_000
    assert ElementTree.parse(suite).getroot().find("testsuite[@failures='0']") is not None


@SERVERS
async def test_a_run_that_is_ended_early_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "iotcache_tui", "verify", "chaos",
        env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        while not [*tmp_path.glob("iotcache-chaos-*")]:
            await asyncio.sleep(0.02)
        process.terminate()
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert stderr == b"iotcache-tui verify: interrupted: what was begun has no verdict\n"
    assert not [*tmp_path.glob("iotcache-chaos-*")]


@SERVERS
@pytest.mark.mutants
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
async def test_a_worker_that_breaks_a_promise_is_found_out(name: str) -> None:
    worker = [sys.executable, "-P", str(Path(__file__).with_name("mutant.py")), name]
    failures: list[str] = []
    for seed in SEEDS:  # a kill must come at the wrong moment: some do not
        failures += (await chaos(replace(SMALL, seed=seed), worker=worker)).failures
        if any(FOUND_BY[name] in failure for failure in failures):
            return
    pytest.fail(f"{name} was not found: {failures}")
