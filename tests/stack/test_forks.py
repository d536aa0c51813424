"""Children from the fork server: as those from a command, and none without it once nobody holds it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iotcache.config.schema import Settings
from iotcache_simulator.processes import forked
from iotcache_simulator.processes.child_environment import MESSAGE_BYTES
from iotcache_simulator.processes.process import Exit, Process, own_child
from iotcache_simulator.stack.child import MODULES
from iotcache_simulator.stack.forks import held, roles

from .living import all_gone, children, own_children, until

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="forks are Linux' own")


@pytest.fixture(autouse=True)
def unheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the server that all other tests share."""
    monkeypatch.setattr(forked, "_holders", 0)
    monkeypatch.setattr(forked, "_server", None)


@pytest.fixture
def server() -> Iterator[int]:
    with held(("broker",)):
        yield forked.server_pid()
    assert until(lambda: not own_children()), "the server is left"


def child(on_exit: asyncio.Future[Exit] | None = None) -> Process:
    return own_child("a child", "broker", on_exit=on_exit.set_result if on_exit else None)


async def test_a_child_is_the_servers_and_tells_its_end_as_any_other(server: int) -> None:
    told: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    process = child(told)
    await process.start()
    assert process.pid in children(server)
    assert Path(f"/proc/{process.pid}/comm").read_text() == "iotcache-broker\n"
    assert os.getsid(process.pid) == process.pid
    assert process.running
    os.kill(process.pid, signal.SIGKILL)
    assert (await asyncio.wait_for(told, 10)).reason == "killed by SIGKILL"
    assert until(lambda: not children(server)), "a zombie is left"
    await process.stop()


async def test_a_mistake_is_the_childs_own_sentence_and_status(server: int) -> None:
    told: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    async with child(told) as process:
        await process.say(b'{"config_path": "/nonexistent"}')
        end = await asyncio.wait_for(told, 10)
    assert end.code == 1
    assert end.error


async def test_asked_to_end_it_ends(server: int) -> None:
    async with child() as process:
        assert process.pid
    assert (await process.wait()).code == 0


async def test_a_child_begins_in_the_folder_of_the_moment(
    server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with child() as process:
        assert Path(f"/proc/{process.pid}/cwd").resolve() == tmp_path


async def test_a_server_that_was_killed_takes_its_children_along_and_another_is_started(server: int) -> None:
    told: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    first = child(told)
    await first.start()
    os.kill(server, signal.SIGKILL)
    assert (await asyncio.wait_for(told, 10)).reason == "killed by SIGKILL"
    await first.stop()
    async with child() as second:
        assert forked.server_pid() not in (0, server)
        assert second.pid in children(forked.server_pid())


def test_a_fork_of_the_holder_holds_nothing(server: int) -> None:
    pid = os.fork()
    if not pid:
        os._exit(forked.server_pid() or int(forked.start_forked("json", (), ()) is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert forked.server_pid() == server


_HOLDER = """
import asyncio, json, logging, signal, sys, threading
from iotcache_simulator.processes import forked
from iotcache_simulator.processes.process import own_child

async def failing():
    async with own_child("a child", "broker") as child:
        await child.say(b'{"config_path": "/nonexistent"}')
        end = await child.wait()
        return end.code, end.error

logging.basicConfig(filename=sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: None)
if sys.argv[2] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
forked.hold(["json"], fork=True)
print(json.dumps([forked.server_pid(), *asyncio.run(failing())]), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("alone", [True, False], ids=["one thread", "threads"])
def test_a_server_forked_off_a_program_of_one_thread_has_nothing_of_it_and_goes_with_it(
    alone: bool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", _HOLDER, str(log), "alone" if alone else "threads"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        pid, code, error = json.loads(program.stdout.readline())
        process = Path(f"/proc/{pid}")
        assert (b"fork_server" in (process / "cmdline").read_bytes()) is not alone
        assert os.getsid(pid) == pid
        files = {fd.name: str(fd.readlink()) for fd in (process / "fd").iterdir()}
        assert {files[number] for number in "012"} == {"/dev/null"}
        assert str(log) not in files.values()
        caught = next(line for line in (process / "status").read_text().splitlines() if "SigCgt" in line)
        assert not int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1
        assert (code, bool(error)) == (1, True)
        program.kill()
    assert until(lambda: not process.exists()), "the server is left"


async def test_without_a_holder_a_child_is_started_by_its_command() -> None:
    assert not forked.server_pid()
    async with child() as process:
        assert process.pid in children(os.getpid())
        assert not children(process.pid)


async def test_an_environment_that_is_too_large_leaves_what_runs_and_starts_by_command(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with child() as first:
        for number in range(4):  # the system takes less of a single one
            monkeypatch.setenv(f"LARGE_{number}", "x" * (MESSAGE_BYTES // 3))
        async with child() as second:
            assert second.pid in children(os.getpid()) - children(server)
        assert first.running


async def test_what_every_role_needs_is_loaded_in_one_thread() -> None:
    """A fork copies the thread that forks and no other: with a second one a child could hang for ever."""
    with held(tuple(MODULES)):
        async with own_child("a child", "broker", modules=[one for of in MODULES.values() for one in of]):
            assert len(list(Path(f"/proc/{forked.server_pid()}/task").iterdir())) == 1
        tree = own_children()
    assert all_gone(tree)


def test_the_roles_are_those_that_a_stack_starts() -> None:
    assert roles(Settings(), readers=True) == ("broker", "ingest", "simulator", "readers")
    assert roles(Settings(), simulate=False) == ("broker", "ingest")


def test_children_load_the_mqtt_library_without_dnspython_and_can_load_that_later() -> None:
    program = (
        "import sys, iotcache_simulator.stack.mqtt_library\n"
        "assert 'aiomqtt' in sys.modules and not any(name.startswith('dns') for name in sys.modules)\n"
        "import dns.asyncresolver\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
