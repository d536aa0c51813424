"""A link to one broker that connects again by itself, takes messages in batches and acknowledges when told.

On Windows it needs the selector event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec.structs import replace

from iotcache.backoff import Backoff
from iotcache.config.urls import BrokerAddress, parse_broker
from iotcache.errors import BrokerError, PublishRefused
from iotcache.model.messages import Message
from iotcache.mqtt.codec import Version, Will
from iotcache.mqtt.codec.reasons import QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED, is_wrong_version
from iotcache.mqtt.connection import (
    CLOSE_S,
    ConnectRefused,
    Endpoint,
    MqttConnection,
    SubscriptionRefused,
)
from iotcache.mqtt.inbox import Inbox
from iotcache.mqtt.takeovers import Takeovers
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.config.schema import BrokerSettings

log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
CONTESTED_MIN_S: Final = 1.0
CONTESTED_MAX_S: Final = 20.0
"""The pauses between two attempts while another program takes our client id over: each time one of the two
connects, the other loses its connection, and what it has not acknowledged is sent once more."""
POISON_FAILURES: Final = 3
"""A message that ends so many connections in the same way would end all others, too: it comes again on each.
At that time it is delivered with its fault, to be put away and acknowledged."""
_FAULTS_REMEMBERED: Final = 100
_WAITING_PUBLISHES: Final = 10_000


class LinkState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    AWAY = "away"
    """The broker refused or could not be reached; the link tries again by itself."""
    CLOSED = "closed"


class MqttLink:
    """An async context manager over one broker. It enters at once: `state` and `reason` tell the rest.

    With ``protocol`` "auto" it speaks MQTT 5, or 3.1.1 where the broker knows no other. ``will`` may be a
    function, called for each connection.

    ``persistent`` keeps the session (and what the broker queues for it) across connections, under a fixed
    ``client_id``. ``window`` bounds the QoS 1 messages we let be unacknowledged; MQTT 5 brokers are told it,
    older ones have their own (20 by default on mosquitto). ``backoff_max_s`` bounds the pause between two
    attempts to connect.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        subscriptions: Sequence[tuple[str, int]] = (),
        persistent: bool = False,
        protocol: Literal["3.1.1", "5", "auto"] = "3.1.1",
        keepalive_s: int = 30,
        tls: ssl.SSLContext | None = None,
        will: Will | Callable[[], Will] | None = None,
        window: int = 2_000,
        backoff_max_s: float = BACKOFF_MAX_S,
        on_state: Callable[[LinkState, str], None] = lambda state, reason: None,
    ) -> None:
        self.address = address
        self.client_id = client_id
        self.state = LinkState.CONNECTING
        self.reason = ""
        """Why there is no connection; safe to show; empty while there is one."""
        self.refused = False
        """Whether the broker answered, and did not let us in or subscribe, when `state` is AWAY."""
        self.epoch = 0
        """Counts the attempts to connect: a message's identifier belongs to one of them."""
        self.connects = 0
        self.session_present = False
        """Whether the broker still knew our session at the last connect."""
        self.inherited = False
        """Whether the broker knew our session before we first came: it may have other subscriptions."""
        self.sessions_lost = 0
        """How often it did not although we had been connected before: what it had queued is gone."""
        self.subscriptions_refused = 0
        """How often the broker took our login, and not our subscriptions."""
        self._subscriptions = tuple(subscriptions)
        self._endpoint = Endpoint(
            address=address,
            client_id=client_id,
            version=4 if protocol == "3.1.1" else 5,
            persistent=persistent,
            window=window,
            keepalive_s=keepalive_s,
            tls=tls or (ssl.create_default_context() if address.tls else None),
            will=None if callable(will) else will,
        )
        self._make_will = will if callable(will) else None
        self._is_version_open = protocol == "auto"
        """Whether the version is still to be found: 5 is tried, and then 3.1.1."""
        self._inbox = Inbox(window if protocol == "5" else None, self._resume)
        self._backoff = Backoff(BACKOFF_MIN_S, backoff_max_s)
        self._backoff_max_s = backoff_max_s
        self._contested = Backoff(CONTESTED_MIN_S, CONTESTED_MAX_S)
        self._takeovers = Takeovers(client_id)
        self._faults: Counter[str] = Counter()
        """How many connections each malformed message has ended."""
        self._on_state = on_state
        self._changed = asyncio.Event()
        self._publishes: dict[int, asyncio.Future[None]] = {}
        self._connection: MqttConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @classmethod
    def from_settings(cls, settings: BrokerSettings, client_id: str, **options: Any) -> MqttLink:
        """A link as ``[broker]`` says. Raises `ConfigError` for an address or a certificate of no use."""
        from iotcache.mqtt.tls import broker_tls

        address = parse_broker(settings.url)
        if settings.username:
            address = replace(address, username=settings.username, password=settings.password)
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
        return self._endpoint.name

    @property
    def filters(self) -> Sequence[str]:
        """What it subscribes to."""
        return [topic for topic, _ in self._subscriptions]

    @property
    def version(self) -> Version:
        """The version of MQTT that is spoken: 4 is 3.1.1."""
        return self._endpoint.version

    @property
    def contested(self) -> str:
        """What tells that another program uses our client id; safe to show, empty while none does."""
        return self._takeovers.reason

    @property
    def takeovers(self) -> int:
        """How often another program took our connection over."""
        return self._takeovers.count

    @property
    def connected(self) -> bool:
        return self.state is LinkState.CONNECTED

    @property
    def received(self) -> int:
        """Messages that came in since the start."""
        return self._inbox.received

    @property
    def unacked(self) -> int:
        """QoS 1 messages of this connection that are not acknowledged yet."""
        return self._inbox.unacked

    @property
    def queued(self) -> int:
        """Messages taken off the wire that no batch has taken yet."""
        return len(self._inbox)

    @property
    def paused(self) -> bool:
        """Whether the socket is left unread because too much is queued."""
        return self._connection is not None and self._connection.paused

    def oldest_unacked_us(self) -> int:
        """When the oldest message came in that still waits for its ack; 0 when none does."""
        return self._inbox.oldest_unacked_us()

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
            await end(self._task, CLOSE_S * 1.5)
            self._task = None
        self._set_state(LinkState.CLOSED, "closed")

    async def until_connected(self) -> None:
        """Return once there is a connection with its subscriptions. Cancel it to give up."""
        while not self.connected:
            self._changed.clear()
            await self._changed.wait()

    async def ping(self) -> None:
        """Return once the broker has answered a PINGREQ: one that hangs does not. Cancel it to give up.

        Raises `BrokerError` without a connection, and when it is lost meanwhile.
        """
        await self._standing().ping()

    # Receiving

    async def batch(self, limit: int, linger_s: float = 0.0, limit_bytes: int = 8 << 20) -> list[Message]:
        """Up to ``limit`` messages (about ``limit_bytes``), at least one; fewer after ``linger_s``.

        It does not linger where the broker waits for our acks: it sends no more until it has them.
        """
        return await self._inbox.batch(limit, linger_s, limit_bytes)

    def ack(self, messages: Iterable[Message]) -> int:
        """Acknowledge messages, in the order they came; how many acks went out.

        Those of an earlier connection are left out: the broker has given their identifiers to others.
        """
        connection = self._connection
        if connection is None:
            return 0
        waiting = self._inbox.settle(messages)
        if waiting:
            connection.ack(waiting)
        return len(waiting)

    async def unsubscribe(self, filters: Sequence[str] | None = None) -> list[int]:
        """Give up subscriptions, all of ours unless told which: what the broker has queued still comes.

        Returns the broker's code for each; none with MQTT 3.1.1. Raises `BrokerError`.
        """
        return await self._standing().unsubscribe(self.filters if filters is None else filters)

    async def subscribe(self, filters: Sequence[str] = ()) -> None:
        """Subscribe on the standing connection: to ours, as on each new one, unless told to which.

        Raises `BrokerError`.
        """
        qos = max((qos for _, qos in self._subscriptions), default=0)
        await self._standing().subscribe([(text, qos) for text in filters] or self._subscriptions)

    def drop(self, reason: str) -> None:
        """Lose the connection without a DISCONNECT, as when a network fails: the broker publishes the will,
        and the link connects anew."""
        if self._connection is not None:
            self._connection.abort(reason)

    def _resume(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    # Publishing

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, timeout_s: float = 10.0
    ) -> None:
        """Publish, and return when the broker has it (QoS 1) or it left (QoS 0).

        Raises `BrokerError`: `PublishRefused` when the broker answered, and does not accept it.
        """
        mid = self._send(topic, payload, qos, retain)
        if mid is None:
            raise self._no_connection()
        if not mid:  # QoS 0, asked for or all that the broker takes
            return
        answered = self._publishes[mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await answered
        except TimeoutError:
            raise BrokerError(
                f"the broker at {self.name} did not confirm a message in {timeout_s:g} s"
            ) from None
        finally:
            self._publishes.pop(mid, None)

    def post(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish with QoS 0 and do not wait; ``False`` when there is no connection or it is choked."""
        return self._send(topic, payload, 0, retain) is not None

    def _standing(self) -> MqttConnection:
        """The connection that there is. Raises `BrokerError` without one."""
        connection = self._connection
        if connection is None or not self.connected:
            raise self._no_connection()
        return connection

    def _no_connection(self) -> BrokerError:
        return BrokerError(self.reason or f"there is no connection to the broker at {self.name}")

    def _send(self, topic: str, payload: bytes, qos: int, retain: bool) -> int | None:
        connection = self._connection
        if connection is None or not self.connected or len(self._publishes) >= _WAITING_PUBLISHES:
            return None
        return connection.publish(topic, payload, qos, retain)

    def _publish_answered(self, mid: int, refused: str) -> None:
        answered = self._publishes.get(mid)
        if answered is None or answered.done():
            return
        if refused:
            answered.set_exception(PublishRefused(f"the broker at {self.name} refuses a message: {refused}"))
        else:
            answered.set_result(None)

    # Connecting

    def _set_state(self, state: LinkState, reason: str = "") -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        self._changed.set()
        self._on_state(state, reason)

    async def _stay_connected(self) -> None:
        while not self._closing:
            began_s = time.monotonic()
            try:
                await self._session()
            except BrokerError as error:
                self.refused = isinstance(error, (ConnectRefused, SubscriptionRefused))
                self._set_state(LinkState.AWAY, self._lost_to_another or str(error))
                if time.monotonic() - began_s > self._backoff_max_s:
                    self._backoff.reset()
            if self._lost_to_another:
                await self._contested.wait()
                continue
            if not self.contested:
                self._contested.reset()
            await self._backoff.wait()

    @property
    def _lost_to_another(self) -> str:
        """Why the last connection ended, where another program took it over."""
        if self._takeovers.was_last and self.contested:
            return f"the connection to the broker at {self.name} was lost: {self.contested}"
        return ""

    async def _session(self) -> None:
        """One connection from beginning to end. Raises `BrokerError` with the reason of its end."""
        self.epoch += 1
        self._inbox.begin(self.epoch)
        if self._make_will is not None:
            self._endpoint = replace(self._endpoint, will=self._make_will())
        connection = MqttConnection(
            self._endpoint, self.epoch, self._inbox, self._publish_answered, self._tolerated()
        )
        # From the start: messages that come in one piece with the CONNACK may be taken, and acknowledged,
        # before `open` returns. An ack that was let fall then would be waited for by the broker for ever.
        self._connection = connection
        try:
            await self._open(connection)
            self._takeovers.connected()
            if self._closing:  # the cancel that said so was lost on the way
                return
            self._note_session(connection.session_present)
            try:
                await connection.subscribe(self._subscriptions)
            except BrokerError:
                self.subscriptions_refused += 1
                raise
            if self._closing:
                return
            self.connects += 1
            self._set_state(LinkState.CONNECTED)
            await connection.end()
        finally:
            self._connection = None
            self._takeovers.ended(stated=connection.is_taken_over, unexplained=connection.is_unexplained)
            self._note_fault(connection.malformed)
            for answered in self._publishes.values():
                if not answered.done():
                    answered.set_exception(
                        BrokerError(f"the connection to the broker at {self.name} was lost")
                    )
            with contextlib.suppress(Exception):
                await connection.close()

    async def _open(self, connection: MqttConnection) -> None:
        try:
            await connection.open()
        except ConnectRefused as refused:
            self._weaken_will(refused.code)
            if is_wrong_version(refused.code):
                self._fall_back()
            raise
        except BrokerError:
            if connection.is_silent:
                self._fall_back()
            raise
        self._is_version_open = False
        if not connection.retain_available and not self.connects:
            log.warning(
                "the broker at %s keeps no retained messages: whoever comes later does not see the last "
                "counters and alerts", self.name,
            )  # fmt: skip

    def _fall_back(self) -> None:
        """The broker may know MQTT 3.1.1 alone; when that fails, too, 5 is tried again."""
        if self._is_version_open:
            version: Version = 4 if self._endpoint.version == 5 else 5
            log.info("the broker at %s: trying MQTT %s", self.name, "5" if version == 5 else "3.1.1")
            self._endpoint = replace(self._endpoint, version=version)
            self._backoff.reset()

    def _weaken_will(self, code: int) -> None:
        """A will that a broker of MQTT 5 refuses is one that it may take next time (3.1.2.6, 3.1.2.7)."""
        will = self._endpoint.will
        if will is None:
            return
        self._make_will = None
        if code == RETAIN_NOT_SUPPORTED and will.retain:
            self._endpoint = replace(self._endpoint, will=replace(will, retain=False))
        elif code == QOS_NOT_SUPPORTED and will.qos:
            self._endpoint = replace(self._endpoint, will=replace(will, qos=will.qos - 1))

    def _tolerated(self) -> frozenset[str]:
        """Faults of messages that have ended connections enough: the next one is delivered."""
        return frozenset(fault for fault, count in self._faults.items() if count >= POISON_FAILURES - 1)

    def _note_fault(self, fault: str) -> None:
        if not fault:
            return
        if fault not in self._faults and len(self._faults) >= _FAULTS_REMEMBERED:
            self._faults.clear()
        self._faults[fault] += 1
        if self._faults[fault] == POISON_FAILURES - 1:
            log.warning("the broker at %s sends %s again and again: it is put away", self.name, fault)

    def _note_session(self, present: bool) -> None:
        self.session_present = present
        if not present or not self.connects:
            self.inherited = present and self._endpoint.persistent
        if self.connects and self._endpoint.persistent and not present:
            self.sessions_lost += 1
            log.warning("the broker at %s has forgotten our session %s", self.name, self.client_id)
