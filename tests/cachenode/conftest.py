"""A bundled node for the tests: as an engine on a clock that stands still, and as a process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iotcache.clock import ManualClock
from iotcache_simulator.cachenode.node import MIB, BundledNode
from iotcache_simulator.cachenode.protocol.engine import Session

COMMAND = [sys.executable, "-P", "-m", "iotcache_simulator.cachenode"]
BARRIER = b"mn\r\n"


class Bench:
    """A node without a socket, its clock in the test's hand."""

    def __init__(self, *, limit_bytes: int = 64 * MIB, max_item_bytes: int = MIB) -> None:
        self.clock = ManualClock()
        self.node = BundledNode(self.clock.now, limit_bytes=limit_bytes, max_item_bytes=max_item_bytes)
        self.session = Session(self.node)

    def say(self, data: bytes) -> bytes:
        """What the node answers."""
        return self.session.feed(data)

    def put(self, key: bytes, value: bytes = b"v", flags: bytes = b"") -> None:
        """Store a value, which must succeed."""
        assert self.say(b"ms %b %d %b\r\n%b\r\n" % (key, len(value), flags, value)) == b"HD\r\n"

    def stats(self, what: bytes = b"stats") -> dict[str, str]:
        """A ``stats`` answer as a mapping."""
        lines = self.say(what + b"\r\n").decode("ascii").splitlines()
        assert lines.pop() == "END"
        return dict(line.removeprefix("STAT ").split(" ", 1) for line in lines)

    def count(self, name: str) -> int:
        """One number of ``stats``."""
        return int(self.stats()[name])


@pytest.fixture
def bench() -> Bench:
    """A fresh node without a socket."""
    return Bench()


class NodeProcess:
    """The node as it is really run."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, complaint = self.process.communicate(timeout=10)
            raise AssertionError(complaint.decode())
        assert line.startswith(b"listening 127.0.0.1:")
        self.port = int(line.rpartition(b":")[2])

    def connect(self) -> socket.socket:
        """A connection that gives up after ten seconds rather than hang the tests."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def close(self) -> None:
        """End it, whatever it is doing."""
        with self.process:
            self.process.kill()


@pytest.fixture
def start_node() -> Iterator[Callable[..., NodeProcess]]:
    """``start_node(*arguments)`` starts one more node process."""
    with contextlib.ExitStack() as running:

        def start(*arguments: str) -> NodeProcess:
            node = NodeProcess(*arguments)
            running.callback(node.close)
            return node

        yield start


@pytest.fixture(scope="module")
def node_process() -> Iterator[NodeProcess]:
    """One node process that the tests of a module share."""
    node = NodeProcess()
    yield node
    node.close()


def read_to(connection: Any, end: bytes) -> bytes:
    """Everything up to and with ``end``, or up to where the server closes."""
    received = bytearray()
    while not received.endswith(end):
        data = connection.recv(1 << 16)
        if not data:
            break
        received += data
    return bytes(received)
