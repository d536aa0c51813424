"""The network between clients and nodes: byte streams in order, with delay, and links that can be blocked.

What is modelled of TCP: bytes arrive in order or not at all; those of a connection that was cut may or may
not have arrived before. Bytes held back by a blocked link come some time after it is open again, as TCP sends
them anew at doubling intervals: up to as much later as they have waited. The kernel does that also for a
connection that its process has closed, or died with, unless the socket was told to drop what was not sent
(SO_LINGER with 0 seconds). A node that hangs still accepts connections and bytes, as its kernel does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from iotcache.errors import NodeError

if TYPE_CHECKING:
    import ssl

    from iotcache.cluster.wire.dial import Made
    from iotcache.config.urls import NodeAddress
    from iotcache_simulator.clustersim.loop import Scheduler, SimulatedLoop
    from iotcache_simulator.clustersim.node import SimulatedNode

_FASTEST_S: Final = 0.000_04
_SPREAD_S: Final = 0.000_2


@dataclass
class SimulatedLink:
    """What lies between one client and one node."""

    up_blocked: bool = False
    """From the client to the node."""
    down_blocked: bool = False
    blocked_s: float = 0.0
    """Since when the way to the node has been blocked, if it is."""
    delay_s: float = 0.0
    """On top of the usual delay, each way."""
    fragment: bool = False
    """Bytes come in small pieces."""
    connections: list[SimulatedTransport] = field(default_factory=list)


class SimulatedSocket:
    """What a client may set of its socket."""

    def __init__(self) -> None:
        self.drops_unsent = False
        """A socket that is closed sends nothing more."""

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As a socket's own."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER) and isinstance(value, bytes):
            self.drops_unsent = struct.unpack("ii", value) == (1, 0)


class SimulatedTransport(asyncio.Transport):
    """One TCP connection, seen from the client."""

    def __init__(
        self,
        network: Network,
        loop: SimulatedLoop,
        link: SimulatedLink,
        node: SimulatedNode,
        protocol: asyncio.Protocol,
    ) -> None:
        super().__init__()
        self.loop = loop
        self.link = link
        self.node = node
        self.session = node.connected(self)
        self.received = bytearray()
        """What the node's kernel holds for it."""
        self._network = network
        self._protocol = protocol
        self._socket = SimulatedSocket()
        self._given_up = False
        self._ended = False
        self._held_up: list[bytes] = []
        self._held_down: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._up_free_s = 0.0
        self._down_free_s = 0.0
        link.connections.append(self)

    # What the client does with it

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Everything fits."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket if name == "socket" else default

    def is_closing(self) -> bool:
        return self._given_up

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._given_up or self._ended:
            return
        if self.link.up_blocked or self._held_up:
            self._held_up.append(bytes(data))
        else:
            self._send_up(bytes(data))

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close the connection; what has not been sent may be sent all the same."""
        if self._given_up:
            return
        self._given_up = True
        if self._socket.drops_unsent:
            self._held_up.clear()
        self._held_down.clear()
        if not self._ended and not self._held_up:
            self._network.scheduler.after(self._delay(), self._closed_at_node)
        self.loop.deliver(self._protocol.connection_lost, None)

    # The way to the node

    def _delay(self) -> float:
        return _FASTEST_S + self._network.scheduler.rng.random() * _SPREAD_S + self.link.delay_s

    def _send_up(self, data: bytes) -> None:
        scheduler = self._network.scheduler
        for piece in self._network.pieces(self.link, data):
            self._up_free_s = max(self._up_free_s, scheduler.now + self._delay())
            scheduler.at(self._up_free_s, self._arrive_up, piece)

    def _arrive_up(self, data: bytes) -> None:
        if not self._ended:
            self.received += data
            self.node.readable(self)

    def _closed_at_node(self) -> None:
        """The end of the stream; what the node's kernel has received before is read all the same."""
        if not self._ended:
            if self in self.link.connections:
                self.link.connections.remove(self)
            self.node.disconnected(self)

    # The way back

    def answer(self, data: bytes) -> None:
        """The node has written."""
        if self._given_up or self._ended:
            return
        for piece in self._network.pieces(self.link, data):
            self._send_down(self._protocol.data_received, piece)

    def reset(self, error: OSError | None = None) -> None:
        """The connection ends at the node's side, or in between; the client hears of it when it can."""
        if self._ended:
            return
        self._ended = True
        if self in self.link.connections:
            self.link.connections.remove(self)
        self.node.disconnected(self)
        if not self._given_up:
            self._send_down(self._lost, error or ConnectionResetError("reset by peer"))

    def _lost(self, error: OSError | None) -> None:
        if not self._given_up:
            self._given_up = True
            self._protocol.connection_lost(error)

    def _send_down(self, call: Callable[..., object], *args: Any) -> None:
        if self.link.down_blocked or self._held_down:
            self._held_down.append((call, args))
            return
        scheduler = self._network.scheduler
        self._down_free_s = max(self._down_free_s, scheduler.now + self._delay())
        scheduler.at(self._down_free_s, self._arrive_down, call, args)

    def _arrive_down(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self._given_up:
            self.loop.deliver(self._take_down, call, args)

    def _take_down(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self._given_up:
            call(*args)

    def unblocked(self) -> None:
        """The link carries again: what was held back goes on its way."""
        if not self.link.up_blocked:
            held, self._held_up = self._held_up, []
            if held:
                scheduler = self._network.scheduler
                self._up_free_s = scheduler.now + scheduler.rng.random() * (
                    scheduler.now - self.link.blocked_s
                )
            for data in held:
                self._send_up(data)
            if held and self._given_up and not self._ended:
                self._network.scheduler.at(self._up_free_s, self._closed_at_node)
        if not self.link.down_blocked:
            waiting, self._held_down = self._held_down, []
            for call, args in waiting:
                self._send_down(call, *args)


class Network:
    """All links, by (client, node)."""

    def __init__(self, scheduler: Scheduler, nodes: dict[str, SimulatedNode]) -> None:
        self.scheduler = scheduler
        self._nodes = nodes
        self._links: dict[tuple[str, str], SimulatedLink] = {}

    def link(self, client: str, node: str) -> SimulatedLink:
        """What lies between the two."""
        found = self._links.get((client, node))
        if found is None:
            found = self._links[client, node] = SimulatedLink()
        return found

    def links(self) -> list[SimulatedLink]:
        """All that were ever used."""
        return list(self._links.values())

    def pieces(self, link: SimulatedLink, data: bytes) -> list[bytes]:
        """``data`` as it travels."""
        if not link.fragment or len(data) < 2:
            return [data]
        cut = self.scheduler.rng.randrange(1, len(data))
        return [data[:cut], data[cut:]]

    def dialler(self, client: str, loop: SimulatedLoop) -> Any:
        """The function with which ``client`` opens connections (`iotcache.cluster.wire.dial.Dial`)."""

        async def dial(
            address: NodeAddress,
            make: Callable[[], Made],
            *,
            timeout_s: float,
            tls_context: ssl.SSLContext | None = None,
        ) -> Made:
            if loop.killed:
                raise NodeError("the process has ended")
            link, node = self.link(client, address.name), self._nodes[address.name]
            began_s = self.scheduler.now
            await asyncio.sleep(2 * (_FASTEST_S + link.delay_s))
            while link.up_blocked or link.down_blocked:
                if self.scheduler.now - began_s > timeout_s:
                    raise NodeError(f"no connection within {timeout_s:g} s")
                await asyncio.sleep(0.02)
            if not node.listening:
                raise NodeError("connection refused")
            made = make()
            transport = SimulatedTransport(self, loop, link, node, cast(asyncio.Protocol, made))
            made.connection_made(transport)
            return made

        return dial

    def of(self, client: str, loop: SimulatedLoop) -> list[SimulatedTransport]:
        """The connections of one life of a client."""
        return [
            transport
            for (name, _), link in self._links.items()
            if name == client
            for transport in list(link.connections)
            if transport.loop is loop
        ]
