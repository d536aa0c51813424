"""``iotcache-tui stack`` as scripts use it: one line, everything answers, nothing is left however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conforming import conforming

from .living import accepts, alive, all_gone, ask_memcached, children, kill_quietly, until

pytestmark = pytest.mark.real("memcached")

COMMAND = [sys.executable, "-P", "-m", "iotcache_tui"]


class Running:
    """``iotcache-tui stack`` in a process of its own."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "stack", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.tree: set[int] = set()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        raw = self.process.stdout.readline()
        if not raw:
            raise AssertionError(self.process.communicate(timeout=5)[1].decode())
        self.tree = children(self.process.pid)
        announced: dict[str, Any] = conforming("stack", raw)
        return announced

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status and what was written on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors.decode()

    def cleanup(self) -> None:
        kill_quietly({self.process.pid} | self.tree | children(self.process.pid))
        self.process.communicate(timeout=5)


@contextlib.contextmanager
def stack(*arguments: str, **environment: str) -> Iterator[Running]:
    running = Running(*arguments, **environment)
    try:
        yield running
    finally:
        running.cleanup()


def addresses(announced: dict[str, Any]) -> list[str]:
    found = [announced["broker"].removeprefix("mqtt://"), *announced["nodes"]]
    return [*found, announced["http"].removeprefix("http://")] if announced["http"] else found


def publish(announced: dict[str, Any], topic: str, payload: str) -> None:
    host, _, port = announced["broker"].removeprefix("mqtt://").rpartition(":")
    subprocess.run(
        ["mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", topic, "-m", payload],
        check=True,
        timeout=10,
    )


def cached(announced: dict[str, Any], key: str) -> bytes:
    """What the nodes hold under a key."""
    return b"".join(
        answer
        for node in announced["nodes"]
        if (answer := ask_memcached(node, b"get " + key.encode())) != b"END\r\n"
    )


def rows(announced: dict[str, Any], device: str) -> int:
    with contextlib.closing(sqlite3.connect(announced["store"].removeprefix("sqlite:///"))) as database:
        query = "select count(*) from reading join series on series.id = series_id where device = ?"
        [(count,)] = database.execute(query, (device,))
        return int(count)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_line_once_all_of_it_answers_and_nothing_left_after_a_signal(
    number: signal.Signals, own_folders: tuple[Path, Path]
) -> None:
    with stack("--no-simulate") as running:
        announced = running.line()
        assert set(announced) == {"broker", "nodes", "store", "http", "pids"}
        assert set(announced["pids"]) == {"broker", "ingest", "nodes"}
        assert len(announced["nodes"]) == len(announced["pids"]["nodes"]) == 3
        assert all(accepts(address) for address in addresses(announced))
        pids = {announced["pids"]["broker"], announced["pids"]["ingest"], *announced["pids"]["nodes"]}
        assert pids < running.tree
        assert Path(announced["store"].removeprefix("sqlite:///")).exists()
        assert running.end(number) == (0, "")
        assert all_gone(running.tree)
        assert until(lambda: not any(accepts(address) for address in addresses(announced)))
        assert list(own_folders[0].iterdir()) == []
        assert list(own_folders[1].iterdir()) == []


@pytest.mark.real("mosquitto")
def test_a_published_reading_comes_to_disk_and_cache_and_is_read_in_another_terminal() -> None:
    with stack("--no-simulate") as running:
        announced = running.line()
        payload = '{"value": 21.5, "unit": "°C", "ts": "2026-11-22T12:00:00Z"}'
        publish(announced, "iot/plant-north/dev-1/temperature", payload)
        assert until(lambda: b"21.5" in cached(announced, "dev-1:temperature:latest"))
        assert rows(announced, "dev-1") == 1
        get = [*COMMAND, "get", "dev-1", "temperature", "--json"]
        read = subprocess.run(get, capture_output=True, timeout=10, check=False)
        assert read.returncode == 0, read.stderr.decode()
        assert json.loads(read.stdout)["source"] == "cache"
        assert json.loads(read.stdout)["value"] == 21.5


@pytest.mark.real("mosquitto")
def test_a_killed_ingest_worker_is_back_and_has_lost_nothing() -> None:
    with stack("--no-simulate") as running:
        announced = running.line()
        os.kill(announced["pids"]["ingest"], signal.SIGKILL)
        assert all_gone([announced["pids"]["ingest"]])
        publish(announced, "iot/s/dev-2/t", '{"value": 1, "ts": "2026-11-22T12:00:00Z"}')
        assert until(lambda: rows(announced, "dev-2") == 1, 10)
        assert until(lambda: cached(announced, "dev-2:t:latest") != b"")
        assert until(lambda: accepts(announced["http"].removeprefix("http://")))  # at the address announced
        status, errors = running.end()
        assert status == 0
        assert "ingest died (killed by SIGKILL); starting it again" in errors


@pytest.mark.parametrize("paused", ["", "broker", "ingest", "nodes"])
def test_nothing_is_left_after_sigkill_also_when_a_child_is_stopped(paused: str) -> None:
    with stack("--no-simulate") as running:
        announced = running.line()
        if paused:
            pid = announced["pids"][paused]
            os.kill(pid[0] if isinstance(pid, list) else pid, signal.SIGSTOP)
        running.process.kill()
        assert all_gone(running.tree)
        assert until(lambda: not any(accepts(address) for address in addresses(announced)))


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_nothing_is_left_after_sigkill_while_starting(delay_s: float, own_folders: tuple[Path, Path]) -> None:
    with stack("--no-simulate") as running:
        assert until(lambda: bool(children(running.process.pid)))
        time.sleep(delay_s)
        running.tree = children(running.process.pid)
        running.process.kill()
        running.process.wait(5)
        assert all_gone(running.tree)
    # The folder of the killed one goes when the next stack looks.
    with stack(
        "--no-simulate", IOTCACHE_INGEST_ENABLED="false", IOTCACHE_BROKER_URL="mqtt://127.0.0.1:1"
    ) as later:
        later.line()
        assert len(list(own_folders[0].iterdir())) == 1
        assert len(list(own_folders[1].iterdir())) == 1


def test_a_password_stands_in_no_command_line_environment_or_output() -> None:
    with stack(
        "--no-simulate", IOTCACHE_BROKER_PASSWORD="hunter2secret", IOTCACHE_BROKER_USERNAME="u"
    ) as running:
        announced = running.line()
        for pid in running.tree:
            for name in ("cmdline", "environ"):
                assert b"hunter2secret" not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert "hunter2secret" not in json.dumps(announced)
        assert running.end() == (0, "")


def test_it_ends_when_nobody_reads_its_output_any_more() -> None:
    with stack("--no-simulate") as running:
        running.line()
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.wait(5)
        assert running.process.returncode == 0
        assert all_gone(running.tree)


def test_without_memcached_the_bundled_nodes_serve(tmp_path: Path) -> None:
    with stack("--no-simulate", PATH=str(tmp_path)) as running:
        announced = running.line()
        for node in announced["nodes"]:
            assert b"iotcache" in ask_memcached(node, b"version")
        assert running.end() == (0, "")
        assert all_gone(running.tree)


def one_sentence(running: Running, status: int, *words: str) -> None:
    out, errors = running.process.communicate(timeout=15)
    assert running.process.returncode == status, errors.decode()
    assert out == b""
    text = errors.decode().strip()
    assert "\n" not in text, text
    assert all(word in text for word in words), text


def test_memcached_asked_for_but_missing_is_one_sentence(
    tmp_path: Path, own_folders: tuple[Path, Path]
) -> None:
    with stack("--set", "cache.embedded_server=memcached", PATH=str(tmp_path)) as running:
        one_sentence(running, 1, "memcached", "not on PATH")
        assert list(own_folders[1].iterdir()) == []


def test_a_taken_http_port_is_one_sentence_and_nothing_is_left(own_folders: tuple[Path, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with stack("--no-simulate", "--set", f"http.listen={address}") as running:
            one_sentence(running, 1, address, "in use")
            assert list(own_folders[1].iterdir()) == []


def test_the_fleet_publishes_after_the_start() -> None:
    with stack() as running:
        announced = running.line()
        assert alive(announced["pids"]["simulator"])
        assert until(
            lambda: any(b"STAT curr_items 0\r" not in ask_memcached(n, b"stats") for n in announced["nodes"])
        )
        assert running.end() == (0, "")
        assert all_gone(running.tree)
