"""aiomqtt's client on one end of a pair of sockets; the other end is ours.

What the client writes goes to the broker, and what it is to read comes from us: packets that carry messages
never reach it. It is left with login, subscriptions, keep-alive and publishing with QoS 1.

This module alone knows inner names of the two libraries, `PRIVATE_NAMES`; they hold for aiomqtt 2.5, and for
paho 2.1 and 2.2. Everything else that is used here is public and documented.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from iotcache.errors import BrokerError
from iotcache.mqtt.codec import (
    Connack,
    PacketSplitter,
    PacketType,
    Ping,
    Properties,
    PropertyId,
    Version,
    Will,
)
from iotcache.mqtt.failure_text import connection_trouble
from iotcache.text import printable

if TYPE_CHECKING:
    import aiomqtt
    import paho.mqtt.client as paho
    from paho.mqtt.client import SocketLike
    from paho.mqtt.properties import Properties as PahoProperties

log = logging.getLogger(__name__)

PRIVATE_NAMES: Final = ("aiomqtt.Client._client", "paho.mqtt.client.Client._create_socket")
"""The paho client inside aiomqtt's, and the method that gives it its socket."""
_SERVER_UNAVAILABLE: Final = {4: 0x03, 5: 0x88}


class Login(Struct, frozen=True, kw_only=True):
    """What a client says in CONNECT."""

    client_id: str
    version: Version
    clean_start: bool
    keep_alive_s: int
    username: str | None = None
    password: str | None = None
    will: Will | None = None
    properties: Properties = ()


class LibraryClient(asyncio.Protocol):
    """One aiomqtt client for one connection: `connect` it, `feed` it what the broker answers, `shut` it."""

    def __init__(
        self, login: Login, timeout_s: float, on_packet: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        """``on_packet``: a whole packet for the broker. ``on_end``: the client gives the connection up."""
        self._version: Version = login.version
        self._timeout_s = timeout_s
        self._on_packet = on_packet
        self._on_end = on_end
        self._splitter = PacketSplitter()
        self._transport: asyncio.Transport | None = None
        self._entering: asyncio.Task[Any] | None = None
        self._leaving = False
        self._shut = False
        self._ours, self._theirs = socket.socketpair()
        self._aiomqtt = _make_client(login, timeout_s)
        self._paho: paho.Client = self._aiomqtt._client
        self._paho._create_socket = self._give_socket  # type: ignore[method-assign]
        # aiomqtt's logger would get paho's every packet.
        self._paho.disable_logger()
        disconnected = self._paho.on_disconnect

        def on_disconnect(*args: Any) -> None:
            # An end that nobody asked for is told by `on_end`; aiomqtt would keep it as an error unseen.
            if self._leaving and disconnected is not None:
                disconnected(*args)

        self._paho.on_disconnect = on_disconnect
        # aiomqtt's would watch a number of a descriptor later, which may be closed by then, or another's.
        self._paho.on_socket_register_write = self._register_write
        self._paho.on_socket_unregister_write = self._unregister_write
        self._loop = asyncio.get_running_loop()
        self._loop_thread = get_ident()

    def _register_write(self, client: paho.Client, data: Any, sock: SocketLike) -> None:
        """The client has something to write. Called by paho, also in a thread."""
        self._loop.call_soon_threadsafe(self._watch_writing, sock)

    def _watch_writing(self, sock: SocketLike) -> None:
        if self._paho.socket() is sock and self._paho.want_write():
            self._loop.add_writer(sock.fileno(), self._write_out)

    def _write_out(self) -> None:
        try:
            self._paho.loop_write()
        except Exception:  # the library's: whatever it is, the client is of no more use
            log.debug("the client could not write", exc_info=True)
            if not (self._leaving or self._shut):
                self._on_end()

    def _unregister_write(self, client: paho.Client, data: Any, sock: SocketLike) -> None:
        """All is written. Called by paho before it closes the socket, and in a thread during the login."""
        if get_ident() == self._loop_thread and sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())

    def _give_socket(self) -> socket.socket:
        """Called by paho, in a thread, where it would open a connection."""
        if self._shut:
            raise OSError("the connection was given up")
        return self._theirs

    async def connect(self) -> None:
        """Begin the login: its CONNECT comes by ``on_packet``."""
        await self._loop.create_connection(lambda: self, sock=self._ours)
        # A task of its own, as it must not be cancelled: it works in a thread.
        self._entering = asyncio.create_task(self._aiomqtt.__aenter__())

    async def connected(self) -> None:
        """Return once the client has taken the CONNACK that it was fed. Raises `BrokerError`."""
        import aiomqtt

        assert self._entering is not None
        try:
            await asyncio.shield(self._entering)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise BrokerError(connection_trouble(error)) from error

    async def subscribe(self, subscriptions: Sequence[tuple[str, int]]) -> Sequence[int]:
        """The broker's code for each pair of filter and QoS. Raises `BrokerError`."""
        import aiomqtt
        from paho.mqtt.subscribeoptions import SubscribeOptions

        wanted: Any = list(subscriptions)
        if self._version == 5:
            # Retain handling 1: retained messages come with a new subscription only, not at every connect.
            wanted = [(topic, SubscribeOptions(qos=qos, retainHandling=1)) for topic, qos in subscriptions]
        try:
            codes = await self._aiomqtt.subscribe(wanted)
        except (aiomqtt.MqttError, ValueError) as error:
            raise BrokerError(connection_trouble(error)) from error
        return [code if isinstance(code, int) else code.value for code in codes]

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Give up subscriptions. Raises `BrokerError`."""
        import aiomqtt

        try:
            await self._aiomqtt.unsubscribe(list(filters))
        except (aiomqtt.MqttError, ValueError) as error:
            raise BrokerError(connection_trouble(error)) from error

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int | None:
        """Hand a message over; its packet identifier, or ``None`` when it is not taken.

        Raises `BrokerError` for a bad topic.
        """
        try:
            info = self._paho.publish(topic, payload, qos, retain)
        except ValueError as error:
            raise BrokerError(f"cannot publish on {printable(topic)!r}: {error}") from error
        return info.mid if info.rc == 0 else None

    def feed(self, packet: bytes) -> None:
        """Let the client read a packet."""
        if self._transport is not None:
            self._transport.write(packet)

    def feed_pong(self) -> None:
        """Let the client read an answer to its ping."""
        self.feed(Ping(PacketType.PINGRESP).encode(self._version))

    async def disconnect(self, timeout_s: float) -> None:
        """Let the client say goodbye."""
        import aiomqtt

        self._leaving = True
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._aiomqtt.__aexit__(None, None, None)

    async def shut(self, timeout_s: float) -> None:
        """Leave no socket, reader or task behind."""
        self._shut = True
        entering = self._entering
        if entering is not None and not entering.done():
            # It waits for an answer to its CONNECT; this one ends it.
            refusal = Connack(code=_SERVER_UNAVAILABLE[self._version])
            self.feed(refusal.encode(self._version))
            await asyncio.wait({entering}, timeout=timeout_s)
            entering.cancel()
        if entering is not None and entering.done() and not entering.cancelled():
            entering.exception()  # seen: asyncio need not complain
        if self._paho.socket() is not None:
            self._paho.disconnect()
            self._paho.loop_write()
        if self._transport is not None:
            self._transport.abort()
        else:
            self._ours.close()
        self._theirs.close()

    # asyncio.Protocol: what the client wrote

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for packet in self._splitter.feed(data):
            self._on_packet(packet)

    def connection_lost(self, exc: Exception | None) -> None:
        if not (self._leaving or self._shut):
            self._on_end()


def _make_client(login: Login, timeout_s: float) -> aiomqtt.Client:
    import aiomqtt

    will = login.will
    options: dict[str, Any] = {}
    if login.version == 5:
        options = {"clean_start": login.clean_start, "properties": _connect_properties(login.properties)}
    else:
        options = {"clean_session": login.clean_start}
    return aiomqtt.Client(
        "the broker",  # it has its connection already
        username=login.username,
        password=login.password,
        identifier=login.client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if login.version == 5 else aiomqtt.ProtocolVersion.V311,
        will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
        timeout=timeout_s,
        keepalive=login.keep_alive_s,
        **options,
    )


def _connect_properties(properties: Properties) -> PahoProperties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties as PahoProperties

    made = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    for name, value in properties:
        setattr(made, _PAHO_NAMES[name], value)
    return made


_PAHO_NAMES: Final = {
    PropertyId.SESSION_EXPIRY_INTERVAL: "SessionExpiryInterval",
    PropertyId.RECEIVE_MAXIMUM: "ReceiveMaximum",
    PropertyId.MAXIMUM_PACKET_SIZE: "MaximumPacketSize",
}
