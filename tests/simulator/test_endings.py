"""No run of the fleet ends without its report, and none passes that proves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from iotcache_simulator.ledger.verify import Verification
from iotcache_tui.cli.main import main
from tests.conftest import Server, free_port
from tests.simulator.test_losses import Stored, simulated, verdict, worker
from tests.simulator.test_simulate_command import COMMAND, environment, simulate, url

pytestmark = [pytest.mark.real("mosquitto", "memcached")]


async def published(broker: Server, count: int) -> None:
    """Return once so many readings have come through the broker."""
    counting = await asyncio.create_subprocess_exec(
        "mosquitto_sub", "-p", str(broker.port), "-t", "iot/+/+/+", "-C", str(count),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            assert await counting.wait() == 0
    finally:
        if counting.returncode is None:
            counting.kill()


@pytest.mark.parametrize(
    ("number", "require"),
    [
        (signal.SIGINT, ()), (signal.SIGTERM, ()), (signal.SIGHUP, ("--require", "unsent==0")),
        *(
            pytest.param(number, require, marks=pytest.mark.long)
            for number, require in (
                (signal.SIGINT, ("--require", "unsent==0")), (signal.SIGTERM, ("--require", "unsent==0")),
                (signal.SIGHUP, ()),
            )
        ),
    ],
)  # fmt: skip
async def test_an_interrupted_run_reports_and_is_no_pass(
    mosquitto: Server, tmp_path: Path, number: int, require: tuple[str, ...]
) -> None:
    flags = ("--duration", "60", *require)
    async with simulated(tmp_path, url(mosquitto), *flags) as process:
        await published(mosquitto, 30)
        process.send_signal(number)
        code, report, stderr = await verdict(process)
    assert (code, report["ok"], report["ended_by"]) == (1, False, "signal")
    assert "the run was interrupted after" in stderr
    assert report["confirmed"] == report["planned"] >= 30


def children(pid: int) -> list[int]:
    """The processes that run a part of this one's fleet."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"multi_process" in command:
            found.append(int(folder.name))
    return found


async def test_a_killed_process_of_the_fleet_is_in_the_report(mosquitto: Server, tmp_path: Path) -> None:
    flags = ("--duration", "60", "--processes", "2", "--connections", "2", "--verify", "mqtt")
    async with simulated(tmp_path, url(mosquitto), *flags) as process:
        await published(mosquitto, 100)
        parts = children(process.pid)
        assert len(parts) == 2
        os.kill(parts[1], signal.SIGKILL)
        code, report, stderr = await verdict(process)
    assert (code, report["ok"], report["ended_by"]) == (3, False, "failed")
    assert (
        "fleet part 2 ended at work (killed by SIGKILL)" in stderr or "fleet part 1 ended at work" in stderr
    )
    assert report["published"] > 0


def test_a_run_without_a_reading_proves_nothing(mosquitto: Server, tmp_path: Path) -> None:
    flags = ("--class", "gateway", "--devices", "1", "--duration", "5", "--seed", "2", "--speed", "max")
    for more in ((), ("--verify", "mqtt"), ("--require", "unsent==0")):
        done = simulate("--broker", url(mosquitto), *flags, *more, "--report", "-", folder=tmp_path)
        assert done.returncode == 3
        assert json.loads(done.stdout)["ok"] is False
        assert b"no reading was due in this run" in done.stderr


FLEET = ("--devices", "20", "--rate", "200", "--duration", "1", "--settle", "0.5")


def test_an_empty_cache_is_no_pass(mosquitto: Server, memcached: Server, tmp_path: Path) -> None:
    flags = (
        "--devices", "20", "--rate", "0", "--duration", "3", "--settle", "0.5",
        "--verify", f"mqtt,cache={memcached.address}",
    )  # fmt: skip
    done = simulate("--broker", url(mosquitto), *flags, "--report", "-", folder=tmp_path)
    assert done.returncode == 1
    cache = json.loads(done.stdout)["ledger"]["cache"]
    assert cache["fresh"] == 0
    assert cache["absent"] == len(cache["absent_series"]) > 0
    assert b"absent before the TTL has passed" in done.stderr


@pytest.mark.parametrize("place", ["store", "cache"])
def test_a_place_that_cannot_be_asked_refuses_the_run(mosquitto: Server, tmp_path: Path, place: str) -> None:
    places = {"store": f"store=sqlite:///{tmp_path}/nowhere.db", "cache": f"cache=127.0.0.1:{free_port()}"}
    flags = (*FLEET, "--verify", places[place])
    done = simulate("--broker", url(mosquitto), *flags, "--report", "-", folder=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["published"], report["ledger"]) == (3, False, 0, None)
    assert done.stderr.startswith(b"iotcache-tui simulate: a place to verify cannot be asked: ")


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        ("lost==0", "mqtt or store or cache"),
        ("stored>0", "store"),
        ("absent==0", "cache"),
        ("e2e_p99<1s", "mqtt"),
        ("applied==3", ""),
    ],
)
def test_a_condition_without_its_place_is_a_mistake(tmp_path: Path, condition: str, place: str) -> None:
    done = simulate("--broker", "mqtt://127.0.0.1:1", *FLEET, "--require", condition, folder=tmp_path)
    assert done.returncode == 2
    assert f"needs {f'--verify {place}' if place else '--listen'}".encode() in done.stderr


@pytest.mark.parametrize("flag", ["--report", "--labels", "--junit"])
def test_a_full_disk_keeps_neither_the_verdict_nor_the_other_files_from_being_written(
    mosquitto: Server, tmp_path: Path, flag: str
) -> None:
    (tmp_path / "faults.toml").write_text('[[fault]]\nkind = "stuck"\n')
    flags = {name: str(tmp_path / name.strip("-")) for name in ("--report", "--labels", "--junit")}
    flags[flag] = "/dev/full"
    done = simulate(
        "--broker", url(mosquitto), *FLEET, "--faults", "faults.toml", "--require", "late<0",
        *(part for pair in flags.items() for part in pair), folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{flag} /dev/full: No space left on device".encode() in done.stderr
    assert b"late<0: it was" in done.stderr
    for name, file in flags.items():
        assert name == flag or Path(file).stat().st_size > 0


def test_a_report_that_standard_output_does_not_take_is_one_sentence(
    mosquitto: Server, tmp_path: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "--broker", url(mosquitto), *FLEET, "--report", "-"], stdout=full,
            stderr=subprocess.PIPE, timeout=30, cwd=tmp_path, env=environment(tmp_path), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"iotcache-tui simulate: --report -: No space left on device\n")
    assert b"all else was as promised" in done.stderr


def test_a_file_too_large_leaves_no_half_of_it_and_ends_a_run_into_it_with_a_report(tmp_path: Path) -> None:
    script = 'ulimit -f 1; exec "$@" --report report.json'
    # Or it would write cut bytecode beside its sources, for others to load.
    limited = environment(tmp_path) | {"PYTHONDONTWRITEBYTECODE": "1"}
    fleet = ("--devices", "20", "--rate", "500", "--duration", "2", "-o", "fleet.csv")
    done = subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *fleet], capture_output=True, timeout=30, cwd=tmp_path,
        env=limited, check=False,
    )  # fmt: skip
    assert done.stderr.startswith(b"iotcache-tui simulate: -o fleet.csv: File too large\n")
    assert b"--report report.json: File too large" in done.stderr
    assert not (tmp_path / "report.json").exists()
    assert (tmp_path / "fleet.csv").stat().st_size == 1024
    done = subprocess.run(
        ["bash", "-c", "ulimit -f 4; exec \"$@\" --report report.json", "bash", *COMMAND, *fleet],
        capture_output=True, timeout=30, cwd=tmp_path, env=limited, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (report["ok"], report["ended_by"]) == (False, "failed")
    assert report["published"] < report["planned"]


async def test_a_row_that_is_no_reading_is_told_with_a_report(
    mosquitto: Server, memcached: Server, tmp_path: Path
) -> None:
    stored = Stored(tmp_path)
    async with (
        worker(mosquitto, memcached, stored),
        simulated(tmp_path, url(mosquitto), "--verify", f"store={stored.url}", "--settle", "1") as process,
    ):
        await stored.until(100)
        await asyncio.to_thread(spoil, stored.file)
        code, report, stderr = await verdict(process)
    assert code in (1, 3)
    assert report["ok"] is False
    assert "altered" in stderr or "the run could not be verified" in stderr


def spoil(file: Path) -> None:
    with sqlite3.connect(file, timeout=10) as database:
        database.execute("UPDATE reading SET value = x'00ff' WHERE seq = 2")


@pytest.mark.parametrize("error", [AssertionError(), ValueError("a row that nobody foresaw")])
def test_a_store_that_answers_what_nobody_foresaw_is_told_with_a_report(
    mosquitto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def judged(*_: object) -> None:
        raise error

    monkeypatch.setattr(Verification, "judged", judged)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "report.json"
    code = main(["simulate", "--broker", url(mosquitto), *FLEET, "--verify", "mqtt", "--report", str(file)])
    report = json.loads(file.read_bytes())
    assert (code, report["ok"], report["ledger"]) == (3, False, None)
    assert report["failures"] == [f"the run could not be verified: {str(error) or 'AssertionError'}"]
