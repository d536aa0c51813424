"""The node as a process: it starts fast, ends with its parent, and a bad client harms only itself."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pymemcache.client.base import Client

from tests.cachenode.conftest import BARRIER, COMMAND, NodeProcess, read_to

_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([*sys.argv[1:], "--watch-stdin"], stdin=subprocess.PIPE)
time.sleep(600)
"""


def test_sigkill_of_the_parent_ends_the_node() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, *COMMAND], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(b":")[2])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        parent.kill()
        # The node inherited this pipe: it ends when the node does, and not before.
        assert parent.stdout.read() == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_the_end_of_stdin_ends_a_node_that_watches_it(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node("--watch-stdin")
    with node.connect() as client:
        assert node.process.stdin is not None
        node.process.stdin.close()
        assert node.process.wait(10) == 0
        assert client.recv(1) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start_node: Callable[..., NodeProcess], number: int) -> None:
    node = start_node()
    with node.connect():
        node.process.send_signal(number)
        _, complaint = node.process.communicate(timeout=10)
    assert (node.process.returncode, complaint) == (0, b"")


def test_a_taken_port_is_one_sentence(node_process: NodeProcess) -> None:
    run = subprocess.run(
        [*COMMAND, "--port", str(node_process.port)], capture_output=True, text=True, timeout=20
    )
    assert run.returncode == 1
    assert run.stderr == f"cannot listen on 127.0.0.1:{node_process.port}: Address already in use\n"
    assert run.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--memory-mb", "0"],
        ["--memory-mb", "1", "--max-item-bytes", "2000000"],
        ["--nope"],
    ],
)
def test_bad_arguments_exit_with_2(arguments: list[str]) -> None:
    run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=20)
    assert run.returncode == 2
    assert arguments[-2 if len(arguments) > 1 else 0].removeprefix("--") in run.stderr
    assert "Traceback" not in run.stderr


def test_only_the_standard_library_is_loaded() -> None:
    code = (
        "import sys, iotcache_simulator.cachenode.__main__;"
        "names = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(n for n in names if n not in sys.stdlib_module_names and not n.startswith('_')))"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=20)
    assert run.stdout.strip() == "['iotcache_simulator']", run.stderr


def test_pymemcache_works_with_it(node_process: NodeProcess) -> None:
    client = Client(("127.0.0.1", node_process.port), default_noreply=False, timeout=10)
    assert client.set("k", b"one", expire=60, flags=7)
    value, cas = client.gets("k")
    assert value == b"one"
    assert client.cas("k", b"two", cas) is True
    assert client.cas("k", b"three", cas) is False
    assert client.add("k", b"x") is False
    assert client.append("k", b"!")
    assert client.get("k") == b"two!"
    assert client.set("n", b"41") and client.incr("n", 1) == 42 and client.decr("n", 2) == 40
    many = {f"device-{number:04d}:temperature:latest": b"%d" % number for number in range(2000)}
    assert client.set_many(many) == []
    assert client.get_many(many) == many
    assert client.touch("k", 90)
    assert client.delete("k") and client.get("k") is None
    assert client.stats()[b"version"].endswith(b"-iotcache")
    assert client.cache_memlimit(32) is True
    client.close()


def test_a_large_pipeline_is_answered_whole(node_process: NodeProcess) -> None:
    keys = [b"dev:%04d:temp:latest" % number for number in range(2000)]
    with node_process.connect() as client:
        client.sendall(b"".join(b"ms %b 100 T60 q\r\n%b\r\n" % (key, b"x" * 100) for key in keys) + BARRIER)
        assert read_to(client, b"MN\r\n") == b"MN\r\n"
        request = b"".join(b"mg %b v t f q\r\n" % key for key in keys) + BARRIER
        for _ in range(5):
            client.sendall(request)
            assert read_to(client, b"MN\r\n").count(b"VA 100 ") == 2000


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_client_that_does_not_read_costs_no_memory_and_no_time(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node()
    with node.connect() as slow, node.connect() as other:
        slow.sendall(b"set big 0 0 1000000\r\n%b\r\n" % (b"x" * 1_000_000))
        assert read_to(slow, b"STORED\r\n") == b"STORED\r\n"
        before = _resident_bytes(node.process.pid)
        slow.sendall(b"get big\r\n" * 250 + b"get " + b"big " * 50 + b"\r\n")
        for _ in range(50):
            other.sendall(b"mg big s\r\n")
            assert read_to(other, b"\r\n") == b"HD s1000000\r\n"
        assert _resident_bytes(node.process.pid) - before < 16_000_000
        slow.sendall(BARRIER)
        left = 250 * len(b"VALUE big 0 1000000\r\n\r\nEND\r\n") + 250 * 1_000_000
        left += 50 * len(b"VALUE big 0 1000000\r\n\r\n") + 50 * 1_000_000 + len(b"END\r\nMN\r\n")
        buffer = bytearray(1 << 20)
        while left:
            left -= (got := slow.recv_into(buffer))
            assert got
        assert buffer[:got].endswith(b"MN\r\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_commands_that_are_never_answered_to_do_not_pile_up(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node()
    with node.connect() as slow, node.connect() as other:
        slow.sendall(b"set big 0 0 1000000\r\n%b\r\n" % (b"x" * 1_000_000))
        assert read_to(slow, b"STORED\r\n") == b"STORED\r\n"
        before = _resident_bytes(node.process.pid)
        slow.settimeout(0.3)
        with pytest.raises(TimeoutError):  # its input is not taken any more either
            for _ in range(2000):
                slow.sendall(b"get big\r\n" * 10_000)
        other.sendall(b"version\r\n")
        assert read_to(other, b"\r\n").startswith(b"VERSION ")
        assert _resident_bytes(node.process.pid) - before < 16_000_000


def test_everyone_has_a_turn_beside_a_client_that_never_stops(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node()
    with node.connect() as busy, node.connect() as other:
        # Not a byte of answer to the busy one before its barrier; the other one's question comes behind it.
        busy.sendall(b"mg none q\r\n" * 200_000 + BARRIER)
        other.sendall(b"version\r\n")
        answered, _, _ = select.select([busy, other], [], [])
        assert other in answered, "it had to wait for all of the other client's commands"
        assert read_to(other, b"\r\n").startswith(b"VERSION ")
        assert read_to(busy, b"MN\r\n") == b"MN\r\n"


def test_connections_are_bounded_and_counted(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node("--max-connections", "2")
    with node.connect() as first, node.connect() as second, node.connect() as third:
        second.sendall(b"version\r\n")
        assert read_to(second, b"\r\n").startswith(b"VERSION ")
        assert read_to(third, b"never") == b"ERROR Too many open connections\r\n"
        first.sendall(b"stats\r\n")
        stats = read_to(first, b"END\r\n")
    assert b"STAT curr_connections 2\r\n" in stats
    assert b"STAT total_connections 3\r\n" in stats
    assert b"STAT rejected_connections 1\r\n" in stats
    assert b"STAT bytes_read 16\r\n" in stats


def test_quit_and_a_half_closed_connection_still_get_their_answers(node_process: NodeProcess) -> None:
    with node_process.connect() as client:
        client.sendall(b"version\r\nquit\r\nversion\r\n")
        assert read_to(client, b"never").count(b"VERSION ") == 1
    with node_process.connect() as client:
        client.sendall(b"version\r\n" * 20_000)
        client.shutdown(socket.SHUT_WR)
        assert read_to(client, b"never").count(b"VERSION ") == 20_000
