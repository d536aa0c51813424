"""How soon the dashboard stands, against a bare Textual program; and the memory of a series and a device."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iotcache.errors import UsageError
from iotcache_tui.bench.report import OURS, BenchReport, BenchRow, BenchTarget

if TYPE_CHECKING:
    from subprocess import Popen

FRAME: Final = "starts in a minute, to the first frame in a terminal of 120x40"
LIVE: Final = "starts in a minute, to a fleet's first row: broker, three nodes, worker and simulator started"
COMMAND: Final = "runs of a command in a minute"
SERIES: Final = "series of the dashboard in a MiB"
DEVICES: Final = "simulated devices in a MiB, beside the connection"
BARE: Final = "a bare Textual program"
PYTHON: Final = "python -c pass"
PROMISE: Final = "1 KiB each"
_BARE_PROGRAM: Final = """
from textual.app import App
from textual.widgets import Static

class Bare(App):
    BINDINGS = [("q", "quit", "Quit")]

    def compose(self):
        yield Static("first frame")

Bare().run()
"""
_OURS: Final = [sys.executable, "-P", "-m", "iotcache_tui"]
_HEAD: Final = re.compile(rb"iotcache")
_ROW: Final = re.compile(rb"[a-z]+-\d{4}")
"""A device of the built-in fleet, whichever is heard of first."""
_WAIT_S: Final = 30.0
_MANY: Final = 5_000
TARGETS: Final = [
    BenchTarget(FRAME, BARE, 0.8),
    BenchTarget(SERIES, PROMISE, 1.0),
    BenchTarget(DEVICES, PROMISE, 1.0),
]


async def run(rounds: int) -> BenchReport:
    """Measure all. Raises `UsageError` on systems without pseudo-terminals."""
    if sys.platform == "win32":
        raise UsageError("bench start needs a system with pseudo-terminals (Linux, macOS)")
    first, live, bare = (
        BenchRow(FRAME, OURS, "/min"),
        BenchRow(LIVE, OURS, "/min"),
        BenchRow(FRAME, BARE, "/min"),
    )
    command, python = BenchRow(COMMAND, "iotcache-tui --version", "/min"), BenchRow(COMMAND, PYTHON, "/min")
    with tempfile.TemporaryDirectory(prefix="iotcache-bench-") as folder:
        await asyncio.to_thread(_shown, _OURS, (_HEAD, _ROW), Path(folder))  # compiles it once
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="iotcache-bench-") as folder:
            both = await asyncio.to_thread(_shown, _OURS, (_HEAD, _ROW), Path(folder))
            alone = await asyncio.to_thread(
                _shown, [sys.executable, "-c", _BARE_PROGRAM], (re.compile(b"first frame"),), Path(folder)
            )
        first.runs.append(60 / both[0])
        live.runs.append(60 / both[1])
        bare.runs.append(60 / alone[0])
        command.runs.append(60 / await _ended([*_OURS, "--version"]))
        python.runs.append(60 / await _ended([sys.executable, "-c", "pass"]))
    rows = [first, bare, live, command, python]
    for task, prepared in ((SERIES, _series), (DEVICES, _devices)):
        rows += [
            BenchRow(task, OURS, "/MiB", [_a_mib(prepared())]),
            BenchRow(task, PROMISE, "/MiB", [1024.0]),
        ]
    return BenchReport("start", rows, list(TARGETS))


def _shown(command: Sequence[str], marks: Sequence[re.Pattern[bytes]], folder: Path) -> list[float]:
    """Seconds until each of ``marks`` (in this order) is written to the terminal."""
    import fcntl
    import pty
    import select
    import struct
    import subprocess
    import termios

    environment = {name: value for name, value in os.environ.items() if not name.startswith("IOTCACHE_")}
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment |= {
        "TERM": "xterm-256color", "IOTCACHE_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder), "IOTCACHE_DASHBOARD_TOUR": "false",
        # What is installed is compiled once; without caches each of its processes would compile it anew.
        "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        began_s = time.perf_counter()
        program = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            times: list[float] = []
            output = b""
            while len(times) < len(marks):
                left_s = _WAIT_S - (time.perf_counter() - began_s)
                if left_s <= 0 or not select.select([ours], [], [], left_s)[0]:
                    raise UsageError(f"bench start: {command[-1]!r} showed nothing in {_WAIT_S:.0f} s")
                output += os.read(ours, 65_536)
                while len(times) < len(marks) and marks[len(times)].search(output):
                    times.append(time.perf_counter() - began_s)
            os.write(ours, b"q")
            _drain_until_gone(program, ours)
            return times
        finally:
            program.kill()
            program.wait()
    finally:
        os.close(ours)
        os.close(theirs)


def _drain_until_gone(program: Popen[bytes], terminal: int) -> None:
    """Read on, so that what it says at its end does not hold it up."""
    import select

    until_s = time.monotonic() + _WAIT_S
    while program.poll() is None and time.monotonic() < until_s:
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 65_536)


async def _ended(command: Sequence[str]) -> float:
    began_s = time.perf_counter()
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    await program.wait()
    return time.perf_counter() - began_s


def _a_mib(made: Callable[[], object]) -> float:
    """How many lie in a MiB of what ``made`` makes `_MANY` of."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = made()
        used = tracemalloc.get_traced_memory()[0] - before
        del result
    finally:
        tracemalloc.stop()
    return _MANY * 1024**2 / used


def _series() -> Callable[[], object]:
    """The dashboard's columns, each series read once. What the feed hands over is the feed's."""
    from iotcache_tui.bench.frame import Updates
    from iotcache_tui.state.fleet.fleet_state import FleetState

    given = Updates(_MANY)

    def made() -> object:
        fleet = FleetState()
        for info in given.series:
            fleet.join(info)
        fleet.apply_reads(given.turns[0])
        return fleet

    return made


def _devices() -> Callable[[], object]:
    """A fleet and its stream after some seconds of its time."""
    from iotcache_simulator.fleet.roster import Roster
    from iotcache_simulator.fleet.stream import Stream, Timeline

    def made() -> object:
        roster = Roster(1, _MANY)
        stream = Stream(roster, Timeline(end_us=120_000_000, boot="abc"))
        for at_s in range(1, 16):
            stream.window(at_s * 1_000_000)
        return roster, stream

    return made
