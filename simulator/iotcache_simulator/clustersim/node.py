"""A cache node in memory: the bundled engine behind simulated connections, and what can befall it."""

from __future__ import annotations

from typing import Final, Protocol

from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol.engine import Session
from iotcache_simulator.clustersim.loop import EPOCH_S, Scheduler

_WAKE_SPREAD_S: Final = 0.004
"""A node that goes on after a hang works off what lies in its sockets in any order, within this time."""
_ALL: Final = 1 << 60
"""Bytes of answers that a node may give at once."""


class NodeConnection(Protocol):
    """A connection, seen from the node."""

    session: Session
    received: bytearray
    """What the node's kernel holds for it."""

    def answer(self, data: bytes) -> None:
        """Send ``data`` back."""
        ...

    def reset(self) -> None:
        """End it."""
        ...


class SimulatedNode:
    """One node. It starts running and empty."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.name = name
        self.hung = False
        self.listening = True
        self.slow_s = 0.0
        """What every batch takes on top."""
        self.answer_fault = ""
        """``lose`` or ``double``: what becomes of one answer line of the next batch of gets or sets."""
        self._scheduler = scheduler
        self._pid = 1_000
        self._connections: list[NodeConnection] = []
        self._engine = self._begin()

    def _begin(self) -> BundledNode:
        self._pid += 1
        engine = BundledNode(self._time)
        engine.pid = self._pid
        return engine

    def _time(self) -> float:
        return EPOCH_S + self._scheduler.now

    @property
    def engine(self) -> BundledNode:
        """The engine, to look into."""
        return self._engine

    # Connections

    def connected(self, transport: NodeConnection) -> Session:
        """A client has connected; what it may send through."""
        self._connections.append(transport)
        return Session(self._engine)

    def disconnected(self, transport: NodeConnection) -> None:
        if transport in self._connections:
            self._connections.remove(transport)
            if self.hung and transport.received:
                self._connections.append(transport)  # its bytes are read when the node goes on

    def readable(self, transport: NodeConnection) -> None:
        """Bytes have come."""
        if self.hung:
            if transport not in self._connections:
                self._connections.append(transport)  # given up by its client, but not by its kernel
        elif self.listening:
            if self.slow_s:
                self._scheduler.after(self.slow_s, self._work, transport)
            else:
                self._work(transport)

    def _work(self, transport: NodeConnection) -> None:
        if self.hung or not self.listening or not transport.received:
            return
        data = bytes(transport.received)
        transport.received.clear()
        transport.session.receive(data)
        answer = transport.session.answer(_ALL)
        if self.answer_fault and data.startswith((b"mg ", b"ms ")):
            spoiled = spoil(answer, self.answer_fault, self._scheduler.rng.random())
            if spoiled is not None:
                answer, self.answer_fault = spoiled, ""
        if answer:
            transport.answer(answer)

    # What befalls it

    def hang(self) -> None:
        """It stands still (SIGSTOP): connects and bytes are taken by its kernel, nothing is answered."""
        self.hung = True

    def resume(self) -> None:
        """It goes on, with what has come meanwhile."""
        if not self.hung:
            return
        self.hung = False
        for transport in self._connections:
            self._scheduler.after(self._scheduler.rng.random() * _WAKE_SPREAD_S, self._work, transport)

    def kill(self) -> None:
        """Its process ends; all connections are reset, and nobody listens."""
        self.listening = False
        self.hung = False
        connections, self._connections = self._connections, []
        for transport in connections:
            transport.received.clear()
            transport.reset()

    def restart(self, *, keep: bool) -> None:
        """A new process, empty or with the items of the last one (memcached's ``-e``)."""
        if self.listening:
            return
        items = self._engine.items
        self._engine = self._begin()
        if keep:
            self._engine.items = items
        self.listening = True

    def evict(self, prefix: bytes) -> int:
        """Drop all items whose key begins so, as the LRU may at any time; how many went."""
        items = self._engine.items
        found = [key for key in list(items.keys()) if key.startswith(prefix)]
        for key in found:
            item = items.peek(key)
            if item is not None:
                items.drop(item)
        return len(found)


def answers_of(data: bytes) -> list[bytes]:
    """The answers in ``data``, one for each command."""
    found = []
    start = 0
    while start < len(data):
        end = data.index(b"\r\n", start) + 2
        if data.startswith(b"VA ", start):
            end += int(data[start:end].split(b" ")[1]) + 2
        found.append(data[start:end])
        start = end
    return found


def spoil(data: bytes, how: str, dice: float) -> bytes | None:
    """``data`` with one of its answers lost or doubled; ``None`` when there are too few."""
    answers = answers_of(data)
    if len(answers) < 3 or answers[-1] != b"MN\r\n":
        return None
    at = int(dice * (len(answers) - 1))
    return b"".join(answers[:at] + answers[at + 1 :] if how == "lose" else answers[: at + 1] + answers[at:])
