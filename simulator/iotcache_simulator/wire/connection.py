"""One TCP connection to a broker that only publishes: bytes in, acknowledgements out."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from iotcache.errors import BrokerError
from iotcache.mqtt.tls import other_port, tls_trouble
from iotcache_simulator.wire import packets
from iotcache_simulator.wire.packets import Accepted, Version

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class BrokerTarget(Struct, frozen=True):
    """A broker's address and how to log in."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    version: Version = 4
    keep_alive_s: int = 30

    @property
    def name(self) -> str:
        """``host:port`` for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FleetConnection(asyncio.Protocol):
    """An open connection. Made by `open_connection`; ends once, and then says why in ``reason``."""

    def __init__(
        self, version: Version, on_ack: Callable[[int, bool], None], on_pong: Callable[[], None],
        on_writable: Callable[[], None], on_received: Callable[[int], None] = lambda packet_id: None,
    ) -> None:  # fmt: skip
        """``on_ack(packet id, taken)`` for each QoS 1 or 2 publish that the broker has answered for;
        ``on_received(packet id)`` when it has a QoS 2 publish and waits for its release."""
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[Accepted] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.reason = ""
        self.paused = False
        self._version = version
        self._on_ack = on_ack
        self._on_pong = on_pong
        self._on_writable = on_writable
        self._on_received = on_received
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._encrypted = False

    def write(self, data: bytes) -> None:
        """Send bytes; dropped when the connection has ended."""
        if self._transport is not None and not self.ended.done():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """End at once, as if the network had failed."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=256 * 1024)
        self._socket = transport.get_extra_info("socket")
        self._encrypted = transport.get_extra_info("ssl_object") is not None

    def data_received(self, data: bytes) -> None:
        if _QUICKACK is not None and self._socket is not None:
            # A broker that leaves Nagle's algorithm on (mosquitto does) holds its next PUBACKs back until our
            # TCP acknowledges these, which it delays by 40 ms. The kernel forgets the option by itself.
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if not self._buffer and self.accepted.done() and self._only_acks(data):
            return
        self._buffer += data
        try:
            for kind, body in packets.split(self._buffer):
                self._packet(kind, body)
        except BrokerError as error:
            self._fail(str(error))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reason:
            self.reason = _why(exc) if exc else "the broker closed the connection"
        if not self.accepted.done():
            hint = f" {other_port(self._encrypted)}" if isinstance(exc, ConnectionResetError) else ""
            self.accepted.set_exception(BrokerError(f"{self.reason}{hint}"))
            with suppress(BrokerError):
                self.accepted.exception()
        if not self.ended.done():
            self.ended.set_result(None)

    def _only_acks(self, data: bytes) -> bool:
        """The common case at speed: a chunk of nothing but plain four-byte PUBACKs."""
        size = len(data)
        if size % 4 or data[::4] != b"\x40" * (size // 4) or data[1::4] != b"\x02" * (size // 4):
            return False
        on_ack = self._on_ack
        for high, low in zip(data[2::4], data[3::4], strict=True):
            on_ack(high << 8 | low, True)
        return True

    def _packet(self, kind: int, body: bytes) -> None:
        if not self.accepted.done() and kind != packets.CONNACK:
            raise BrokerError("the broker's answer is not MQTT")
        if kind in {packets.PUBACK, packets.PUBREC, packets.PUBCOMP}:
            if len(body) < 2:
                raise BrokerError("an acknowledgement of the broker is cut short")
            packet_id = int.from_bytes(body[:2], "big")
            refused = len(body) > 2 and body[2] >= 0x80
            if kind == packets.PUBREC and not refused:
                self._on_received(packet_id)
                self.write(packets.pubrel(packet_id))
            else:
                self._on_ack(packet_id, not refused)
        elif kind == packets.PINGRESP:
            self._on_pong()
        elif kind == packets.CONNACK and not self.accepted.done():
            try:
                self.accepted.set_result(packets.accepted(body, self._version))
            except BrokerError as error:
                self._fail(str(error))
        elif kind == packets.DISCONNECT:
            self._fail(f"the broker ended the connection with reason code {body[0] if body else 0}")
        else:
            raise BrokerError(f"the broker sent a packet of type {kind >> 4}, which no publisher asked for")

    def _fail(self, reason: str) -> None:
        self.abort(reason)


async def open_connection(
    target: BrokerTarget,
    hello: bytes,
    *,
    on_ack: Callable[[int, bool], None],
    on_pong: Callable[[], None],
    on_writable: Callable[[], None],
    on_received: Callable[[int], None] = lambda packet_id: None,
    timeout_s: float,
) -> tuple[FleetConnection, Accepted]:
    """Connect, send the CONNECT packet ``hello`` and await its answer.

    Raises `BrokerError` with one sentence when the broker cannot be reached or refuses.
    """
    loop = asyncio.get_running_loop()
    connection: FleetConnection | None = None
    try:
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(
                lambda: FleetConnection(target.version, on_ack, on_pong, on_writable, on_received),
                target.host,
                target.port,
                ssl=target.tls,
            )
            connection.write(hello)
            return connection, await connection.accepted
    except TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
    except ConnectionResetError as error:
        reason = f"{_why(error)} {other_port(target.tls is not None)}"
    except OSError as error:
        reason = _why(error)
    except BrokerError as error:
        reason = str(error)
    if connection is not None:
        connection.abort(reason)
    raise BrokerError(f"the broker at {target.name} cannot be used: {reason}")


def _why(error: Exception) -> str:
    """Why there is no connection, in words that go after "the broker cannot be used"."""
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error)
    if not isinstance(error, OSError):
        return str(error)
    known = error.errno is not None and error.errno > 0  # asyncio's own text repeats the address
    return (os.strerror(error.errno or 0) if known else error.strerror or str(error)).lower()
