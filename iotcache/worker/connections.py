"""Bounds on an HTTP server's connections: how many there may be, and how long each may keep us waiting.

A connection is *waiting* until the header of a request has arrived whole, and again after each answer; it is
*busy* in between. At the bound a newcomer takes the place of the one that has waited longest, so that idle
strangers keep nobody out. The bound leaves most of the process's file descriptors to the broker, the cache
nodes and the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, Final

from iotcache.text import plural

try:
    import resource
except ImportError:  # Windows, where sockets do not count against such a limit
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

CONNECTIONS: Final = 256
"""Most connections at a time."""
DESCRIPTOR_SHARE: Final = 4
"""One in so many of the process's file descriptors may be such a connection."""
HEADER_WAIT_S = 10.0
"""Longest wait for a request's header: from the connection's beginning, or from the answer before."""
ANSWER_WAIT_S = 30.0
"""Longest life of one request, from its header to its answer's last byte: above the sum of its waits."""
HEADER_LIMIT_BYTES: Final = 64 * 1024
"""A header of this size is answered; one longer by more than a packet is not. As h11 does by itself."""
LINGER_S = 2.0
"""How long what still comes is thrown away after an answer that ends the connection."""
ACCEPT_RETRY_S: Final = 1.0
LOG_EVERY_S: Final = 60.0
BACKLOG: Final = 512

_current: ContextVar[Connection | None] = ContextVar("iotcache_http_connection", default=None)


def connection_limit() -> int:
    """Most connections to take, given how many descriptors this process may have."""
    if resource is None:
        return CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(4, min(CONNECTIONS, soft // DESCRIPTOR_SHARE))


def current_connection() -> Connection | None:
    """The connection that the running request came by."""
    return _current.get()


class RateLimitedLog:
    """Logs a kind of trouble at once, and then at most once a minute, with how often it came meanwhile."""

    def __init__(self, every_s: float = LOG_EVERY_S) -> None:
        self._every_s = every_s
        self._next_s = 0.0
        self._count = 0

    def add(self, text: str) -> None:
        self._count += 1
        now_s = time.monotonic()
        if now_s >= self._next_s:
            log.warning("%s", text if self._count == 1 else f"{text} ({self._count} times since last told)")
            self._next_s = now_s + self._every_s
            self._count = 0


class _Transport(asyncio.Transport):
    """A connection's transport, as the HTTP protocol sees it: its close lingers."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__()
        self._transport = transport
        self._connection = connection

    def close(self) -> None:
        self._connection.linger()

    def is_closing(self) -> bool:
        return self._connection.lingers or self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()


class Connection(asyncio.Protocol):
    """A connection, in front of the HTTP protocol that serves it: it counts bytes and watches the clock."""

    def __init__(self, inner: asyncio.Protocol, pool: Connections) -> None:
        self._inner = inner
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._requests = 0
        self._header_bytes = 0
        self._ended = False
        self.lingers = False
        """The last answer is written, and what still comes is thrown away."""
        # Tasks that the inner protocol starts inherit it: a request finds the connection it came by.
        self._context = copy_context()
        self._context.run(_current.set, self)
        self._wait(HEADER_WAIT_S)

    def abort(self) -> None:
        """End it at once, whatever is under way."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def linger(self) -> None:
        """End it after what was written. A socket that is closed with bytes unread resets the connection, and
        the sender of a body that was refused may never see why (RFC 9112, section 9.6)."""
        transport = self._transport
        if self.lingers or transport is None or transport.is_closing():
            return
        self.lingers = True
        if not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()
        self._linger_on(asyncio.get_running_loop().time() + ANSWER_WAIT_S)

    def _linger_on(self, until_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._lingered, until_s)

    def _lingered(self, until_s: float) -> None:
        assert self._transport is not None
        # Who reads slowly gets the rest of the answer.
        if self._transport.get_write_buffer_size() and asyncio.get_running_loop().time() < until_s:
            self._linger_on(until_s)
        else:
            self.abort()

    @contextlib.contextmanager
    def request(self, *, bounded: bool = True) -> Iterator[None]:
        """While inside, a request of this connection is being answered; ``bounded``: and for so long only."""
        self._requests += 1
        self._header_bytes = 0
        self._pool.busy(self)
        self._wait(ANSWER_WAIT_S if bounded else None)
        try:
            yield
        finally:
            self._requests -= 1
            self._header_bytes = 0
            if self._requests == 0 and not self._ended:
                self._pool.waits(self)
                if not self.lingers:
                    self._wait(HEADER_WAIT_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        shown = _Transport(transport, self) if self._pool.lingering else transport
        self._context.run(self._inner.connection_made, shown)
        if self._ended:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.lingers:
            return
        if self._requests == 0:
            # What the last data began has been started by now: all of it is header still.
            if self._header_bytes > HEADER_LIMIT_BYTES:
                self.abort()
                return
            self._header_bytes += len(data)
        try:
            self._context.run(self._inner.data_received, data)
        except Exception as error:
            log.debug("a connection sent what no parser takes: %r", error)
            self.abort()

    def eof_received(self) -> bool | None:
        return None if self.lingers else self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._pool.forget(self)
        self._inner.connection_lost(exc)

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if seconds is not None and not self._ended:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)


class Connections:
    """All connections of a listener, at most ``limit``; accepts new ones while :meth:`accept` runs.

    ``lingering`` is for a server that takes bodies; one that sends files by ``loop.sendfile`` needs the
    socket's own transport.
    """

    def __init__(
        self, limit: int, make_protocol: Callable[[], asyncio.Protocol], *, lingering: bool = True
    ) -> None:
        self.lingering = lingering
        self._limit = limit
        self._make_protocol = make_protocol
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait
        self._busy: set[Connection] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._refusals = RateLimitedLog()
        self._accept_errors = RateLimitedLog()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def waits(self, connection: Connection) -> None:
        self._busy.discard(connection)
        self._waiting[connection] = None

    def busy(self, connection: Connection) -> None:
        if connection in self._waiting:
            del self._waiting[connection]
            self._busy.add(connection)

    def forget(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._busy.discard(connection)

    async def accept(self, listener: socket.socket) -> None:
        """Take connections from ``listener``, which listens, until cancelled. Errors are waited out."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Out of descriptors, ours or the machine's: one who idles gives one back.
                self._accept_errors.add(f"the HTTP server cannot take a connection: {error.strerror}")
                self._drop_longest_waiting()
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            self._take(accepted)
            await asyncio.sleep(0)  # many may be pending, and sock_accept returns at once while there are

    def close(self) -> None:
        """End all of them at once."""
        for task in self._starting:
            task.cancel()
        for connection in [*self._waiting, *self._busy]:
            connection.abort()

    def _take(self, accepted: socket.socket) -> None:
        if len(self) >= self._limit and not self._drop_longest_waiting():
            self._refusals.add(
                f"the HTTP server has {plural(self._limit, 'request')} under way and refuses more"
            )
            accepted.close()
            return
        connection = Connection(self._make_protocol(), self)
        self._waiting[connection] = None
        task = asyncio.create_task(self._start(accepted, connection), name="http connection")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, accepted: socket.socket, connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            connection.abort()
            accepted.close()

    def _drop_longest_waiting(self) -> bool:
        if not self._waiting:
            return False
        self._refusals.add(f"the HTTP server has {plural(len(self), 'connection')} open and closes idle ones")
        next(iter(self._waiting)).abort()
        return True
