"""What still runs: asked of the kernel, as the tests are about processes that nobody waits for any more."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from iotcache_simulator.processes import forked


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def children(pid: int) -> set[int]:
    """All descendants of a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent == pid or parent in found} - found
        grown = bool(more)
        found |= more
    return found


def own_children() -> set[int]:
    """Descendants of the test process, less those that other tests' fixtures hold for the whole session.

    So is the fork server, which the first of the stacks starts for all.
    """
    return children(os.getpid()) - _before - {forked.server_pid()}


_before: set[int] = set()


def take_stock() -> None:
    """Remember who is there before a test begins."""
    _before.clear()
    _before.update(children(os.getpid()))


def until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Poll until it is true; whether it became so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(pids: Iterable[int], seconds: float = 5.0) -> bool:
    wanted = [pid for pid in pids if pid]
    return until(lambda: not any(alive(pid) for pid in wanted), seconds)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.5).close()
    except OSError:
        return False
    return True


def ask_memcached(address: str, line: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 2) as connection:
        connection.sendall(line + b"\r\n")
        return connection.recv(65_536)


def kill_quietly(pids: Iterable[int]) -> None:
    """Clean up after a test that failed."""
    for pid in pids:
        if pid and alive(pid):
            os.kill(pid, 9)
