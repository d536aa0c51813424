"""Servers that say nothing, or what no server says: snapshot and doctor end by themselves and name them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0
"""Far more than the half minute that a snapshot gives its servers: it is ended, and did not end, past it."""


def _silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def _garbage(connection: socket.socket) -> None:
    while True:
        connection.sendall(os.urandom(4096))
        time.sleep(0.01)


def _drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"V")
        time.sleep(0.5)


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"VERSION 1.6.45\r\n")
    while True:
        connection.sendall(b"a" * 65_536)


def _proxy(connection: socket.socket) -> None:
    """As mcrouter, which knows no meta command."""
    answers = {b"version": b"VERSION mcrouter 0.41.0\r\n", b"get": b"END\r\n", b"stats": b"END\r\n"}
    for line in connection.makefile("rb"):
        connection.sendall(answers.get(line.split()[0], b"CLIENT_ERROR malformed request\r\n"))


ANSWERS: dict[str, Callable[[socket.socket], None]] = {
    "says nothing": _silent,
    "says anything": _garbage,
    "drips": _drip,
    "never ends": _endless,
    "closes": lambda connection: None,
    "a proxy": _proxy,
}


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server's address."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.long
@pytest.mark.parametrize("command", ["snapshot", "doctor"])
@pytest.mark.parametrize("name", ANSWERS)
def test_commands_end_and_name_servers_that_are_none(name: str, command: str, tmp_path: Path) -> None:
    with answering(ANSWERS[name]) as address:
        parts = ["--broker", f"mqtt://{address}", "--store", f"postgresql://u:p@{address}/d"]
        # A snapshot opens the store only once it knows the nodes: without their list it tells nothing of it.
        for nodes in (address, f"elasticache://{address}")[: 2 if command == "doctor" else 1]:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "iotcache_tui", command, *parts, "--nodes", nodes]
                + ["--exit-code"] * (command == "snapshot"),
                cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=False,
                env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "IOTCACHE_RUNTIME_DIR": str(tmp_path)},
            )  # fmt: skip
            text = done.stdout.decode() + done.stderr.decode()
            assert done.returncode == 1, text
            assert "Traceback" not in text
            assert not {character for character in text if not character.isprintable()} - {"\n"}
            told = [line for line in text.splitlines() if "PROBLEM" in line or "FAIL" in line]
            for part in ("broker", "store", "node"):
                assert any(part in line for line in told), (part, text)
