"""A device's way to the broker across connections: what was not confirmed is sent again on the next one.

Every publish is accounted for. QoS 1 and 2 are confirmed by PUBACK or PUBCOMP. QoS 0 has no
acknowledgement, but a broker handles a connection's packets in order, so a PINGRESP proves that it has
read all that was written before the PINGREQ; what was written after it on a connection that broke is in
doubt, and stays unconfirmed.

With a persistent session, the broker remembers what it has of QoS 1 and 2, and the rest is sent again under
its old packet ids (4.4): no QoS 2 publish arrives twice. Without one they are new publishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from msgspec.structs import replace

from iotcache.backoff import Backoff
from iotcache.errors import BrokerError
from iotcache.histogram import DurationHistogram
from iotcache.mqtt.codec import (
    Acknowledgement,
    Connect,
    Disconnect,
    PacketType,
    Ping,
    Properties,
    PropertyId,
    Publish,
    Will,
    encode_publish,
)
from iotcache.mqtt.codec.framing import LARGEST_ANSWER_BYTES
from iotcache.mqtt.codec.properties import encode_properties
from iotcache.mqtt.codec.publish import DUP, RETAIN
from iotcache.mqtt.codec.reasons import QOS_NOT_SUPPORTED
from iotcache_simulator.wire.connection import (
    BrokerTarget,
    FleetConnection,
    UnusableBroker,
    forget_session,
    open_connection,
    too_much,
)
from iotcache_simulator.wire.log_throttle import LogThrottle
from iotcache_simulator.wire.subscriptions import Subscriptions

log = logging.getLogger(__name__)
log.addFilter(LogThrottle())

WINDOW = 512
"""Publishes of QoS 1 and 2 in flight; a broker of MQTT 5 may ask for fewer."""
WINDOW_QOS_2 = 20
"""The same of QoS 2 in MQTT 3.1.1, where a broker cannot say what it takes: mosquitto ends a connection with
more of them unreleased than its ``max_inflight_messages``, which is 20 unless set."""
BARRIER_S = 1.0
"""How often QoS 0 publishes are confirmed by a ping."""
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 10.0
_PINGREQ = Ping(PacketType.PINGREQ).encode(4)
SHORT_S = 1.0
"""A connection that did not last so long says that something is wrong with it."""
_ON_PURPOSE = "dropped on purpose"
_MUTE = (
    " (how a broker of MQTT 3.1.1 refuses a QoS, retained messages or a topic: see its log, or use MQTT 5)"
)
_CLOSE_S = 1.0
_SESSION_S = 3_600
"""How long an MQTT 5 broker keeps a persistent session of ours that does not come back."""


class Uplink:
    """An async context manager; `send` is synchronous and never waits: ask `room` first."""

    def __init__(
        self,
        target: BrokerTarget,
        client_id: str,
        *,
        qos: int = 1,
        retain: bool = False,
        window: int = WINDOW,
        will: Will | None = None,
        on_connected: Callable[[], None] | None = None,
        connect_timeout_s: float = 5.0,
        persistent: bool = False,
        user_properties: Iterable[tuple[str, str]] = (),
        topic_aliases: bool = False,
        subscriptions: Sequence[tuple[str, int]] = (),
        on_message: Callable[[Publish], None] | None = None,
        gate: asyncio.Semaphore | None = None,
    ) -> None:
        """``gate`` bounds how many of the uplinks that share it connect at a time. ``retain`` and
        ``user_properties`` go with everything sent, ``topic_aliases`` stand for as many topics as the broker
        takes aliases; the last two are MQTT 5. ``subscriptions`` are pairs of filter and QoS (0 or 1),
        ``on_message`` gets what comes of them."""
        self.target = target
        self.client_id = client_id
        self.published = 0
        self.confirmed = 0
        self.refused = 0
        """Publishes that the broker answered with an error (MQTT 5); the log has its reasons."""
        self.resent = 0
        self.connects = 0
        self.reason = "not connected yet"
        """Why there is no connection; empty while there is one."""
        self.ack_ms = DurationHistogram()
        self._qos = qos
        self._flags = RETAIN if retain else 0
        if qos == 2 and target.version == 4:
            window = min(window, WINDOW_QOS_2)
        self._wanted_window = self._window = window
        self._will = will
        self._will_qos = 2
        """The highest that the broker takes of a last will."""
        self._is_open = False
        """Whether this connection takes messages; some protocols have to say something first."""
        self._on_message = on_message
        self.subscriptions = Subscriptions(subscriptions)
        self._on_connected = on_connected
        self._persistent = persistent
        pairs = tuple((PropertyId.USER_PROPERTY, pair) for pair in user_properties)
        self._properties = encode_properties(pairs) if target.version == 5 else b""
        self._wants_aliases = topic_aliases and target.version == 5
        self._aliases: dict[bytes, bytes] = {}
        self._alias_maximum = 0
        self._unreleased: set[int] = set()
        """QoS 2 publishes that the broker has, and has not yet released."""
        self._away_until = 0.0
        self._connect_timeout_s = connect_timeout_s
        self._gate = gate or contextlib.nullcontext()
        self._connection: FleetConnection | None = None
        self._out: list[bytes] = []
        self._pending: dict[int, tuple[bytes, bytes, int, int, float]] = {}
        self._to_resend: deque[tuple[bytes, bytes, int, int]] = deque()
        """Unconfirmed on an earlier connection and not yet sent on this one."""
        self._packet_id = 0
        self._unproven = 0
        self._pings: deque[int] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> Uplink:
        self._task = asyncio.create_task(self._stay_connected(), name=f"uplink {self.client_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether messages can be sent."""
        return self._connection is not None and self._is_open

    @property
    def unconfirmed(self) -> int:
        """Published but not known to be with the broker."""
        return self.published - self.confirmed

    def room(self) -> int:
        """How many messages may be sent now."""
        connection = self._connection
        if connection is None or connection.paused or self._to_resend or not self._is_open:
            return 0
        return self._window - len(self._pending) if self._qos else 1 << 16

    def send(self, topic: bytes, payload: bytes, *, qos: int | None = None, retain: bool = False) -> None:
        """Queue one message for `flush`. Only when `room` said so. ``qos``: the uplink's own if not given."""
        qos = self._qos if qos is None else qos
        flags = RETAIN if retain else self._flags
        packet_id = 0
        if qos:
            packet_id = self._next_id()
            self._pending[packet_id] = (topic, payload, qos, flags, monotonic())
        else:
            self._unproven += 1
        self.published += 1
        self._out.append(self._packet(topic, payload, qos, packet_id, flags))

    def announce(
        self, topic: str, payload: bytes, *, retain: bool = True, properties: Properties = ()
    ) -> None:
        """Send a message that is not counted (QoS 0), when there is a connection."""
        if self._connection is not None and self._is_open:
            flags = RETAIN if retain else 0
            more = encode_properties(properties) if self.target.version == 5 else b""
            self._connection.write(
                encode_publish(
                    topic.encode(), payload, 0, 0, self.target.version, flags=flags, properties=more
                )
            )

    @property
    def congested(self) -> bool:
        """Whether the socket takes no more just now."""
        return self._connection is not None and self._connection.paused

    def drop(self, away_s: float = 0.0) -> None:
        """Lose the connection as a device out of coverage does, and come back no earlier than ``away_s``."""
        self._away_until = monotonic() + away_s
        if self._connection is not None:
            self._connection.abort(_ON_PURPOSE)

    def flush(self) -> None:
        """Hand everything queued to the socket."""
        if self._out and self._connection is not None:
            self._connection.write(b"".join(self._out))
            self._out.clear()

    def next_change(self) -> asyncio.Future[None]:
        """Done when `room` may have changed from now on: asked for before a wait, none is missed."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    async def until_room(self) -> None:
        """Return when `room` may have changed. Cancel it to give up."""
        await asyncio.shield(self.next_change())

    async def until_confirmed(self) -> None:
        """Return when everything published is confirmed, or can no longer be."""
        self.flush()
        self._barrier()
        while self._pending or self._to_resend or (self._unproven and self._connection is not None):
            await self.until_room()

    async def close(self) -> None:
        """Disconnect properly, so that the broker drops the last will."""
        self._closing = True
        if (connection := self._connection) is not None:
            self._say_goodbye()
            self.flush()
            for_good = self._persistent and self.target.version == 5
            # The broker discards the last will, and the session ends with the connection (3.14.2.2.2).
            ending: Properties = ((PropertyId.SESSION_EXPIRY_INTERVAL, 0),) if for_good else ()
            connection.write(Disconnect(properties=ending).encode(self.target.version))
            connection.close()
            await asyncio.wait([connection.ended], timeout=_CLOSE_S)
            connection.abort("closed")
            if self._persistent and not for_good:
                with contextlib.suppress(BrokerError):
                    await forget_session(self.target, self.client_id, _CLOSE_S)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _stay_connected(self) -> None:
        backoff = Backoff(BACKOFF_MIN_S, BACKOFF_MAX_S)
        while not self._closing:
            await asyncio.sleep(max(0.0, self._away_until - monotonic()))
            try:
                async with self._gate:
                    await self._connect()
            except BrokerError as error:
                if self.reason != str(error):
                    log.log(logging.WARNING if self.connects else logging.INFO, "%s", error)
                self.reason = str(error)
                await backoff.wait()  # its jitter is no part of the stream
                continue
            connection = self._connection
            assert connection is not None
            began = monotonic()
            await self._tend(connection)
            self._lost(connection)
            if monotonic() - began >= SHORT_S or self._away_until > began:
                backoff.reset()
            else:
                await backoff.wait()  # the broker takes us in and throws us out: not again at once

    async def _connect(self) -> None:
        target = self.target
        lasting = self._persistent and target.version == 5
        limited = self._on_message is not None and target.version == 5
        will = self._last_will()
        hello = Connect(
            self.client_id,
            target.version,
            clean_start=not self._persistent,
            keep_alive_s=target.keep_alive_s,
            username=target.username,
            password=target.encoded_password,
            will=None if will is None else replace(will, qos=min(will.qos, self._will_qos)),
            properties=(
                *(((PropertyId.SESSION_EXPIRY_INTERVAL, _SESSION_S),) if lasting else ()),
                *(((PropertyId.MAXIMUM_PACKET_SIZE, LARGEST_ANSWER_BYTES),) if limited else ()),
            ),
        )
        try:
            connection, accepted = await open_connection(
                target,
                hello.encode(),
                on_ack=self._acked,
                on_pong=self._ponged,
                on_writable=self._wake,
                on_received=self._unreleased.add,
                on_message=self._on_message,
                on_suback=self.subscriptions.answered,
                timeout_s=self._connect_timeout_s,
            )
        except UnusableBroker as error:
            if error.code != QOS_NOT_SUPPORTED or not self._will_qos:
                raise
            self._will_qos -= 1  # it says so only once it has refused (3.1.2.6)
            await self._connect()
            return
        if why := too_much(accepted, self._qos, retain=bool(self._flags & RETAIN)):
            connection.abort(why)
            raise BrokerError(f"the broker at {target.name} {why}")
        self._window = min(self._wanted_window, accepted.receive_maximum)
        self._connection = connection
        self.reason = ""
        self.connects += 1
        self._aliases.clear()
        self._alias_maximum = accepted.topic_alias_maximum if self._wants_aliases else 0
        self._out += self.subscriptions.packets(self._next_id, target.version)
        if accepted.session_present:
            self._resume()
        else:
            self._start_over()
        self._greet()

    def _last_will(self) -> Will | None:
        """That of the next connection."""
        return self._will

    def _greet(self) -> None:
        """Say what comes first on a new connection, and `_open` it."""
        self._open()

    def _say_goodbye(self) -> None:
        """Say what comes last on it, before a clean end."""

    def _open(self) -> None:
        """This connection takes messages from now on."""
        self._is_open = True
        self._resend()
        if self._on_connected is not None:
            self._on_connected()
        self._wake()

    async def _tend(self, connection: FleetConnection) -> None:
        """Ping for keep-alive and as the barrier of QoS 0, until the connection ends."""
        keep_alive_s = self.target.keep_alive_s or 3_600
        # Without QoS 0 nothing waits for pings but the keep-alive, and thousands of connections would tick.
        every_s = keep_alive_s / 2 if self._qos else min(BARRIER_S, keep_alive_s / 2)
        idle_s = 0.0
        while not connection.ended.done():
            await asyncio.wait([connection.ended], timeout=every_s)
            idle_s += every_s
            if len(self._pings) * every_s > keep_alive_s and not connection.paused:
                connection.abort("the broker does not answer")
            elif self._unproven or idle_s * 2 >= keep_alive_s:
                self._barrier()
                idle_s = 0.0

    def _barrier(self) -> None:
        """Ask for proof of all that was written so far."""
        if self._connection is not None and len(self._pings) < 1_000:
            self.flush()
            self._connection.write(_PINGREQ)
            self._pings.append(self._unproven)

    def _lost(self, connection: FleetConnection) -> None:
        self._connection = None
        self._is_open = False
        self.reason = connection.reason
        if self.target.version == 4 and self.published and not self.confirmed and connection.is_cut:
            self.reason += _MUTE
        if not self._closing:
            level = logging.INFO if connection.reason == _ON_PURPOSE else logging.WARNING
            log.log(level, "connection to %s lost: %s", self.target.name, self.reason)
        self._out.clear()
        if not self._persistent:
            self._start_over()
        self._pings.clear()
        self._unproven = 0
        self._wake()

    def _start_over(self) -> None:
        """The broker remembers nothing: what it has not confirmed is to be published anew."""
        self._to_resend.extendleft(sent[:4] for sent in reversed(self._pending.values()))
        self._pending.clear()
        self._unreleased.clear()

    def _resume(self) -> None:
        """The broker remembers the session: go on with each publish where it stopped (4.4)."""
        for packet_id, (topic, payload, qos, flags, _) in self._pending.items():
            if packet_id in self._unreleased:
                release = Acknowledgement(PacketType.PUBREL, packet_id)
                self._out.append(release.encode(self.target.version))
            else:
                self._out.append(self._packet(topic, payload, qos, packet_id, flags | DUP))
                self.resent += 1

    def _packet(self, topic: bytes, payload: bytes, qos: int, packet_id: int, flags: int) -> bytes:
        properties = self._properties
        if self._wants_aliases:
            alias = self._aliases.get(topic)
            if alias is not None:
                topic, properties = b"", alias + properties
            elif len(self._aliases) < self._alias_maximum:
                number = len(self._aliases) + 1
                alias = self._aliases[topic] = encode_properties(((PropertyId.TOPIC_ALIAS, number),))
                properties = alias + properties
        return encode_publish(
            topic, payload, qos, packet_id, self.target.version, flags=flags, properties=properties
        )

    def _resend(self) -> None:
        """Publish on this session what was not confirmed on the last one, in its old order."""
        while self._to_resend and len(self._pending) < self._window:
            topic, payload, qos, flags = self._to_resend.popleft()
            packet_id = self._next_id()
            self._pending[packet_id] = (topic, payload, qos, flags, monotonic())
            self._out.append(self._packet(topic, payload, qos, packet_id, flags))
            self.resent += 1
        self.flush()

    def _next_id(self) -> int:
        packet_id = self._packet_id % 65_535 + 1
        while packet_id in self._pending or packet_id in self.subscriptions:
            packet_id = packet_id % 65_535 + 1
        self._packet_id = packet_id
        return packet_id

    def _acked(self, packet_id: int, refused: str) -> None:
        sent = self._pending.pop(packet_id, None)
        self._unreleased.discard(packet_id)
        if sent is None:
            return
        if refused:
            self.refused += 1
            log.warning("the broker at %s refuses a message: %s", self.target.name, refused)
        else:
            self.confirmed += 1
            self.ack_ms.add((monotonic() - sent[4]) * 1e3)
        if self._to_resend:
            self._resend()
        if self._waiting is not None:
            self._wake()

    def _ponged(self) -> None:
        proven = self._pings.popleft() if self._pings else 0
        if proven:
            self.confirmed += proven
            self._unproven -= proven
            # Later pings counted these too.
            self._pings = deque(count - proven for count in self._pings)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        self._waiting = None
