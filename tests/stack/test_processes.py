"""Children die with their parent, tell why they died, and keep what they said."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from iotcache.errors import StackError
from iotcache_simulator.processes.child_environment import child_environment
from iotcache_simulator.processes.process import ChildTimeout, Exit, Process

from .living import alive, all_gone, children, kill_quietly, stopped, until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]

PARENT = """
import asyncio, sys
from iotcache_simulator.processes.process import Process, own_child

async def main():
    guarded = Process("a program", [sys.executable, "-c", "import time; time.sleep(60)"], guarded=True)
    own = own_child("a child", "broker")
    await asyncio.gather(guarded.start(), own.start())
    print(guarded.pid, own.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def start_parent() -> tuple[subprocess.Popen[bytes], list[int], set[int]]:
    """A parent with a guarded program and a child of ours; gives both pids and those of all descendants."""
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    # Our child is under way once its leash, a second thread, is: not before could it ask for a death signal.
    assert until(lambda: len(list(Path(f"/proc/{pids[1]}/task").iterdir())) > 1)
    return parent, pids, children(parent.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_children_go_when_their_parent_is_ended_by_any_signal(number: signal.Signals) -> None:
    parent, pids, tree = start_parent()
    try:
        assert set(pids) < tree
        assert len(tree) == 3  # the guard is the third
        parent.send_signal(number)
        parent.wait(5)
        assert all_gone(tree)
    finally:
        kill_quietly(tree)


def test_stopped_children_and_a_stopped_guard_go_with_a_killed_parent() -> None:
    parent, _, tree = start_parent()
    try:
        for pid in tree:
            os.kill(pid, signal.SIGSTOP)
        assert until(lambda: all(stopped(pid) for pid in tree))
        parent.kill()
        parent.wait(5)
        assert all_gone(tree)
    finally:
        kill_quietly(tree)


def test_a_program_goes_with_its_guard() -> None:
    parent, pids, tree = start_parent()
    try:
        guard = next(pid for pid in tree if pid not in pids)
        os.kill(guard, signal.SIGKILL)
        assert all_gone([pids[0]])
        assert alive(pids[1])
    finally:
        parent.kill()
        parent.wait(5)
        assert all_gone(tree)


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.04, 0.08])
def test_nothing_is_left_of_a_parent_killed_while_it_starts_children(delay_s: float) -> None:
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.DEVNULL)
    tree: set[int] = set()
    try:
        assert until(lambda: bool(children(parent.pid)))
        time.sleep(delay_s)
        tree = children(parent.pid)
        parent.kill()
        parent.wait(5)
        assert all_gone(tree)
    finally:
        kill_quietly(tree)


async def test_an_unasked_end_is_told_with_its_reason_and_last_words() -> None:
    told: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    code = "import sys; print('all is lost\\x1b[31m', file=sys.stderr); sys.exit(7)"
    for guarded in (False, True):
        told = asyncio.get_running_loop().create_future()
        process = Process("p", [sys.executable, "-c", code], guarded=guarded, on_exit=told.set_result)
        async with process:
            end = await asyncio.wait_for(told, 5)
        assert end.code == 7
        assert end.reason == r"exit status 7: all is lost\x1b[31m"


async def test_a_killed_program_is_told_as_killed_and_an_asked_end_is_not_told() -> None:
    ends: list[Exit] = []
    async with Process("p", SLEEPER, guarded=True, on_exit=ends.append) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert (await process.wait()).reason == "killed by SIGKILL"
        await asyncio.sleep(0)
    assert len(ends) == 1
    async with Process("p", SLEEPER, guarded=True, grace_s=0.5, on_exit=ends.append) as process:
        pid = process.pid
    assert not alive(pid)
    assert len(ends) == 1


async def test_stop_is_polite_first_and_then_firm_also_with_a_stopped_program() -> None:
    polite = "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)));"
    process = Process("p", [sys.executable, "-uc", polite + "print('up'); time.sleep(60)"], guarded=True)
    await process.start()
    assert await asyncio.to_thread(until, lambda: "up" in process.output)
    await process.stop()
    assert process.output[-1] == "bye"

    stubborn = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    )
    process = Process("p", [sys.executable, "-uc", stubborn], guarded=True, grace_s=0.2)
    await process.start()
    assert await asyncio.to_thread(until, lambda: "up" in process.output)
    process.pause()
    assert await asyncio.to_thread(until, lambda: stopped(process.pid))
    await process.stop()
    assert not alive(process.pid)


async def test_a_flood_of_output_is_read_and_only_its_tail_kept() -> None:
    code = "import sys\nfor i in range(200_000): print('line', i)\nprint('x' * 1_000_000)"
    process = Process("p", [sys.executable, "-c", code], guarded=True)
    async with process:
        await process.wait()
    assert len(process.output) <= 100
    assert all(len(line) <= 200 for line in process.output)


async def test_a_program_that_cannot_be_run_is_one_sentence() -> None:
    with pytest.raises(StackError, match="cannot start p"):
        await Process("p", ["/nonexistent/program"]).start()
    with pytest.raises(StackError, match=r"cannot run /nonexistent/program: .*No such file"):
        await Process("p", ["/nonexistent/program"], guarded=True).start()


async def test_silence_and_a_reported_error_are_told_apart() -> None:
    async with Process("p", SLEEPER, grace_s=0) as process:
        with pytest.raises(ChildTimeout, match="no sign of life"):
            await process.receive("ready", 0.05)
    code = r"""import os; os.write(1, b'\x1e{"error": "the disk is full"}\n')"""
    async with Process("p", [sys.executable, "-c", code]) as process:
        with pytest.raises(StackError, match="p: the disk is full"):
            await process.receive("ready", 5)
        assert (await process.wait()).reason == "the disk is full"
        with pytest.raises(StackError, match="p is gone: the disk is full"):
            await process.say(b"{}")


def test_children_inherit_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOTCACHE_BROKER_PASSWORD", "secret")
    environment = child_environment()
    assert "PATH" in environment
    assert "secret" not in environment.values()


async def test_a_child_holds_none_of_its_siblings_pipes() -> None:
    idle = [sys.executable, "-uc", "import time; print('up'); time.sleep(60)"]
    async with Process("a", idle, grace_s=0) as first, Process("b", idle, grace_s=0) as second:
        assert await asyncio.to_thread(until, lambda: first.output == second.output == ("up",))
        pipes = [
            {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
            for process in (first, second)
        ]
        shared = {name for name in pipes[0] & pipes[1] if "pipe:" in name}
        assert not shared
