"""One connection to one node: batches go out in order, answers come back in order, many callers at once."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from iotcache.cluster.wire.answers import Answers, AnswerStream, ProtocolViolation
from iotcache.errors import NodeError

MAX_BATCHES: Final = 256
"""Most batches in flight; more callers wait their turn."""
_HIGH_WATER_BYTES: Final = 1 << 20
"""Unsent bytes at which callers wait. Answers are read all the while, so no batch size can deadlock."""

_DROP_UNSENT: Final = struct.pack("ii", 1, 0)
"""``struct linger``: on, 0 seconds. Else the kernel goes on sending what a closed connection had not got
through, for minutes and though the process has ended: a set would be carried out when the node has long been
fenced. Source: socket(7)."""


class ConnectionLost(NodeError):
    """The connection ended before the answer came; whether the command was carried out is unknown."""


class AnswerTimeout(NodeError):
    """The node did not answer in time."""


class _InFlight:
    __slots__ = ("answers", "deadline", "future", "sent_at")

    def __init__(
        self, answers: Answers, future: asyncio.Future[float], sent_at: float, deadline: float
    ) -> None:
        self.answers = answers
        self.future = future
        self.sent_at = sent_at
        self.deadline = deadline


class Connection(asyncio.Protocol):
    """A FIFO of batches over an asyncio transport.

    A batch that runs out of time is *abandoned*, not forgotten: its answers are still awaited, in order, and
    dropped, so the connection stays usable when the node was only slow. ``on_overdue`` is told each time,
    with whether the node had answered anything at all in the meantime, and decides what that means.
    """

    def __init__(self, on_overdue: Callable[[bool], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = AnswerStream()
        self._flight: deque[_InFlight] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._writable = True
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._on_overdue = on_overdue
        self._error: NodeError | None = None
        self.lost: asyncio.Future[NodeError] = self._loop.create_future()
        """Done, with the reason, when the connection has ended."""
        self._drained: asyncio.Future[None] | None = None
        self.local_port = 0
        self.unanswered = 0
        """Batches that were in flight when the connection ended."""

    # What callers use ------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Batches sent and not yet answered, abandoned ones included."""
        return len(self._flight)

    @property
    def usable(self) -> bool:
        return self._transport is not None and self._error is None

    @property
    def has_room(self) -> bool:
        return self._writable and len(self._flight) < MAX_BATCHES

    async def room(self) -> None:
        """Wait until another batch may be sent; returns at once, too, when the connection has ended."""
        while self.usable and not self.has_room:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if not waiter.done():
                    self._waiters.remove(waiter)

    def submit(self, request: bytes, answers: Answers, timeout_s: float) -> asyncio.Future[float]:
        """Send one batch; the future gives the seconds it took, once ``answers`` is complete.

        It fails with `AnswerTimeout`, `ConnectionLost` or `ProtocolViolation`.
        """
        future: asyncio.Future[float] = self._loop.create_future()
        if self._transport is None or self._error is not None:
            future.set_exception(self._error or ConnectionLost("not connected"))
            return future
        now = self._loop.time()
        if not self._flight:
            self._heard_at = now  # silence is counted from the first unanswered question
        self._flight.append(_InFlight(answers, future, now, now + timeout_s))
        self._stream.expect(answers)
        if self._timer is None:
            self._timer = self._loop.call_at(now + timeout_s, self._tick)
        self._transport.write(request)
        return future

    async def drained(self) -> None:
        """Return when nothing is in flight any more: the node has carried out all it was ever sent here.

        Returns, too, when the connection ends first.
        """
        if not self._flight:
            return
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def abandon_all(self, error: NodeError) -> None:
        """Fail everybody who waits, and go on collecting the answers silently."""
        for batch in self._flight:
            if not batch.future.done():
                batch.future.set_exception(error)
                batch.future.exception()  # a caller that has gone away need not look at it

    def abandon(self) -> None:
        """Forget the transport without touching it: it belongs to another process."""
        self._error = ConnectionLost("the process was forked")
        self._transport = None

    def close(self, error: NodeError | None = None) -> None:
        """End the connection now."""
        self._end(error or ConnectionLost("closed"))

    # What asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
        name = transport.get_extra_info("sockname")
        if isinstance(name, tuple):
            self.local_port = name[1]

    def data_received(self, data: bytes) -> None:
        self._heard_at = now = self._loop.time()
        try:
            done = self._stream.feed(data)
        except ProtocolViolation as error:
            self._end(error)
            return
        if not done:
            return
        flight = self._flight
        for _ in done:
            batch = flight.popleft()
            if not batch.future.done():
                batch.future.set_result(now - batch.sent_at)
        if self._waiters:
            self._wake()
        if not flight and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def eof_received(self) -> bool:
        return False  # and asyncio closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the node closed the connection" if exc is None else f"the connection broke ({exc})"
        self._end(ConnectionLost(why))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    # Inside ----------------------------------------------------------------------------------

    def _wake(self) -> None:
        free = MAX_BATCHES - len(self._flight) if self.usable else len(self._waiters)
        while self._waiters and free > 0:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1

    def _tick(self) -> None:
        """Runs at the oldest deadline; one timer serves all batches.

        asyncio handles sockets before timers, so answers that arrived while the program itself was busy have
        been taken in by now.
        """
        self._timer = None
        now = self._loop.time()
        overdue = False
        next_deadline = None
        sent_at = now
        for batch in self._flight:
            if batch.future.done():
                continue
            if batch.deadline > now:
                next_deadline = batch.deadline
                break
            overdue = True
            sent_at = min(sent_at, batch.sent_at)
            batch.future.set_exception(AnswerTimeout(f"no answer within {now - batch.sent_at:.2g} s"))
            batch.future.exception()
        if overdue and self._on_overdue is not None:
            self._on_overdue(self._heard_at > sent_at)
        if next_deadline is not None and self._timer is None and self._error is None:
            self._timer = self._loop.call_at(next_deadline, self._tick)

    def _end(self, error: NodeError) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self.abandon_all(error)
        self.unanswered = len(self._flight)
        self._flight.clear()
        self._stream = AnswerStream()
        self._wake()
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if not self.lost.done():
            self.lost.set_result(error)
