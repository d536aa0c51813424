"""A link to one broker that connects again by itself, takes messages in batches and acks when told.

aiomqtt (and paho below it) carries the connection: login, TLS, keep-alive, subscriptions, publishing. What
it does not do, this adapter does: manual acks that are in force before the first packet, acks only on the
connection that a message came by, many messages per wake-up of the loop, and back-pressure instead of a
queue that drops what it has acknowledged. On Windows it needs the selector event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec import Struct

from iotcache.config.urls import BrokerAddress, parse_broker
from iotcache.errors import BrokerError
from iotcache.mqtt.inbound import Inbound, Malformed, Message
from iotcache.tasks import end
from iotcache.text import printable

if TYPE_CHECKING:
    import aiomqtt
    import paho.mqtt.client as paho

    from iotcache.config.schema import BrokerSettings

log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
_SHORT_S: Final = 5.0
_SHORT_ONES: Final = 3
"""So many connections in a row that lasted no longer look like two clients of one name."""
CONNECT_TIMEOUT_S: Final = 4.0
QUEUED_MESSAGES: Final = 20_000
QUEUED_BYTES: Final = 32 * 1024 * 1024
"""Past either bound the socket is no longer read, until half of it is taken: TCP tells the broker to wait."""
SESSION_EXPIRY_S: Final = 7 * 86_400
_RECV_BYTES: Final = 64 * 1024
_WAITING_PUBLISHES: Final = 10_000
_PUBACK: Final = 0x40
_CLOSE_S: Final = 1.0
_CODE: Final = re.compile(r"^\[(Errno |code:)-?\w+\] ")


class LinkState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    AWAY = "away"
    """The broker refused or could not be reached; the link tries again by itself."""
    CLOSED = "closed"


class Will(Struct, frozen=True):
    """What the broker publishes when we vanish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


class MqttLink:
    """An async context manager over one broker. It enters at once: `state` and `reason` tell the rest.

    ``persistent`` keeps the session (and what the broker queues for it) across connections, under a fixed
    ``client_id``. ``window`` bounds the QoS 1 messages we let be unacknowledged; MQTT 5 brokers are told it,
    older ones have their own (20 by default on mosquitto).
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        subscriptions: Sequence[tuple[str, int]] = (),
        persistent: bool = False,
        protocol: Literal["3.1.1", "5"] = "3.1.1",
        keepalive_s: int = 30,
        tls: ssl.SSLContext | None = None,
        will: Will | None = None,
        window: int = 2_000,
        on_state: Callable[[LinkState, str], None] = lambda state, reason: None,
    ) -> None:
        self.address = address
        self.client_id = client_id
        self.state = LinkState.CONNECTING
        self.reason = ""
        """Why there is no connection; safe to show; empty while there is one."""
        self.epoch = 0
        """Counts the attempts to connect: a message's identifier belongs to one of them."""
        self.connects = 0
        self.session_present = False
        """Whether the broker still knew our session at the last connect."""
        self.sessions_lost = 0
        """How often it did not although we had been connected before: what it had queued is gone."""
        self.received = 0
        self.unacked = 0
        """QoS 1 messages of this connection that are not acknowledged yet."""
        self._subscriptions = tuple(subscriptions)
        self._persistent = persistent
        self._version5 = protocol == "5"
        self._keepalive_s = keepalive_s
        self._tls = tls or (ssl.create_default_context() if address.tls else None)
        self._will = will
        self._window = window
        self._on_state = on_state
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._oldest: dict[int, int] = {}
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._stall: int | None = window if self._version5 else None
        self._publishes: dict[int, asyncio.Future[None]] = {}
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @classmethod
    def from_settings(cls, settings: BrokerSettings, client_id: str, **options: Any) -> MqttLink:
        """A link as ``[broker]`` says. Raises `ConfigError` for an address or a certificate of no use."""
        from iotcache.mqtt.tls import broker_tls

        address = parse_broker(settings.url)
        if settings.username:
            address = BrokerAddress(
                address.host, address.port, address.tls, settings.username, settings.password
            )
        return cls(
            address,
            client_id,
            protocol=settings.protocol,
            keepalive_s=settings.keepalive_s,
            tls=broker_tls(settings) if address.tls else None,
            **options,
        )

    @property
    def name(self) -> str:
        """``host:port`` of the broker, for people."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"{host}:{self.address.port}"

    @property
    def connected(self) -> bool:
        return self.state is LinkState.CONNECTED

    @property
    def queued(self) -> int:
        """Messages taken off the wire that no batch has taken yet."""
        return len(self._queue)

    @property
    def paused(self) -> bool:
        """Whether the socket is left unread because too much is queued."""
        return self._connection is not None and self._connection.paused

    def oldest_unacked_us(self) -> int:
        """When the oldest message came in that still waits for its ack; 0 when none does."""
        return next(iter(self._oldest.values()), 0)

    async def __aenter__(self) -> Self:
        if sys.platform == "win32" and "Proactor" in type(asyncio.get_running_loop()).__name__:
            raise BrokerError("MQTT on Windows needs the selector event loop")
        self._task = asyncio.create_task(self._stay_connected(), name=f"mqtt {self.client_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect properly: acks go out first, and the broker drops our last will."""
        self._closing = True
        if self._task is not None:
            await end(self._task, _CLOSE_S * 1.5)
            self._task = None
        self._turn(LinkState.CLOSED, "closed")

    async def until_connected(self) -> None:
        """Return once there is a connection with its subscriptions. Cancel it to give up."""
        while not self.connected:
            self._changed.clear()
            await self._changed.wait()

    # Receiving

    async def batch(self, limit: int, linger_s: float = 0.0, limit_bytes: int = 8 << 20) -> list[Message]:
        """Up to ``limit`` messages (about ``limit_bytes``), at least one; fewer after ``linger_s``.

        It does not linger where the broker waits for our acks: it sends no more until it has them.
        """
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        if linger_s > 0 and len(self._queue) < limit:
            await self._linger(limit, linger_s, limit_bytes)
        taken: list[Message] = []
        size = 0
        while self._queue and len(taken) < limit and size < limit_bytes:
            message = self._queue.popleft()
            size += len(message.payload)
            taken.append(message)
        self._queued_bytes -= size
        if self._connection is not None and self._connection.paused and not self._full(0.5):
            self._connection.resume()
        return taken

    async def _linger(self, limit: int, linger_s: float, limit_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + linger_s
        last = loop.time()
        while len(self._queue) < limit and self._queued_bytes < limit_bytes and not self._stalled():
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                # Silence while messages are unacknowledged: that may be all that the broker sends.
                if self._stall is None and self.unacked and loop.time() - last > linger_s / 2:
                    self._stall = self.unacked
                return
            last = loop.time()

    def _stalled(self) -> bool:
        return self._stall is not None and self.unacked >= self._stall

    def ack(self, messages: Iterable[Message]) -> int:
        """Acknowledge messages, in the order they came; how many acks went out.

        Those of an earlier connection are left out: the broker has given their identifiers to others.
        """
        epoch = self.epoch
        mids = [message.mid for message in messages if message.epoch == epoch and message.qos]
        connection = self._connection
        if not mids or connection is None:
            return 0
        connection.ack(mids)
        self.unacked -= len(mids)
        for mid in mids:
            self._oldest.pop(mid, None)
        return len(mids)

    def _deliver(self, message: Message) -> None:
        self.received += 1
        if message.qos:
            if message.mid not in self._oldest:
                self.unacked += 1
            self._oldest[message.mid] = message.received_us
            if self._stall is not None and self.unacked > self._stall and not self._version5:
                self._stall = None
        self._queue.append(message)
        self._queued_bytes += len(message.payload)

    def _full(self, share: float = 1.0) -> bool:
        return len(self._queue) > QUEUED_MESSAGES * share or self._queued_bytes > QUEUED_BYTES * share

    # Publishing

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, timeout_s: float = 10.0
    ) -> None:
        """Publish, and return when the broker has it (QoS 1) or it left (QoS 0). Raises `BrokerError`."""
        info = self._send(topic, payload, qos, retain)
        if info is None:
            raise BrokerError(self.reason or f"there is no connection to the broker at {self.name}")
        if info.is_published():
            return
        waiting = self._publishes[info.mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await waiting
        except TimeoutError:
            raise BrokerError(
                f"the broker at {self.name} did not confirm a message in {timeout_s:g} s"
            ) from None
        finally:
            self._publishes.pop(info.mid, None)

    def post(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish with QoS 0 and do not wait; ``False`` when there is no connection or it is choked."""
        return self._send(topic, payload, 0, retain) is not None

    def _send(self, topic: str, payload: bytes, qos: int, retain: bool) -> paho.MQTTMessageInfo | None:
        connection = self._connection
        if connection is None or not self.connected:
            return None
        client = connection.paho
        if len(client._out_packet) + len(client._out_messages) >= _WAITING_PUBLISHES:
            return None
        try:
            info = client.publish(topic, payload, qos, retain)
        except ValueError as error:
            raise BrokerError(f"cannot publish on {printable(topic)!r}: {error}") from error
        return info if info.rc == 0 else None

    def _confirmed(self, mid: int) -> None:
        waiting = self._publishes.get(mid)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # Connecting

    def _turn(self, state: LinkState, reason: str = "") -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        self._changed.set()
        self._on_state(state, reason)

    async def _stay_connected(self) -> None:
        backoff_s = BACKOFF_MIN_S
        short = 0
        while not self._closing:
            began_s, connects = time.monotonic(), self.connects
            try:
                await self._session()
            except BrokerError as error:
                lasted_s = time.monotonic() - began_s
                short = short + 1 if self.connects > connects and lasted_s < _SHORT_S else 0
                self._turn(LinkState.AWAY, f"{error}{self._rival() if short >= _SHORT_ONES else ''}")
                if lasted_s > BACKOFF_MAX_S:
                    backoff_s = BACKOFF_MIN_S
            # Jitter, so that a hundred clients do not come back in the same moment.
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(backoff_s * 2.0, BACKOFF_MAX_S)

    def _rival(self) -> str:
        """A broker ends the older of two connections under one client identifier (MQTT 3.1.1, 3.1.4)."""
        return f"; it may be that another client uses the name {printable(self.client_id)}, too"

    async def _session(self) -> None:
        """One connection from beginning to end. Raises `BrokerError` with the reason of its end."""
        self.epoch += 1
        self.unacked = 0
        self._oldest.clear()
        if not self._version5:
            self._stall = None
        connection = _Connection(self, self.epoch)
        try:
            await connection.open()
            if self._closing:  # the cancel that said so was lost on the way
                return
            self._connection = connection
            self._begin(connection)
            await connection.subscribe(self._subscriptions)
            if self._closing:
                return
            self.connects += 1
            self._turn(LinkState.CONNECTED)
            await connection.tend()
        finally:
            self._connection = None
            for waiting in self._publishes.values():
                if not waiting.done():
                    waiting.set_exception(
                        BrokerError(f"the connection to the broker at {self.name} was lost")
                    )
            with contextlib.suppress(Exception):
                await connection.close()

    def _begin(self, connection: _Connection) -> None:
        self.session_present = connection.session_present
        if self.connects and self._persistent and not self.session_present:
            self.sessions_lost += 1
            log.warning("the broker at %s has forgotten our session %s", self.name, self.client_id)

    def _forget_redelivered(self, session_present: bool) -> None:
        """What came by earlier connections and has no ack comes again, if the broker kept the session."""
        if session_present and self._queue:
            # The new connection's first messages may have come in one piece with its CONNACK.
            kept = [message for message in self._queue if not message.qos or message.epoch == self.epoch]
            self._queue = deque(kept)
            self._queued_bytes = sum(len(message.payload) for message in kept)


class _Connection:
    """One connection of a link: an aiomqtt client whose reading side is ours."""

    def __init__(self, link: MqttLink, epoch: int) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self.paused = False
        self.session_present = False
        self._sock: socket.socket | None = None
        self._tap = _Tap()
        self._inbound = Inbound(version5=link._version5, epoch=epoch, deliver=link._deliver)
        self.client = self._make_client()
        self.paho = self.client._client
        self._claim(self.paho)

    def _make_client(self) -> aiomqtt.Client:
        import aiomqtt

        link, will = self._link, self._link._will
        options: dict[str, Any] = {}
        if link._version5:
            options = {"clean_start": not link._persistent, "properties": _connect_properties(link)}
        else:
            options = {"clean_session": not link._persistent}
        return aiomqtt.Client(
            link.address.host,
            link.address.port,
            username=link.address.username or None,
            password=link.address.password or None,
            identifier=link.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if link._version5 else aiomqtt.ProtocolVersion.V311,
            will=None
            if will is None
            else aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain),
            timeout=CONNECT_TIMEOUT_S,
            keepalive=link._keepalive_s,
            tls_context=link._tls,
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
                self._link._forget_redelivered(self.session_present)
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
            self._link._confirmed(mid)

        client.on_connect = on_connect
        client.on_socket_open = on_socket_open
        client.on_publish = on_publish
        client._create_socket = tapped  # type: ignore[method-assign]

    async def open(self) -> None:
        """Connect and log in. Raises `BrokerError`."""
        import aiomqtt
        from aiomqtt.exceptions import MqttConnectError

        name, address = self._link.name, self._link.address
        try:
            await self.client.__aenter__()
        except MqttConnectError as error:
            hint = ": check broker.username and broker.password" if _is_login(error) else ""
            raise BrokerError(f"the broker at {name} refuses us: {_text(error)}{hint}") from error
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            what = "the broker" if not address.tls else "the broker (over TLS)"
            raise BrokerError(f"{what} at {name} cannot be reached: {_text(error)}") from error

    async def subscribe(self, subscriptions: Sequence[tuple[str, int]]) -> None:
        import aiomqtt
        from paho.mqtt.subscribeoptions import SubscribeOptions

        if not subscriptions:
            return
        wanted: Any = list(subscriptions)
        if self._link._version5:
            # Retain handling 1: retained messages come with a new subscription only, not at every connect.
            wanted = [(topic, SubscribeOptions(qos=qos, retainHandling=1)) for topic, qos in subscriptions]
        name = self._link.name
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
        raise BrokerError(f"the connection to the broker at {self._link.name} was lost: {reason}")

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
                async with asyncio.timeout(_CLOSE_S):
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
        link = self._link
        try:
            before = link.received
            self._read()
            if link.received != before:
                link._arrived.set()
                if link._full():
                    self.pause()
        except Malformed as error:
            self._lost(BrokerError(f"it sent {error}"))
        except Exception as error:
            self._lost(error)

    def _read(self) -> None:
        sock, client = self._sock, self.paho
        assert sock is not None
        while True:
            try:
                data = sock.recv(_RECV_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            client._last_bytes_received = time.monotonic()
            if data:
                self._tap.control += self._inbound.feed(data, time.time_ns() // 1000)
            else:
                self._tap.ended = True
            while (self._tap.control or self._tap.ended) and client.socket() is not None:
                if client.loop_read() != 0:
                    return
            # Decrypted bytes that wait inside TLS make no socket readable.
            if not data or not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return

    def _lost(self, error: Exception) -> None:
        if not self.client._disconnected.done():
            self.client._disconnected.set_exception(error)
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


def _connect_properties(link: MqttLink) -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = link._window
    if link._persistent:
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def _is_login(error: Any) -> bool:
    return getattr(error, "rc", None) in (4, 5) or "uthor" in str(error) or "user name" in str(error).lower()


def _text(error: BaseException | None) -> str:
    """An error of paho's, aiomqtt's or the system's as the end of a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(_CODE.sub("", text))
