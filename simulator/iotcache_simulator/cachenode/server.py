"""The sockets around the engine: asyncio connections with back-pressure both ways.

A client that does not read is not read from either: once its answers fill the write buffer, its commands
wait where they are. A client that sends without pause gets its answers in slices, between which the others
have their turn.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol.engine import Session

_SLICE_BYTES = 1 << 16
_SLICE_COMMANDS = 1000  # some 10 ms of work
_WRITE_BUFFER_BYTES = 1 << 18
_BACKLOG = 1024
_CRAWL_EVERY_S = 60.0  # memcached's crawler, too, looks at a class once a minute at most
_CRAWL_STEP_S = 0.02
_CRAWL_STEP_ITEMS = 500
_COLLECT_EVERY_S = 60.0
_COLLECT_AFTER_CONNECTIONS = 10_000  # some 10 MB


def steady_clock() -> Callable[[], float]:
    """Epoch seconds that do not jump when somebody sets the clock, so that no item dies early or late."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


class ClientConnection(asyncio.Protocol):
    """One client."""

    def __init__(self, node: BundledNode) -> None:
        self._node = node
        self._session = Session(node)
        self._transport: asyncio.Transport
        self._writable = True
        self._reading = True
        self._resumption: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        self._node.connections += 1
        self._node.counters.total_connections += 1
        if self._node.connections > self._node.max_connections:
            self._node.counters.rejected_connections += 1
            self._session.closed = True
            transport.write(b"ERROR Too many open connections\r\n")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._node.connections -= 1
        self._node.connections_ended += 1
        self._session.closed = True
        if self._resumption is not None:
            self._resumption.cancel()

    def data_received(self, data: bytes) -> None:
        self._node.counters.bytes_read += len(data)
        self._session.receive(data)
        if self._resumption is None:
            self._answer()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._resumption is None:
            self._answer()

    def _answer(self) -> None:
        """Answer one slice; with more to do, come back after the others or when the client has read."""
        self._resumption = None
        transport = self._transport
        if not self._writable:
            self._read(False)
            return
        answer = self._session.answer(_SLICE_BYTES, _SLICE_COMMANDS)
        if answer:
            self._node.counters.bytes_written += len(answer)
            transport.write(answer)
        more = self._session.ready
        self._read(self._writable and not more)
        if more and self._writable:
            self._node.counters.conn_yields += 1
            self._resumption = asyncio.get_running_loop().call_soon(self._answer)
        elif self._session.closed and not more:
            transport.close()

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


async def listen(node: BundledNode, interface: str, port: int) -> asyncio.Server:
    """Accept clients; ``node.listening`` then has the port in use. Raises :class:`OSError`."""
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientConnection(node), interface, port, backlog=_BACKLOG
    )
    bound = server.sockets[0].getsockname()
    node.listening = (str(bound[0]), int(bound[1]))
    return server


async def crawl(node: BundledNode) -> None:
    """Reclaim the memory of dead items now and then, a little at a time; runs until it is cancelled."""
    while True:
        await asyncio.sleep(_CRAWL_EVERY_S)
        keys = node.items.keys()
        for start in range(0, len(keys), _CRAWL_STEP_ITEMS):
            node.tick()
            node.items.crawl(keys[start : start + _CRAWL_STEP_ITEMS])
            await asyncio.sleep(_CRAWL_STEP_S)


async def collect_cycles(node: BundledNode) -> None:
    """Keep the cycle collector off the items, which it would halt the node for; runs until it is cancelled.

    A look through 370,000 items takes 300 ms, longer than a reader waits for an answer, and finds nothing:
    only asyncio's transports are cycles. Most die young, so the collector keeps looking at what is new; for
    the rest there is one look at everything when very many connections have come and gone.
    """
    gc.set_threshold(700, 10, 1 << 30)
    collected = node.connections_ended
    while True:
        await asyncio.sleep(_COLLECT_EVERY_S)
        if node.connections_ended - collected >= _COLLECT_AFTER_CONNECTIONS:
            collected = node.connections_ended
            gc.collect()
