"""One connection to a broker: the socket is ours, the conversation beside the messages is aiomqtt's.

PUBLISH packets are read many at a time and acknowledged when told; a full inbox stops the reading. All other
packets pass between the broker and the library's client, which thinks it has the connection for itself.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Container, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from iotcache.config.urls import BrokerAddress
from iotcache.errors import BrokerError
from iotcache.model import Message
from iotcache.mqtt.codec import (
    Acknowledgement,
    Connack,
    Disconnect,
    MalformedPacket,
    PacketType,
    PropertyId,
    Unsuback,
    Version,
    Will,
    decode_packet,
    encode_publish,
)
from iotcache.mqtt.codec.primitives import FAILURE
from iotcache.mqtt.codec.publish import RETAIN
from iotcache.mqtt.codec.reasons import SESSION_TAKEN_OVER, connect_refusal, is_wrong_login, refusal
from iotcache.mqtt.failure_text import connection_trouble
from iotcache.mqtt.inbox import Inbox
from iotcache.mqtt.library import LibraryClient, Login
from iotcache.mqtt.reader import MAXIMUM_PACKET_BYTES, MalformedPublish, PacketReader
from iotcache.mqtt.tls import other_port
from iotcache.mqtt.websocket import open_transport
from iotcache.tasks import end
from iotcache.text import printable

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 4.0
CLOSE_S: Final = 1.0
SESSION_EXPIRY_S: Final = 7 * 86_400
WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""With so much unsent, nothing more is published."""
FILTERS_AT_ONCE: Final = 8
"""In one UNSUBSCRIBE: some brokers end a connection that sends more (AWS IoT Core)."""
_GOODBYE_S: Final = 0.25
"""How long the broker is given to end the connection after our DISCONNECT."""
_ACK_HEADS: Final = {1: bytes([PacketType.PUBACK << 4, 2]), 2: bytes([PacketType.PUBREC << 4, 2])}
"""What acknowledges a message of each QoS (3.4, 3.5), before the packet identifier."""
_PUBCOMP_HEAD: Final = bytes([PacketType.PUBCOMP << 4, 2])
PINGREQ: Final = bytes([PacketType.PINGREQ << 4, 0])
_ANSWERS: Final = frozenset({PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP})


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where to connect, as whom, and how."""

    address: BrokerAddress
    client_id: str
    version: Version
    persistent: bool
    window: int
    keepalive_s: int
    tls: ssl.SSLContext | None
    will: Will | None

    @property
    def name(self) -> str:
        """``host:port`` of the broker, for people."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"{host}:{self.address.port}"

    def login(self) -> Login:
        """What the CONNECT packet says."""
        properties: list[tuple[PropertyId, int]] = []
        if self.version == 5:
            properties += [
                (PropertyId.RECEIVE_MAXIMUM, self.window),
                (PropertyId.MAXIMUM_PACKET_SIZE, MAXIMUM_PACKET_BYTES),
            ]
            if self.persistent:
                properties.append((PropertyId.SESSION_EXPIRY_INTERVAL, SESSION_EXPIRY_S))
        return Login(
            client_id=self.client_id,
            version=self.version,
            clean_start=not self.persistent,
            keep_alive_s=self.keepalive_s,
            username=self.address.username or None,
            password=self.address.password or None,
            will=self.will,
            properties=tuple(properties),
        )


class MqttConnection(asyncio.Protocol):
    """Made anew for each attempt; `open` it, wait for its `end`, `close` it in any case."""

    def __init__(
        self, endpoint: Endpoint, epoch: int, inbox: Inbox, on_answered: Callable[[int, str], None],
        tolerated: Container[str] = (),
    ) -> None:  # fmt: skip
        """``on_answered(packet identifier, why it was refused)`` for each publish that the broker has done
        with; ``tolerated``: see `PacketReader`."""
        loop = asyncio.get_running_loop()
        self.paused = False
        """Whether the socket is left unread because too much is queued."""
        self.session_present = False
        self.retain_available = True
        """Whether the broker keeps retained messages; to send it one would end the connection."""
        self.is_silent = False
        """The broker ended the connection without any answer, as those do that do not know MQTT 5."""
        self.malformed = ""
        """The PUBLISH that ended the connection because it could not be read."""
        self.is_taken_over = False
        """The broker ended the connection as another client uses our id (MQTT 5)."""
        self.is_unexplained = False
        """The broker ended the connection, which it had accepted, and gave no reason."""
        self._endpoint = endpoint
        self._inbox = inbox
        self._on_answered = on_answered
        self._reader = PacketReader(
            version5=endpoint.version == 5, epoch=epoch, deliver=inbox.deliver, tolerated=tolerated
        )
        self._library = LibraryClient(
            endpoint.login(), CONNECT_TIMEOUT_S, self._from_library, self._library_ended
        )
        self._transport: asyncio.Transport | None = None
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._reason = ""
        self._answered = False
        self._maximum_qos = 2
        self._unsuback: tuple[int, ...] = ()
        """The codes of the last answer to an UNSUBSCRIBE."""
        self._logged_in = False
        self._received_since_ping = False
        self._pongs: list[asyncio.Future[None]] = []
        """Who waits for the answer to a ping of ours; the library's own are not among them."""

    # Life

    async def open(self) -> None:
        """Connect and log in. Raises `BrokerError`: `ConnectRefused` when the broker answered no."""
        address, tls = self._endpoint.address, self._endpoint.tls
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await open_transport(
                    self, address.host, address.port, tls=tls, path=address.path,
                    ssl_shutdown_timeout=CLOSE_S if tls else None,
                )  # fmt: skip
                await self._library.connect()
                await self._accepted
                await self._library.connected()
            return
        except TimeoutError:
            self.is_silent = self._transport is not None and not self._answered
            reason = f"no answer within {CONNECT_TIMEOUT_S:g} s{self._version_hint()}"
        except ConnectionResetError as error:
            reason = f"{connection_trouble(error)} {other_port(tls is not None)}"
        except (OSError, ValueError) as error:
            reason = connection_trouble(error)
        except ConnectRefused as refused:
            text = f"the broker at {self._endpoint.name} refuses us: {refused}"
            raise ConnectRefused(text, refused.code) from None
        except BrokerError as error:
            reason = str(error)
        what = "the broker" if tls is None else "the broker (over TLS)"
        raise BrokerError(f"{what} at {self._endpoint.name} cannot be reached: {reason}")

    async def subscribe(self, subscriptions: Sequence[tuple[str, int]]) -> None:
        """Subscribe to pairs of filter and QoS. Raises `BrokerError`."""
        if not subscriptions:
            return
        name = self._endpoint.name
        try:
            codes = await self._while_there(self._library.subscribe(subscriptions))
        except BrokerError as error:
            if self._ended.done():
                raise self._lost() from error
            raise BrokerError(f"the broker at {name} did not take our subscription: {error}") from error
        for (topic, _), code in zip(subscriptions, codes, strict=False):
            if code >= FAILURE:
                why = f": {refusal(code)}" if self._endpoint.version == 5 else ""
                raise SubscriptionRefused(
                    f"the broker at {name} refuses the subscription to {printable(topic)}{why}"
                )

    async def _while_there(self, asking: Coroutine[Any, Any, T]) -> T:
        """What the library says; it would wait for an answer on a connection that has ended meanwhile.

        Raises `BrokerError`.
        """
        asked = asyncio.ensure_future(asking)
        try:
            either: set[asyncio.Future[Any]] = {asked, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise self._lost()
            return asked.result()
        finally:
            await end(asked)

    async def ping(self) -> None:
        """Return once a PINGREQ of ours is answered (3.12). Raises `BrokerError` when the connection ends."""
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._write(PINGREQ)
        await asyncio.wait({pong, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if not pong.done():
            raise self._lost()

    async def unsubscribe(self, filters: Sequence[str]) -> list[int]:
        """Give up subscriptions; the broker's code for each, which MQTT 3.1.1 has none of (3.11).

        Raises `BrokerError`.
        """
        codes: list[int] = []
        for at in range(0, len(filters), FILTERS_AT_ONCE):
            self._unsuback = ()
            try:
                await self._while_there(self._library.unsubscribe(filters[at : at + FILTERS_AT_ONCE]))
            except BrokerError as error:
                raise self._lost() if self._ended.done() else error from error
            codes += self._unsuback
        return codes

    async def end(self) -> None:
        """Return never; raises `BrokerError` when the connection is lost."""
        await asyncio.shield(self._ended)
        raise self._lost()

    async def close(self) -> None:
        """Say goodbye when there is somebody to hear it; leave no socket, reader or task behind."""
        transport = self._transport
        try:
            if self._logged_in and not self._ended.done() and transport is not None:
                self.resume()
                await self._library.disconnect(CLOSE_S)
                await asyncio.wait({self._ended}, timeout=_GOODBYE_S)
                transport.close()
                await asyncio.wait({self._ended}, timeout=_GOODBYE_S)
        finally:
            if transport is not None:
                transport.abort()
            await self._library.shut(CLOSE_S)
            self._accepted.cancel()

    def abort(self, reason: str) -> None:
        """End at once, as if the network had failed."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    def _lost(self) -> BrokerError:
        return BrokerError(f"the connection to the broker at {self._endpoint.name} was lost: {self._reason}")

    # Sending

    def ack(self, messages: Iterable[Message]) -> None:
        """Acknowledge messages in one piece of bytes: one ``send`` for a whole batch."""
        self._write(
            b"".join([_ACK_HEADS[message.qos] + message.mid.to_bytes(2, "big") for message in messages])
        )

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int | None:
        """Send a message; its packet identifier (0 for QoS 0), or ``None`` when there is no room for it.

        It is not retained, and has a lower QoS, where the broker takes no more. Raises `BrokerError` for a
        bad topic.
        """
        qos, retain = min(qos, self._maximum_qos), retain and self.retain_available
        transport = self._transport
        if transport is None or self._ended.done() or transport.get_write_buffer_size() > WRITE_BUFFER_BYTES:
            return None
        if qos:
            return self._library.publish(topic, payload, qos, retain)
        if not topic or "+" in topic or "#" in topic or "\0" in topic:
            raise BrokerError(f"cannot publish on {printable(topic)!r}: that is no topic")
        flags = RETAIN if retain else 0
        self._write(encode_publish(topic.encode(), payload, 0, 0, self._endpoint.version, flags=flags))
        return 0

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._ended.done():
            self._transport.write(data)

    def _from_library(self, packet: bytes) -> None:
        """What the library's client wrote. It must not take a socket that is not read for a dead broker."""
        self._write(packet)
        if packet[0] >> 4 == PacketType.PINGREQ:
            if self.paused or self._received_since_ping:
                self._library.feed_pong()
            self._received_since_ping = False

    def _library_ended(self) -> None:
        self.abort("its answer does not fit" if self._received_since_ping else "it does not answer")

    # Reading: asyncio.Protocol

    def pause(self) -> None:
        """Stop reading the socket."""
        if not self.paused and self._transport is not None:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read the socket again."""
        if self.paused and self._transport is not None:
            self.paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._reason:
            return
        if not self._answered and data[0] >> 4 != PacketType.CONNACK:
            self.abort("what answers is no MQTT")
            return
        self._answered = self._received_since_ping = True
        inbox = self._inbox
        before = inbox.received
        try:
            for packet in self._reader.feed(data, time.time_ns() // 1000):
                self._from_broker(packet)
        except MalformedPacket as error:
            if isinstance(error, MalformedPublish):
                self.malformed = str(error)
            self.abort(f"it sent {error}")
        if inbox.received != before:
            inbox.wake()
            if inbox.full():
                self.pause()

    def connection_lost(self, exc: Exception | None) -> None:
        silent = not self._reason and not self._answered
        if silent and (exc is None or isinstance(exc, ConnectionResetError)):
            self.is_silent = True
            self._reason = f"it ended the connection without an answer {self._silence_hint()}"
        elif not self._reason:
            self.is_unexplained = self._logged_in and (exc is None or isinstance(exc, ConnectionResetError))
            self._reason = "the broker closed it" if exc is None else connection_trouble(exc)
        if not self._accepted.done():
            self._accepted.set_exception(BrokerError(self._reason))
            self._accepted.exception()  # seen: asyncio need not complain
        if not self._ended.done():
            self._ended.set_result(None)

    def _silence_hint(self) -> str:
        hint = other_port(self._endpoint.tls is not None)
        hint += self._version_hint()
        return hint

    def _version_hint(self) -> str:
        """For a broker that says nothing at all to our CONNECT."""
        if self._endpoint.version == 5 and not self._answered:
            return '; a broker that does not speak MQTT 5 needs broker.protocol = "3.1.1" or "auto"'
        return ""

    def _from_broker(self, packet: bytes) -> None:
        """One packet that carries no message."""
        version = self._endpoint.version
        kind = packet[0] >> 4
        if kind == PacketType.PINGRESP:
            for pong in self._pongs:
                if not pong.done():
                    pong.set_result(None)
            self._pongs.clear()
        if kind == PacketType.PUBREL:
            # The message was acknowledged with PUBREC, so it is safe; this ends what QoS 2 asks for (4.3.3).
            answer = decode_packet(packet, version)
            assert isinstance(answer, Acknowledgement)
            self._write(_PUBCOMP_HEAD + answer.packet_id.to_bytes(2, "big"))
            return
        if kind in _ANSWERS or kind in (PacketType.CONNACK, PacketType.DISCONNECT, PacketType.UNSUBACK):
            answer = decode_packet(packet, version)
            match answer:
                case Connack():
                    self._connack(answer)
                case Unsuback():
                    self._unsuback = answer.codes
                case Disconnect():
                    self.is_taken_over = answer.code == SESSION_TAKEN_OVER
                    self.abort(f"it ended the connection: {refusal(answer.code, answer.properties)}")
                case Acknowledgement() if answer.failed or kind != PacketType.PUBREC:
                    why = refusal(answer.code, answer.properties) if answer.failed else ""
                    self._on_answered(answer.packet_id, why)
        if not self._reason:
            self._library.feed(packet)

    def _connack(self, answer: Connack) -> None:
        if self._accepted.done():
            return
        if answer.code:
            version = self._endpoint.version
            hint = (
                ": check broker.username and broker.password" if is_wrong_login(answer.code, version) else ""
            )
            reason = connect_refusal(answer.code, version, answer.properties) + hint
            self._accepted.set_exception(ConnectRefused(reason, answer.code))
            self._accepted.exception()  # seen: asyncio need not complain
            self.abort(reason)
            return
        self.session_present = answer.session_present
        self.retain_available = answer.retain_available
        self._maximum_qos = answer.maximum_qos
        if answer.session_present:
            self._inbox.resumed()
        else:
            self._inbox.forgotten()
        self._logged_in = True
        self._accepted.set_result(None)


class SubscriptionRefused(BrokerError):
    """The broker lets us in, and does not let us read."""


class ConnectRefused(BrokerError):
    """The broker answered, and does not take us."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code
        """What its CONNACK says."""
