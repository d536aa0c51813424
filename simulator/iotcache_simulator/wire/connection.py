"""One TCP connection to a broker that only publishes: bytes in, acknowledgements out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from iotcache.errors import BrokerError
from iotcache.mqtt.codec import (
    Acknowledgement,
    Connack,
    Connect,
    Disconnect,
    MalformedPacket,
    PacketSplitter,
    PacketType,
    Ping,
    Publish,
    Suback,
    Version,
    decode_packet,
)
from iotcache.mqtt.codec.framing import LARGEST_ANSWER_BYTES
from iotcache.mqtt.codec.reasons import connect_refusal, refusal
from iotcache.mqtt.failure_text import connection_trouble
from iotcache.mqtt.tls import other_port
from iotcache.mqtt.websocket import open_transport
from iotcache_simulator.wire.device_tls import DeviceTls, connecting_device

_ACKNOWLEDGEMENTS: Final = frozenset({PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP})
_PUBACK_HEAD: Final = bytes([PacketType.PUBACK << 4])
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class BrokerTarget(Struct, frozen=True):
    """A broker's address and how to log in."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    devices_tls: DeviceTls | None = None
    """Where each device has a certificate: what takes the place of ``tls`` on its connection."""
    device: str = ""
    """Whose connection it is, where each device has its own."""
    version: Version = 4
    keep_alive_s: int = 30
    path: str = ""
    """Of its WebSocket; empty: plain TCP."""
    passwords: dict[str, str] | None = None
    """By user name, where each device has one of its own."""

    @property
    def encoded_password(self) -> bytes | None:
        """The password as CONNECT carries it."""
        return None if self.password is None else self.password.encode()

    @property
    def name(self) -> str:
        """``host:port`` for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FleetConnection(asyncio.Protocol):
    """An open connection. Made by `open_connection`; ends once, and then says why in ``reason``."""

    def __init__(  # noqa: PLR0917
        self, version: Version, on_ack: Callable[[int, str], None], on_pong: Callable[[], None],
        on_writable: Callable[[], None], on_received: Callable[[int], None] = lambda packet_id: None,
        on_message: Callable[[Publish], None] | None = None,
        on_suback: Callable[[Suback], None] = lambda answer: None,
    ) -> None:  # fmt: skip
        """``on_ack(packet id, why refused)`` for each QoS 1 or 2 publish that the broker has answered for;
        ``on_received(packet id)`` when it has a QoS 2 publish and waits for its release;
        ``on_message`` for messages (QoS 0 and 1) to one that subscribes, acknowledged when it returns."""
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[Connack] = loop.create_future()
        self.refused_code = 0
        """What a CONNACK said that refused us."""
        self.ended: asyncio.Future[None] = loop.create_future()
        self.reason = ""
        self.is_cut = False
        """Whether it was the other side that ended it, without a word."""
        self.paused = False
        self._version: Version = version
        self._on_ack = on_ack
        self._on_pong = on_pong
        self._on_writable = on_writable
        self._on_received = on_received
        self._on_message = on_message
        self._on_suback = on_suback
        # Anybody may send a device a message of any size: its connection outlives that.
        self._splitter = PacketSplitter(LARGEST_ANSWER_BYTES, passes_over=on_message is not None)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._encrypted = False

    def write(self, data: bytes) -> None:
        """Send bytes; dropped when the connection has ended, or is about to."""
        if self._transport is not None and not self._transport.is_closing():
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
        if self._splitter.empty and self.accepted.done() and self._only_acks(data):
            return
        try:
            for packet in self._splitter.feed(data):
                self._packet(packet)
        except MalformedPacket as error:
            self.abort(f"the broker sent {error}")
        except BrokerError as error:
            self.abort(str(error))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reason:
            self.is_cut = True
            self.reason = connection_trouble(exc) if exc else "the broker closed the connection"
        if not self.accepted.done():
            hint = f" {other_port(self._encrypted)}" if isinstance(exc, ConnectionResetError) else ""
            self.accepted.set_exception(BrokerError(f"{self.reason}{hint}"))
            with suppress(BrokerError):
                self.accepted.exception()
        if not self.ended.done():
            self.ended.set_result(None)

    def _only_acks(self, data: bytes) -> bool:
        """The common case at speed: a chunk of nothing but plain four-byte PUBACKs."""
        count, rest = divmod(len(data), 4)
        if rest or data[::4] != _PUBACK_HEAD * count or data[1::4] != b"\x02" * count:
            return False
        on_ack = self._on_ack
        for high, low in zip(data[2::4], data[3::4], strict=True):
            on_ack(high << 8 | low, "")
        return True

    def _packet(self, packet: bytes) -> None:
        if not self.accepted.done() and packet[0] >> 4 != PacketType.CONNACK:
            raise BrokerError("the broker's answer is not MQTT")
        decoded = decode_packet(packet, self._version)
        match decoded:
            case Acknowledgement(kind=kind) if kind in _ACKNOWLEDGEMENTS:
                if kind is PacketType.PUBREC and not decoded.failed:
                    self._on_received(decoded.packet_id)
                    release = Acknowledgement(PacketType.PUBREL, decoded.packet_id)
                    self.write(release.encode(self._version))
                else:
                    why = refusal(decoded.code, decoded.properties) if decoded.failed else ""
                    self._on_ack(decoded.packet_id, why)
            case Publish() if self._on_message is not None:
                self._on_message(decoded)
                if decoded.qos == 1:
                    self.write(Acknowledgement(PacketType.PUBACK, decoded.packet_id).encode(self._version))
            case Suback() if self._on_message is not None:
                self._on_suback(decoded)
            case Ping(kind=PacketType.PINGRESP):
                self._on_pong()
            case Connack() if not self.accepted.done():
                self._connack(decoded)
            case Disconnect():
                why = refusal(decoded.code, decoded.properties)
                self.abort(f"the broker ended the connection: {why}")
            case _:
                kind = PacketType(packet[0] >> 4)
                raise BrokerError(f"the broker sent a {kind.name} packet, which no publisher asked for")

    def _connack(self, answer: Connack) -> None:
        if answer.code:
            self.refused_code = answer.code
            why = connect_refusal(answer.code, self._version, answer.properties)
            raise BrokerError(f"the broker refused the connection: {why}")
        self.accepted.set_result(answer)


def too_much(accepted: Connack, qos: int, *, retain: bool) -> str:
    """What a broker that took us in does not take of what is to be published; empty when it takes all."""
    if qos > accepted.maximum_qos:
        return f"takes QoS {accepted.maximum_qos} at most: --qos {accepted.maximum_qos}"
    if retain and not accepted.retain_available:
        return "keeps no retained messages: leave out --retain"
    return ""


class UnusableBroker(BrokerError):
    """A broker that cannot be reached, or refuses; ``code`` is its CONNACK's, 0 without one."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


async def open_connection(
    target: BrokerTarget,
    hello: bytes,
    *,
    on_ack: Callable[[int, str], None],
    on_pong: Callable[[], None],
    on_writable: Callable[[], None],
    on_received: Callable[[int], None] = lambda packet_id: None,
    on_message: Callable[[Publish], None] | None = None,
    on_suback: Callable[[Suback], None] = lambda _: None,
    timeout_s: float,
) -> tuple[FleetConnection, Connack]:
    """Connect, send the CONNECT packet ``hello`` and await its answer.

    Raises `UnusableBroker` with one sentence when the broker cannot be reached or refuses.
    """
    connection = FleetConnection(
        target.version, on_ack, on_pong, on_writable, on_received, on_message, on_suback
    )
    try:
        async with asyncio.timeout(timeout_s):
            connecting_device.set(target.device)
            await open_transport(connection, target.host, target.port, tls=target.tls, path=target.path)
            connection.write(hello)
            return connection, await connection.accepted
    except TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
    except ConnectionResetError as error:
        reason = f"{connection_trouble(error)} {other_port(target.tls is not None)}"
    except OSError as error:
        reason = connection_trouble(error)
    except BrokerError as error:
        reason = str(error)
    connection.abort(reason)
    raise UnusableBroker(f"the broker at {target.name} cannot be used: {reason}", connection.refused_code)


async def forget_session(target: BrokerTarget, client_id: str, timeout_s: float) -> None:
    """MQTT 3.1.1 ends a session only by a clean one of the same name (3.1.2.4). Raises `BrokerError`."""
    hello = Connect(client_id, username=target.username, password=target.encoded_password)
    connection, _ = await open_connection(
        target, hello.encode(), on_ack=lambda packet_id, refused: None, on_pong=lambda: None,
        on_writable=lambda: None, timeout_s=timeout_s,
    )  # fmt: skip
    connection.write(Disconnect().encode(target.version))
    connection.close()
    await asyncio.wait([connection.ended], timeout=timeout_s)
