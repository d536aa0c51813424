"""The program in a real terminal (tmux), as its user runs it: no flags, keys only."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from iotcache_simulator.lab.definition.scenario import catalogue

pytestmark = [pytest.mark.real("tmux"), pytest.mark.timeout(120)]


class Terminal:
    """One tmux session on a server of its own."""

    def __init__(self, folder: Path, size: tuple[int, int], env: dict[str, str]) -> None:
        self._socket = f"iotcache-test-{os.getpid()}-{time.monotonic_ns()}"
        # tmux and login shells give a pane a TERM and a PATH of their own.
        sets = " ".join(shlex.quote(f"{key}={value}") for key, value in env.items())
        program = f"{sys.executable} -P -m iotcache_tui"
        command = f'env {sets} {program}; printf "\\n[ended with %s]\\n" $?; exec sleep 1000'
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", str(size[0]), "-y", str(size[1]),
            "-c", str(folder), f"read go; {command}",
        )  # fmt: skip
        self._tmux("set-option", "-t", "t", "status", "off")
        self.shell = int(self._tmux("display-message", "-p", "-t", "t", "#{pane_pid}"))
        self.press("Enter")
        self.pid = self._program()

    def _program(self) -> int:
        """The program's process, once the shell has started it."""
        deadline = time.monotonic() + 10
        while not (found := children_of(self.shell)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return min(found)

    def _tmux(self, *args: str, check: bool = True) -> str:
        # A test runner may export the size of its own terminal.
        env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        done = subprocess.run(
            ["tmux", "-L", self._socket, *args],
            capture_output=True, text=True, check=check, timeout=10, env=env,
        )  # fmt: skip
        return done.stdout.strip("\n")

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "t")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", "-t", "t", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))

    def until(self, seen: Callable[[str], object], seconds: float = 20.0) -> str:
        deadline = time.monotonic() + seconds
        while True:
            text = self.screen()
            if seen(text):
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"never seen on:\n{text}")
            time.sleep(0.05)

    def exit_code(self) -> int:
        text = self.until(lambda text: "[ended with" in text)
        found = re.search(r"\[ended with (\d+)\]", text)
        assert found, text
        return int(found[1])

    def close(self) -> None:
        self._tmux("kill-server", check=False)


def children_of(pid: int) -> set[int]:
    """All descendants of a process."""
    by_parent: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            by_parent.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in by_parent.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.add(pid)
        except OSError:
            continue
    return left


def until_gone(pids: set[int], seconds: float = 10.0) -> set[int]:
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive(pids)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(size: tuple[int, int] = (120, 40), **env: str) -> Terminal:
        runtime = tmp_path / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        defaults = {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8",
            "IOTCACHE_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(tmp_path / "state"),
            "IOTCACHE_DASHBOARD_TOUR": "false",
        }  # fmt: skip
        opened.append(Terminal(tmp_path, size, {**defaults, **env}))
        return opened[-1]

    yield start
    for one in opened:
        left = children_of(one.shell)
        one.close()
        assert not until_gone(left)


LIVE_ROW = re.compile(r"● \S+ .* \d+[sm] +(cache|store)\b")


def test_one_command_shows_a_live_fleet_and_q_leaves_nothing(terminal: Callable[..., Terminal]) -> None:
    here = terminal()
    here.until(lambda text: "iotcache" in text)
    text = here.until(lambda text: LIVE_ROW.search(text) and "msg/s" in text)
    assert "LIVE" in text
    here.until(lambda text: re.search(r"\b\d+(\.\d+)?%", text))
    # Values move.
    rows = {line for line in here.screen().splitlines() if "●" in line}
    here.until(lambda text: {line for line in text.splitlines() if "●" in line} != rows)
    # Keys work: filter, clear, pause.
    here.press("/")
    here.until(lambda text: "site:a*" in text)
    here.press("pump")
    # The whole word has come, not just its first letters.
    here.until(lambda text: re.search(r"of [\d,]+ series\s+pump\s", text) and LIVE_ROW.search(text))
    # In the table, that is: what falls back to the store is listed of all devices.
    assert not [line for line in here.screen().splitlines() if re.match(r"\s*[●○◌▲✗] +hvac", line)]
    here.press("Escape")
    here.until(lambda text: "cold-0001" in text)
    here.press("Space")
    here.until(lambda text: "PAUSED" in text)
    here.press("Space")
    here.until(lambda text: "LIVE" in text)
    # A small window and back.
    here.resize(60, 15)
    here.until(lambda text: LIVE_ROW.search(text) and max(map(len, text.splitlines())) <= 60)
    here.resize(120, 40)
    here.until(lambda text: "Read hit ratio, %" in text)
    family = children_of(here.pid)
    assert len(family) >= 5
    here.press("q")
    assert here.exit_code() == 0
    assert not until_gone(family)


@pytest.mark.long
def test_sighup_and_sigkill_leave_nothing(terminal: Callable[..., Terminal]) -> None:
    for number in (signal.SIGHUP, signal.SIGKILL):
        here = terminal((80, 24))
        here.until(lambda text: LIVE_ROW.search(text))
        family = children_of(here.pid)
        assert len(family) >= 5
        os.kill(here.pid, number)
        assert not until_gone(family | {here.pid})


def test_without_memcached_the_bundled_nodes_are_named(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    # A PATH with the shell only: no memcached on it.
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    here = terminal(PATH=str(folder))
    text = here.until(lambda text: LIVE_ROW.search(text) and "3 bundled" in text)
    assert "bundled" in text
    here.press("q")
    assert here.exit_code() == 0


def test_a_dumb_terminal_is_refused_in_one_sentence(terminal: Callable[..., Terminal]) -> None:
    here = terminal(TERM="dumb")
    here.until(lambda text: "cannot draw on this terminal" in text)
    assert here.exit_code() == 2


def _at_step(title: str, step: str, text: str) -> bool:
    return title in text and step in text and "n goes on" in text


@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.real("memcached")
@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_learner_goes_through_two_scenarios_with_keys_only(
    terminal: Callable[..., Terminal], size: tuple[int, int]
) -> None:
    term = terminal(size)
    term.until(lambda text: "Hit ratio" in text)
    term.press("6")
    term.until(lambda text: "Cache stampede" in text)
    titles = [one.title for one in catalogue()[0]]
    for title, steps in (("Cache stampede", 3), ("TTL too short", 2)):
        term.press("Home", *["Down"] * titles.index(title), "Enter")
        for step in range(1, steps + 1):
            term.until(partial(_at_step, title, f"step {step} of {steps}"), 90.0)
            term.press("b")
            term.press("n")
        text = term.until(lambda text: "What it means" in text or "over" in text)
        term.press("Escape")
        term.until(lambda text: "Scenario " in text and "Level" in text)
        assert title in text
    term.press("q")
    assert term.exit_code() == 0
    assert not children_of(term.shell) - {term.pid}
