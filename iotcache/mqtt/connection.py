"""One connection to a broker: an aiomqtt client whose reading side is ours.

aiomqtt (and paho below it) carries login, TLS, keep-alive, subscriptions and publishing. Manual acks are in
force before the first packet; PUBLISH packets are read many at a time; a full inbox stops the reading. This
file is the only one that knows of their inner names, which hold for aiomqtt 2.5 and paho 2.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from iotcache.config.urls import BrokerAddress
from iotcache.errors import BrokerError
from iotcache.mqtt.inbox import Inbox
from iotcache.mqtt.reader import MalformedPacket, PacketReader
from iotcache.mqtt.tls import other_port, tls_trouble
from iotcache.text import printable

if TYPE_CHECKING:
    import aiomqtt
    import paho.mqtt.client as paho

CONNECT_TIMEOUT_S: Final = 4.0
CLOSE_S: Final = 1.0
SESSION_EXPIRY_S: Final = 7 * 86_400
_RECV_BYTES: Final = 64 * 1024
_PUBACK: Final = 0x40
_CODE: Final = re.compile(r"^\[(Errno |code:)-?\w+\] ")


class Will(Struct, frozen=True):
    """What the broker publishes when we vanish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where to connect, as whom, and how."""

    address: BrokerAddress
    client_id: str
    version5: bool
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


class MqttConnection:
    """Made anew for each attempt; `open` it, `tend` it, `close` it in any case."""

    def __init__(
        self, endpoint: Endpoint, epoch: int, inbox: Inbox, on_confirmed: Callable[[int], None]
    ) -> None:
        """``on_confirmed`` hears the identifier of each publish that is done."""
        self.paused = False
        """Whether the socket is left unread because too much is queued."""
        self.session_present = False
        self._endpoint = endpoint
        self._inbox = inbox
        self._on_confirmed = on_confirmed
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._tap = _Tap()
        self._inbound = PacketReader(version5=endpoint.version5, epoch=epoch, deliver=inbox.deliver)
        self.client = self._make_client()
        self.paho = self.client._client
        self._claim(self.paho)

    def _make_client(self) -> aiomqtt.Client:
        import aiomqtt

        endpoint, will = self._endpoint, self._endpoint.will
        options: dict[str, Any] = {}
        if endpoint.version5:
            options = {"clean_start": not endpoint.persistent, "properties": _connect_properties(endpoint)}
        else:
            options = {"clean_session": not endpoint.persistent}
        return aiomqtt.Client(
            endpoint.address.host,
            endpoint.address.port,
            username=endpoint.address.username or None,
            password=endpoint.address.password or None,
            identifier=endpoint.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if endpoint.version5 else aiomqtt.ProtocolVersion.V311,
            will=None
            if will is None
            else aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain),
            timeout=CONNECT_TIMEOUT_S,
            keepalive=endpoint.keepalive_s,
            tls_context=endpoint.tls,
            **options,
        )

    def _claim(self, client: paho.Client) -> None:
        """Put our hands on paho before it opens its socket; set later, a backlog is acked by itself."""
        client.manual_ack_set(True)
        client.connect_timeout = CONNECT_TIMEOUT_S
        # aiomqtt's logger would get paho's every packet.
        client.disable_logger()
        opened, connected = client.on_socket_open, client.on_connect
        create_socket = client._create_socket

        def on_connect(client: Any, data: Any, flags: Any, code: Any, properties: Any = None) -> None:
            if not code.is_failure:
                self.session_present = bool(flags.session_present)
                if self.session_present:
                    self._inbox.resumed()
                else:
                    self._inbox.forgotten()
            connected(client, data, flags, code, properties)  # type: ignore[misc, call-arg]

        def on_socket_open(client: Any, data: Any, sock: Any) -> None:
            opened(client, data, sock)  # type: ignore[misc]
            # The same descriptor again: our reader takes the place of aiomqtt's.
            self._loop.call_soon_threadsafe(self._attach)

        def tapped() -> Any:
            self._sock = create_socket()  # type: ignore[assignment]
            self._tap.sock = self._sock
            return self._tap

        def on_publish(client: Any, data: Any, mid: int, code: Any, properties: Any = None) -> None:
            self._on_confirmed(mid)

        client.on_connect = on_connect
        client.on_socket_open = on_socket_open
        client.on_publish = on_publish
        client._create_socket = tapped  # type: ignore[method-assign]

    async def open(self) -> None:
        """Connect and log in. Raises `BrokerError`."""
        import aiomqtt
        from aiomqtt.exceptions import MqttConnectError

        name = self._endpoint.name
        try:
            await self.client.__aenter__()
        except MqttConnectError as error:
            hint = ": check broker.username and broker.password" if _is_login(error) else ""
            raise BrokerError(f"the broker at {name} refuses us: {_text(error)}{hint}") from error
        except (aiomqtt.MqttError, BrokerError, OSError, ValueError) as error:
            encrypted = self._endpoint.tls is not None
            what = "the broker (over TLS)" if encrypted else "the broker"
            reset = isinstance(error, ConnectionResetError) or isinstance(
                error.__context__, ConnectionResetError
            )
            hint = f" {other_port(encrypted)}" if reset else ""
            raise BrokerError(f"{what} at {name} cannot be reached: {_text(error)}{hint}") from error

    async def subscribe(self, subscriptions: Sequence[tuple[str, int]]) -> None:
        """Subscribe to pairs of filter and QoS. Raises `BrokerError`."""
        import aiomqtt
        from paho.mqtt.subscribeoptions import SubscribeOptions

        if not subscriptions:
            return
        wanted: Any = list(subscriptions)
        if self._endpoint.version5:
            # Retain handling 1: retained messages come with a new subscription only, not at every connect.
            wanted = [(topic, SubscribeOptions(qos=qos, retainHandling=1)) for topic, qos in subscriptions]
        name = self._endpoint.name
        try:
            codes = await self.client.subscribe(wanted)
        except (aiomqtt.MqttError, ValueError) as error:
            raise BrokerError(
                f"the broker at {name} did not take our subscription: {_text(error)}"
            ) from error
        answers: Sequence[Any] = codes
        for (topic, _), code in zip(subscriptions, answers, strict=False):
            if getattr(code, "value", code) >= 0x80:
                raise BrokerError(f"the broker at {name} refuses the subscription to {printable(topic)}")

    async def tend(self) -> None:
        """Return never; raises `BrokerError` when the connection is lost."""
        ended = self.client._disconnected
        while not ended.done():
            await asyncio.wait({ended}, timeout=1.0)
            if self.paused:
                # Unread on purpose: paho must not take the silence for a dead broker.
                self.paho._last_bytes_received = time.monotonic()
                self.paho._ping_t = 0
        error = ended.exception()
        reason = "the broker closed it" if self._tap.ended or error is None else _text(error)
        raise BrokerError(f"the connection to the broker at {self._endpoint.name} was lost: {reason}")

    async def close(self) -> None:
        """Say goodbye when there is somebody to hear it; leave no socket, reader or task behind."""
        connected = self.client._connected
        logged_in = connected.done() and not connected.cancelled() and connected.exception() is None
        if not logged_in and not connected.done():
            connected.cancel()
        if connected.cancelled():
            # aiomqtt's callbacks ask this future for its exception, which a cancelled one answers by raising.
            self.client._connected = self._loop.create_future()
        try:
            if logged_in and not self.client._disconnected.done():
                if self.paused:
                    self.resume()
                async with asyncio.timeout(CLOSE_S):
                    await self.client.__aexit__(None, None, None)
        finally:
            if not self.client._disconnected.done():
                self.client._disconnected.set_result(None)
            self.client._disconnected.exception()  # seen: asyncio need not complain
            self.paho._sock_close()
            task = getattr(self.client, "_misc_task", None)
            if task is not None:
                task.cancel()

    def ack(self, mids: Sequence[int]) -> None:
        """Queue one PUBACK for each, as one piece of bytes: one ``send`` for a whole batch."""
        packets = b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)
        self.paho._packet_queue(_PUBACK, packets, 0, 0)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> paho.MQTTMessageInfo | None:
        """Hand a message to paho; ``None`` when it does not take it. Raises `BrokerError` for a bad topic."""
        try:
            info = self.paho.publish(topic, payload, qos, retain)
        except ValueError as error:
            raise BrokerError(f"cannot publish on {printable(topic)!r}: {error}") from error
        return info if info.rc == 0 else None

    def backlog(self) -> int:
        """Packets and publishes that paho has not done with."""
        return len(self.paho._out_packet) + len(self.paho._out_messages)

    # Reading

    def pause(self) -> None:
        """Stop reading the socket."""
        if not self.paused and self._sock is not None:
            self.paused = True
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Read the socket again."""
        if self.paused:
            self.paused = False
            self._attach()

    def _attach(self) -> None:
        sock = self._sock
        if sock is not None and self.paho.socket() is not None and sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        inbox = self._inbox
        before = inbox.received
        try:
            self._read()
        except MalformedPacket as error:
            self._lost(BrokerError(f"it sent {error}"))
        except Exception as error:
            self._lost(error)
        if inbox.received != before:
            inbox.wake()
            if inbox.full():
                self.pause()

    def _read(self) -> None:
        """Take what one ``recv`` brings; more would keep the loop from its other work."""
        sock, client, tap = self._sock, self.paho, self._tap
        assert sock is not None
        while True:
            try:
                data = sock.recv(_RECV_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            client._last_bytes_received = time.monotonic()
            if data:
                tap.control += self._inbound.feed(data, time.time_ns() // 1000)
            else:
                tap.ended = True
                if not self.client._connected.done():
                    raise ConnectionResetError("it ended the connection without an answer")
            while (tap.control or tap.ended) and client.socket() is not None:
                if client.loop_read() != 0:
                    return
            # Decrypted bytes that wait inside TLS make no socket readable.
            if not data or not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return

    def _lost(self, error: Exception) -> None:
        connected, disconnected = self.client._connected, self.client._disconnected
        if not connected.done():  # `open` waits for this one
            connected.set_exception(error if isinstance(error, OSError) else BrokerError(_text(error)))
        elif not disconnected.done():
            disconnected.set_exception(error)
        self.paho._sock_close()


class _Tap:
    """What paho takes for its socket: it writes to the real one, and reads the packets we leave to it."""

    def __init__(self) -> None:
        self.sock: Any = None
        self.control = b""
        self.ended = False

    def recv(self, size: int) -> bytes:
        if not self.control:
            if self.ended:
                return b""
            raise BlockingIOError
        data, self.control = self.control[:size], self.control[size:]
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


def _connect_properties(endpoint: Endpoint) -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = endpoint.window
    if endpoint.persistent:
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def _is_login(error: Any) -> bool:
    return getattr(error, "rc", None) in (4, 5) or "uthor" in str(error) or "user name" in str(error).lower()


def _text(error: BaseException | None) -> str:
    """An error of paho's, aiomqtt's or the system's as the end of a sentence."""
    for cause in (error, error.__context__ if error is not None else None):  # aiomqtt hides what it wraps
        if isinstance(cause, ssl.SSLError):
            return tls_trouble(cause)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(_CODE.sub("", text))
