"""``iotcache-tui simulate`` as a script sees it: flags, output, exit codes, signals."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.store import open_store
from iotcache_tui.cli.main import main
from tests.conforming import conforming
from tests.conftest import Server, free_port

COMMAND = [sys.executable, "-P", "-m", "iotcache_tui", "simulate"]


class Done(NamedTuple):
    """What became of a command."""

    returncode: int
    stdout: bytes
    stderr: bytes


def simulate(*flags: str, folder: Path) -> Done:
    """``iotcache-tui simulate`` in this process: to start another takes longer than most runs."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment(folder), clear=True),
    ):
        code = main(["simulate", *flags])
    return Done(code, *(stream.buffer.getvalue() for stream in (out, err)))


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IOTCACHE_")}
    return kept | {"XDG_CONFIG_HOME": str(folder), "IOTCACHE_RUNTIME_DIR": str(folder / "run")}


def url(server: Server) -> str:
    return f"mqtt://{server.address}"


@pytest.mark.real("mosquitto")
def test_the_report_on_stdout_is_all_there_is_on_stdout(mosquitto: Server, tmp_path: Path) -> None:
    flags = (
        "--devices",
        "20",
        "--rate",
        "200",
        "--duration",
        "1",
        "--seed",
        "7",
        "--qos",
        "1",
        "--report",
        "-",
    )
    done = subprocess.run(
        [*COMMAND, "--broker", url(mosquitto), *flags],
        capture_output=True, timeout=30, cwd=tmp_path, env=environment(tmp_path), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    report = conforming("simulate", done.stdout)
    assert report["schema"] == "iotcache.simulate/2"
    assert report["ok"] is True
    assert report["seed"] == 7
    assert report["devices"] == 20
    assert report["planned"] == report["published"] == report["confirmed"] > 150
    assert len(report["digest"]) == 64
    assert sum(report["rate"]["by_second"]["counts"]) == report["published"]


@pytest.mark.real("mosquitto")
def test_the_past_is_published_under_its_own_times(mosquitto: Server, tmp_path: Path) -> None:
    counted = subprocess.Popen(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "iot/+/+/+", "-C", "200"], stdout=subprocess.PIPE
    )
    flags = ["--devices", "20", "--from", "2026-03-01T00:00:00Z", "--until", "2026-03-01T00:10:00Z"]
    done = simulate("--broker", url(mosquitto), *flags, "--report", "-", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = conforming("simulate", done.stdout)
    assert (report["virtual_start"], report["speed"]) == ("2026-03-01T00:00:00Z", None)
    assert report["confirmed"] > 5_000
    lines, _ = counted.communicate(timeout=30)
    times = [json.loads(line)["ts"] for line in lines.splitlines()]
    assert len(times) == 200
    assert all("2026-03-01T00:00:00" <= ts < "2026-03-01T00:10:01" for ts in times)


@pytest.mark.real("mosquitto")
def test_a_past_that_a_broker_drops_says_what_to_raise(mosquitto: Server, tmp_path: Path) -> None:
    asyncio.run(an_empty_store(tmp_path / "x.db"))
    since, until = (f"{datetime.now(UTC) - timedelta(minutes=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (61, 60))
    flags = ["--devices", "2", "--from", since, "--until", until, "--verify", "store=sqlite:///x.db"]
    done = simulate("--broker", url(mosquitto), *flags, "--settle", "0.1", folder=tmp_path)
    assert done.returncode == 1
    assert b"in store)" in done.stderr
    assert b"max_queued_messages" in done.stderr


async def an_empty_store(file: Path) -> None:
    async with open_store(StoreSettings(url=f"sqlite:///{file}")):
        pass


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from", "2026-03-01T00:00:00Z"], "go together"),
        (["--from", "2026-03-02T00:00:00Z", "--until", "2026-03-01T00:00:00Z"], "must be later"),
        (["--from", "2026-03-01T00:00:00Z", "--until", "2026-03-02T00:00:00Z", "--duration", "1"], "as well"),
        (
            [
                "--from",
                "2026-03-01T00:00:00Z",
                "--until",
                "2026-03-02T00:00:00Z",
                "--verify",
                "store=sqlite:///x.db",
            ],
            "workers delete what is older",
        ),
        (["--shard", "9/8", "--duration", "1"], "'9/8' is no part"),
        (["--shard", "8/8", "--devices", "3", "--duration", "1"], "no device in that part"),
    ],
)
def test_a_part_or_a_past_that_does_not_exist_is_a_mistake(
    flags: list[str], words: str, tmp_path: Path
) -> None:
    done = simulate("--broker", "mqtt://127.0.0.1:1", *flags, folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr.decode()


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_report_written(mosquitto: Server, tmp_path: Path, number: int) -> None:
    file = tmp_path / "report.json"
    counted = subprocess.Popen(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "iot/#", "-C", "30"], stdout=subprocess.DEVNULL
    )
    running = subprocess.Popen(
        [*COMMAND, "--broker", url(mosquitto), "--devices", "20", "--rate", "200", "--report", str(file)],
        cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert counted.wait(20) == 0
        running.send_signal(number)
        assert running.wait(5) == 0
    finally:
        running.kill()
        counted.kill()
        assert running.stderr is not None
        running.stderr.close()
    report = json.loads(file.read_bytes())
    assert report["ended_by"] == "signal"
    assert report["ok"] is True
    assert report["confirmed"] == report["planned"] >= 30


@pytest.mark.real("mosquitto")
def test_a_broker_killed_in_the_middle_is_exit_code_1(mosquitto: Server, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    flags = [
        "--devices",
        "20",
        "--rate",
        "200",
        "--duration",
        "2",
        "--patience",
        "0.3",
        "--report",
        str(file),
    ]
    counted = subprocess.Popen(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "iot/#", "-C", "30"], stdout=subprocess.DEVNULL
    )
    running = subprocess.Popen(
        [*COMMAND, "--broker", url(mosquitto), *flags], cwd=tmp_path, env=environment(tmp_path),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert counted.wait(20) == 0
        mosquitto.kill()
        _, stderr = running.communicate(timeout=10)
    finally:
        running.kill()
        counted.kill()
    report = json.loads(file.read_bytes())
    assert running.returncode == 1
    assert "not sent: " in stderr
    assert report["ok"] is False
    assert report["unsent"] > 0
    assert report["planned"] == pytest.approx(400, abs=40)


@pytest.mark.real("mosquitto")
def test_conditions_decide_the_exit_code_and_junit_tells_them(mosquitto: Server, tmp_path: Path) -> None:
    fixed = ["--broker", url(mosquitto), "--devices", "20", "--rate", "200", "--duration", "0.5"]
    verify = ["--verify", "mqtt", "--settle", "1", "--junit", str(tmp_path / "junit.xml"), "--report", "-"]
    held = simulate(*fixed, *verify, "--require", "lost==0", "--require", "e2e_p99<5s", folder=tmp_path)
    assert (held.returncode, held.stderr) == (0, b"")
    assert json.loads(held.stdout)["ledger"]["mqtt"]["received"] > 80
    assert (tmp_path / "junit.xml").read_text().count("<testcase") == 2
    failed = simulate(*fixed, *verify, "--require", "received<10", "--require", "late<0", folder=tmp_path)
    assert failed.returncode == 1
    assert b"received<10: it was " in failed.stderr
    assert b"late<0: it was " in failed.stderr
    assert 'failures="2"' in (tmp_path / "junit.xml").read_text()


@pytest.mark.real("mosquitto")
def test_connections_lost_on_purpose_are_nothing_to_warn_of(mosquitto: Server, tmp_path: Path) -> None:
    fleet = (
        "--broker",
        url(mosquitto),
        "--devices",
        "40",
        "--rate",
        "200",
        "--duration",
        "1",
        "--report",
        "-",
    )
    storm = ("--connections", "devices", "--reconnect-storm", "0.2", "--reconnect-within", "0.1")
    done = simulate(*fleet, *storm, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["reconnects"] == 40


def test_a_fleet_that_loses_its_broker_complains_as_one(caplog: pytest.LogCaptureFixture) -> None:
    from iotcache_simulator.wire import uplink

    for name in ["a", *["b"] * 1_000, "a"]:
        uplink.log.warning("connection to %s lost", name)
    assert caplog.messages == ["connection to a lost", "connection to b lost"]


def test_a_broker_never_reached_is_exit_code_3(tmp_path: Path) -> None:
    flags = ("--duration", "5", "--connect-timeout", "0.3", "--report", "-")
    done = simulate("--broker", f"mqtt://127.0.0.1:{free_port()}", *flags, folder=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert b"connection refused" in done.stderr
    assert json.loads(done.stdout)["ended_by"] == "unreachable"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--devices", "0"], "'0'"),
        (["--devices", "many"], "'many'"),
        (["--rate", "-1"], "'-1'"),
        (["--rate", "nan"], "'nan'"),
        (["--duration", "0"], "'0'"),
        (["--qos", "3"], "3"),
        (["--seed", "x"], "'x'"),
        (["--speed", "fast"], "'fast'"),
        (["--speed", "max"], "--duration"),
        (["--start", "2026-01-01"], "'2026-01-01'"),
        (["--class", "boat"], "'boat'"),
        (["--report", "/no/such/folder/x.json"], "/no/such/folder"),
        (["--report", "/"], "folder"),
        (["--require", "lots==0"], "'lots'"),
        (["--verify", "mqtx"], "'mqtx'"),
        (["--verify", ""], "'' is no place"),
        (["--verify", "store"], "--verify store=URL"),
        (["--verify", "cache"], "--verify cache=host:port"),
        (["--junit", "/no/such/folder/x.xml"], "--junit"),
        (["--devicees", "3"], "--devicees"),
        (["--reconnect-storm", "1,5", "--duration", "8", "--speed", "2"], "over after 4 s"),
        (["--retain", "--format", "sparkplug"], "--retain cannot be had"),
        (["--popularity", "scan"], "--popularity goes with readers, not with fleet"),
        (["readers", "--verify", "mqtt"], "--verify goes with fleet, not with readers"),
        (["play", "x", "--class", "pump"], "--class goes with fleet and certs, not with play"),
        (["capture", "x", "--speed", "3"], "--speed goes with fleet and play, not with capture"),
        (["capture", "x", "--topic", "a/#/b"], "'a/#/b' is no topic filter"),
        (["capture", "x", "--topic", "a/b+"], "'a/b+' is no topic filter"),
        (["capture", "x", "--topic", ""], "'' is no topic filter"),
        (["play", "-o", "x"], "-o goes with fleet and capture, not with play"),
        (["capture", "x", "-o", "y"], "two files"),
    ],
)
def test_a_usage_mistake_is_one_sentence_and_exit_code_2(
    flags: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from iotcache_tui.cli.main import main

    os.environ.pop("IOTCACHE_CONFIG", None)
    try:
        code = main(["simulate", "--broker", "mqtt://127.0.0.1:1", *flags])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    stderr = capsys.readouterr().err
    assert code == 2
    assert named in stderr
    assert stderr.count("\n") == 1


def test_without_a_broker_and_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    done = simulate("--duration", "1", folder=tmp_path)
    assert done.returncode == 3
    assert b"iotcache-tui stack" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_broken_class_file_is_named_with_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "x"\nsites = ["s"]\n\n[[sensor]]\nname = "a"\ninterval_s = 0\nwaves = []\n')
    done = simulate("--broker", "mqtt://127.0.0.1:1", "--class", str(file), folder=tmp_path)
    assert done.returncode == 2
    assert b"line 6: sensor[0].interval_s" in done.stderr


def test_it_loads_no_screen() -> None:
    code = (
        "import sys, iotcache_tui.cli.commands.simulate, iotcache_simulator.publish.run,"
        " iotcache_simulator.wire.target;"
        "sys.exit(bool({'textual', 'plotext', 'rich', 'aiomqtt', 'psycopg'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0


def test_readers_without_a_store_are_exit_code_3(tmp_path: Path) -> None:
    servers = ("--broker", "mqtt://127.0.0.1:1", "--nodes", "127.0.0.1:1", "--store", "sqlite:///none.db")
    done = simulate("readers", *servers, "--duration", "1", folder=tmp_path)
    assert done.returncode == 3
    assert b"there is no store none.db yet" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_no_servers_to_publish_to_is_exit_code_3(tmp_path: Path) -> None:
    env = {**os.environ, "IOTCACHE_RUNTIME_DIR": str(tmp_path / "run")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iotcache_tui", "simulate", "--duration", "1"],
        capture_output=True, text=True, timeout=30, cwd=tmp_path, env=env,
    )  # fmt: skip
    assert done.returncode == 3
    assert "no stack is running" in done.stderr
    assert len(done.stderr.splitlines()) == 1
