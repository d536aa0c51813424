"""The control packets of section 3 as values: each encodes itself, and `decode_packet` reads them all."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from iotcache.mqtt.codec.primitives import (
    FAILURE,
    Cursor,
    MalformedPacket,
    PacketType,
    Version,
    decode_varint,
    encode_binary,
    encode_text,
    encode_varint,
)
from iotcache.mqtt.codec.properties import (
    Properties,
    PropertyId,
    decode_properties,
    encode_properties,
    number_of,
    with_length,
)
from iotcache.mqtt.codec.publish import DUP, RETAIN, encode_publish

_NAMES: Final = {4: b"MQTT", 5: b"MQTT"}
_FLAGS: Final = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}
"""The reserved bits of the first byte (2.1.3); 0 for the other types, and PUBLISH has flags of its own."""


class Will(Struct, frozen=True):
    """What the broker publishes when the connection ends without a DISCONNECT (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = ()


class Connect(Struct, frozen=True):
    """The first packet of a client (3.1)."""

    client_id: str
    version: Version = 4
    clean_start: bool = True
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = ()

    def encode(self, version: Version | None = None) -> bytes:
        """The packet; it tells its version itself."""
        version = self.version if version is None else version
        will = self.will
        flags = 0x02 if self.clean_start else 0
        if will is not None:
            flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        if self.username is not None:
            flags |= 0x80
        if self.password is not None:
            flags |= 0x40
        body = encode_binary(_NAMES[version]) + bytes([version, flags]) + self.keep_alive_s.to_bytes(2, "big")
        body += _properties(self.properties, version) + encode_text(self.client_id)
        if will is not None:
            body += _properties(will.properties, version)
            body += encode_text(will.topic) + encode_binary(will.payload)
        if self.username is not None:
            body += encode_text(self.username)
        if self.password is not None:
            body += encode_binary(self.password)
        return _packet(PacketType.CONNECT, body)


class Connack(Struct, frozen=True):
    """The broker's answer to CONNECT (3.2)."""

    session_present: bool = False
    code: int = 0
    """0 when it accepts. The numbers of MQTT 3.1.1 are others than those of MQTT 5."""
    properties: Properties = ()

    @property
    def receive_maximum(self) -> int:
        """Unacknowledged publishes that the broker takes at a time (3.2.2.3.3)."""
        return number_of(self.properties, PropertyId.RECEIVE_MAXIMUM, 65_535)

    @property
    def maximum_qos(self) -> int:
        """The highest QoS that it takes (3.2.2.3.4)."""
        return number_of(self.properties, PropertyId.MAXIMUM_QOS, 2)

    @property
    def retain_available(self) -> bool:
        """Whether it keeps retained messages (3.2.2.3.5)."""
        return bool(number_of(self.properties, PropertyId.RETAIN_AVAILABLE, 1))

    @property
    def topic_alias_maximum(self) -> int:
        """Topics that may have an alias (3.2.2.3.8)."""
        return number_of(self.properties, PropertyId.TOPIC_ALIAS_MAXIMUM, 0)

    def encode(self, version: Version) -> bytes:
        """The packet."""
        body = bytes([self.session_present, self.code]) + _properties(self.properties, version)
        return _packet(PacketType.CONNACK, body)


class Publish(Struct, frozen=True):
    """A message (3.3)."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    packet_id: int = 0
    """0 for QoS 0."""
    retain: bool = False
    dup: bool = False
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet."""
        return encode_publish(
            self.topic.encode(), self.payload, self.qos, self.packet_id, version,
            flags=(RETAIN if self.retain else 0) | (DUP if self.dup else 0),
            properties=encode_properties(self.properties),
        )  # fmt: skip


class Acknowledgement(Struct, frozen=True):
    """PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7)."""

    kind: PacketType
    packet_id: int
    code: int = 0
    properties: Properties = ()

    @property
    def failed(self) -> bool:
        """Whether it refuses what it answers."""
        return self.code >= FAILURE

    def encode(self, version: Version) -> bytes:
        """The packet, in its short form where that says it all."""
        body = self.packet_id.to_bytes(2, "big")
        return _packet(self.kind, body + _reason(self.code, self.properties, version))


class Subscribe(Struct, frozen=True):
    """A wish for topics (3.8): filters with their options, of which the lowest two bits are the QoS."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet."""
        body = self.packet_id.to_bytes(2, "big") + _properties(self.properties, version)
        body += b"".join(encode_text(text) + bytes([options]) for text, options in self.filters)
        return _packet(PacketType.SUBSCRIBE, body)


class Unsubscribe(Struct, frozen=True):
    """The end of such a wish (3.10)."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet."""
        body = self.packet_id.to_bytes(2, "big") + _properties(self.properties, version)
        return _packet(PacketType.UNSUBSCRIBE, body + b"".join(map(encode_text, self.filters)))


class Suback(Struct, frozen=True):
    """The broker's answer to SUBSCRIBE (3.9): one code a filter."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet."""
        body = self.packet_id.to_bytes(2, "big") + _properties(self.properties, version)
        return _packet(PacketType.SUBACK, body + bytes(self.codes))


class Unsuback(Struct, frozen=True):
    """The broker's answer to UNSUBSCRIBE (3.11); MQTT 3.1.1 has no codes in it."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet."""
        body = self.packet_id.to_bytes(2, "big") + _properties(self.properties, version)
        return _packet(PacketType.UNSUBACK, body + bytes(self.codes))


class Ping(Struct, frozen=True):
    """PINGREQ or PINGRESP (3.12, 3.13)."""

    kind: PacketType

    def encode(self, version: Version) -> bytes:
        """The packet."""
        return _packet(self.kind, b"")


class Disconnect(Struct, frozen=True):
    """The end of a connection (3.14): of a client in any version, of a broker in MQTT 5."""

    code: int = 0
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet, in its short form where that says it all."""
        return _packet(PacketType.DISCONNECT, _reason(self.code, self.properties, version))


class Auth(Struct, frozen=True):
    """Extended authentication (3.15), in MQTT 5."""

    code: int = 0
    properties: Properties = ()

    def encode(self, version: Version) -> bytes:
        """The packet, in its short form where that says it all."""
        return _packet(PacketType.AUTH, _reason(self.code, self.properties, version))


Packet = (
    Connect | Connack | Publish | Acknowledgement | Subscribe | Unsubscribe
    | Suback | Unsuback | Ping | Disconnect | Auth
)  # fmt: skip


def decode_packet(packet: bytes, version: Version) -> Packet:
    """What a whole packet says. Raises `MalformedPacket`.

    ``version`` is the connection's; CONNECT tells its own.
    """
    try:
        kind = PacketType(packet[0] >> 4)
        length, at = decode_varint(packet, 1)
    except (IndexError, ValueError):
        raise MalformedPacket("what is no packet") from None
    if len(packet) != at + length:
        raise MalformedPacket(f"a {kind.name} of another length than it says")
    flags = packet[0] & 0x0F
    body = Cursor(packet[at:], f"a {kind.name}")
    if kind is PacketType.PUBLISH:
        return _publish(flags, body, version)
    if flags != _FLAGS.get(kind, 0):
        raise body.malformed(f"has the flags {flags}")
    decoded = _decode(kind, body, version)
    body.end()
    return decoded


def _decode(kind: PacketType, body: Cursor, version: Version) -> Packet:
    match kind:
        case PacketType.CONNECT:
            return _connect(body)
        case PacketType.CONNACK:
            present, code = body.number(1), body.number(1)
            # A broker that knows only MQTT 3.1.1 answers in its own form: without properties.
            return Connack(bool(present & 1), code, _properties_of(body, version) if body else ())
        case PacketType.PUBACK | PacketType.PUBREC | PacketType.PUBREL | PacketType.PUBCOMP:
            return Acknowledgement(kind, body.number(2), *_reason_of(body, version))
        case PacketType.SUBSCRIBE:
            packet_id, properties = body.number(2), _properties_of(body, version)
            wanted: list[tuple[str, int]] = []
            while body:
                wanted.append((body.text(), body.number(1)))
            return Subscribe(packet_id, tuple(wanted), properties)
        case PacketType.UNSUBSCRIBE:
            packet_id, properties = body.number(2), _properties_of(body, version)
            filters: list[str] = []
            while body:
                filters.append(body.text())
            return Unsubscribe(packet_id, tuple(filters), properties)
        case PacketType.SUBACK:
            packet_id, properties = body.number(2), _properties_of(body, version)
            return Suback(packet_id, tuple(body.rest()), properties)
        case PacketType.UNSUBACK:
            packet_id, properties = body.number(2), _properties_of(body, version)
            return Unsuback(packet_id, tuple(body.rest()), properties)
        case PacketType.PINGREQ | PacketType.PINGRESP:
            return Ping(kind)
        case PacketType.DISCONNECT:
            return Disconnect(*_reason_of(body, version))
        case _ if version == 5:
            return Auth(*_reason_of(body, version))
        case _:
            raise body.malformed("MQTT 3.1.1 does not know")


def _connect(body: Cursor) -> Connect:
    if body.binary() != b"MQTT":
        raise body.malformed("names another protocol")
    level, flags = body.number(1), body.number(1)
    if level not in (4, 5):
        raise body.malformed(f"asks for protocol level {level}")
    version: Version = 5 if level == 5 else 4
    keep_alive_s = body.number(2)
    properties = _properties_of(body, version)
    client_id = body.text()
    will: Will | None = None
    if flags & 0x04:
        will_properties = _properties_of(body, version)
        will = Will(
            body.text(), body.binary(), flags >> 3 & 3, bool(flags & 0x20), will_properties
        )  # fmt: skip
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    return Connect(client_id, version, bool(flags & 2), keep_alive_s, username, password, will, properties)


def _publish(flags: int, body: Cursor, version: Version) -> Publish:
    qos = flags >> 1 & 3
    if qos == 3:
        raise body.malformed("has QoS 3")
    topic = body.text()
    packet_id = body.number(2) if qos else 0
    properties = _properties_of(body, version)
    return Publish(topic, body.rest(), qos, packet_id, bool(flags & RETAIN), bool(flags & DUP), properties)


def _packet(kind: PacketType, body: bytes) -> bytes:
    return bytes([kind << 4 | _FLAGS.get(kind, 0)]) + encode_varint(len(body)) + body


def _properties(properties: Properties, version: Version) -> bytes:
    return with_length(encode_properties(properties)) if version == 5 else b""


def _properties_of(body: Cursor, version: Version) -> Properties:
    return decode_properties(body) if version == 5 else ()


def _reason(code: int, properties: Properties, version: Version) -> bytes:
    """Reason code and properties: both may be left out when they say nothing (3.4.2.1)."""
    if version != 5 or not (code or properties):
        return b""
    return bytes([code]) + (_properties(properties, version) if properties else b"")


def _reason_of(body: Cursor, version: Version) -> tuple[int, Properties]:
    if version != 5 or not body:
        return 0, ()
    code = body.number(1)
    return code, decode_properties(body) if body else ()
