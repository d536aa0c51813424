"""The packets that a publishing MQTT client sends and receives, as pure functions over bytes.

MQTT 3.1.1 (OASIS standard, 29 October 2014) and 5.0 (7 March 2019); section numbers refer to the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from iotcache.errors import BrokerError

Version = Literal[4, 5]
"""The protocol level in CONNECT: 4 is MQTT 3.1.1."""

RETAIN: Final = 1
DUP: Final = 8
"""Flags of a PUBLISH (3.3.1)."""
CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBCOMP: Final = 0x70
PINGRESP: Final = 0xD0
PINGREQ_PACKET: Final = b"\xc0\x00"
DISCONNECT: Final = 0xE0
DISCONNECT_PACKET: Final = b"\xe0\x00"
"""Normal disconnection: the broker discards the last will."""
DISCONNECT_FOR_GOOD_V5: Final = b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00"
"""The same, and the session ends with it (3.14.2.2.2)."""
LARGEST_PACKET_BYTES: Final = 1 << 20
"""More than any packet that a broker has to send to a client without subscriptions."""

_RECEIVE_MAXIMUM: Final = 0x21
_MAXIMUM_QOS: Final = 0x24
_TOPIC_ALIAS_MAXIMUM: Final = 0x22
_SESSION_EXPIRY: Final = 0x11
_TOPIC_ALIAS: Final = 0x23
_USER_PROPERTY: Final = 0x26
_PROPERTY_BYTES: Final = {
    0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
"""Sizes of the fixed-length properties that a CONNACK may carry (3.2.2.3); the others are strings."""
_REFUSALS_V4: Final = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not accept the client id",
    3: "it is not ready",
    4: "the user name or password is wrong",
    5: "the login is not allowed",
}
_REFUSALS_V5: Final = {
    0x84: "it does not speak MQTT 5",
    0x85: "it does not accept the client id",
    0x86: "the user name or password is wrong",
    0x87: "the login is not allowed",
    0x88: "it is not ready",
    0x89: "it is busy",
    0x8A: "the client is banned",
    0x97: "its quota is exceeded",
    0x9F: "connections come too fast",
}


class Will(Struct, frozen=True):
    """What the broker publishes when the connection ends without a DISCONNECT (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Accepted(Struct, frozen=True):
    """What a CONNACK says about the connection."""

    session_present: bool
    receive_maximum: int = 65_535
    """Unacknowledged publishes that the broker takes at a time (3.2.2.3.3)."""
    maximum_qos: int = 2
    topic_alias_maximum: int = 0


def _varint(value: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(out)


def _field(data: bytes) -> bytes:
    if len(data) > 65_535:
        raise BrokerError("a text longer than 65,535 bytes cannot be sent in MQTT")
    return len(data).to_bytes(2, "big") + data


def connect(
    client_id: str,
    *,
    version: Version = 4,
    clean: bool = True,
    keep_alive_s: int = 60,
    username: str | None = None,
    password: str | None = None,
    will: Will | None = None,
    session_expiry_s: int = 0,
) -> bytes:
    """A CONNECT packet (3.1)."""
    flags = 0x02 if clean else 0
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    if username is not None:
        flags |= 0x80
    if password is not None:
        flags |= 0x40
    body = b"\x00\x04MQTT" + bytes([version, flags]) + keep_alive_s.to_bytes(2, "big")
    if version == 5:
        properties = b""
        if session_expiry_s:
            properties = bytes([_SESSION_EXPIRY]) + session_expiry_s.to_bytes(4, "big")
        body += _varint(len(properties)) + properties
    body += _field(client_id.encode())
    if will is not None:
        body += (b"\x00" if version == 5 else b"") + _field(will.topic.encode()) + _field(will.payload)
    if username is not None:
        body += _field(username.encode())
    if password is not None:
        body += _field(password.encode())
    return b"\x10" + _varint(len(body)) + body


def publish(
    topic: bytes,
    payload: bytes,
    qos: int,
    packet_id: int,
    version: int,
    *,
    flags: int = 0,
    properties: bytes = b"",
) -> bytes:
    """A PUBLISH packet (3.3). ``packet_id`` is used for QoS 1 and 2; ``flags``: `RETAIN`, `DUP`."""
    size = len(topic)
    length = 2 + size + len(payload)
    if qos:
        length += 2
        tail = packet_id.to_bytes(2, "big")
    else:
        tail = b""
    if version == 5:
        tail += _varint(len(properties)) + properties
        length += len(tail) - (2 if qos else 0)
    head = 0x30 | qos << 1 | flags
    if length < 128:
        return b"%c%c%c%c%b%b%b" % (head, length, size >> 8, size & 255, topic, tail, payload)
    if length < 16_384:
        return b"%c%c%c%c%c%b%b%b" % (
            head, length & 127 | 128, length >> 7, size >> 8, size & 255, topic, tail, payload,
        )  # fmt: skip
    return bytes([head]) + _varint(length) + size.to_bytes(2, "big") + topic + tail + payload


def user_properties(pairs: Iterable[tuple[str, str]]) -> bytes:
    """User properties as a PUBLISH carries them (3.3.2.3.7), in their order."""
    return b"".join(
        bytes([_USER_PROPERTY]) + _field(name.encode()) + _field(value.encode()) for name, value in pairs
    )


def topic_alias(alias: int) -> bytes:
    """The property that gives a topic its alias, or stands for it (3.3.2.3.4)."""
    return bytes([_TOPIC_ALIAS]) + alias.to_bytes(2, "big")


def pubrel(packet_id: int) -> bytes:
    """A PUBREL packet: the second half of a QoS 2 delivery (3.6)."""
    return b"\x62\x02" + packet_id.to_bytes(2, "big")


def split(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take every whole packet off the front of ``buffer``: (type with its flags cleared, body).

    Raises `BrokerError` when the bytes cannot be MQTT.
    """
    at, size = 0, len(buffer)
    try:
        while size - at >= 2:
            length, shift, start = 0, 0, at + 1
            while True:
                if start >= size:
                    return
                digit = buffer[start]
                start += 1
                length |= (digit & 0x7F) << shift
                if not digit & 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise BrokerError("the broker's answer is not MQTT")
            if length > LARGEST_PACKET_BYTES:
                raise BrokerError("the broker's answer is not MQTT, or far too long")
            if size - start < length:
                return
            kind = buffer[at] & 0xF0
            at = start + length
            yield kind, bytes(buffer[start:at])
    finally:
        del buffer[:at]


def accepted(body: bytes, version: int) -> Accepted:
    """What a CONNACK's body says (3.2). Raises `BrokerError` with the reason of a refusal."""
    if len(body) < 2:
        raise BrokerError("the broker's answer to CONNECT is cut short")
    session_present, code = bool(body[0] & 1), body[1]
    if code:
        reason = (_REFUSALS_V5 if version == 5 else _REFUSALS_V4).get(code, f"reason code {code}")
        raise BrokerError(f"the broker refused the connection: {reason}")
    values = _numbers(body[2:]) if version == 5 else {}
    return Accepted(
        session_present,
        values.get(_RECEIVE_MAXIMUM, 65_535),
        values.get(_MAXIMUM_QOS, 2),
        values.get(_TOPIC_ALIAS_MAXIMUM, 0),
    )


def _numbers(properties: bytes) -> dict[int, int]:
    """The numeric properties of a CONNACK; reading stops at one that the standard does not know."""
    found: dict[int, int] = {}
    if not properties:
        return found
    at = next((n for n, byte in enumerate(properties[:4]) if not byte & 0x80), 0) + 1
    while at < len(properties):
        name = properties[at]
        at += 1
        if (size := _PROPERTY_BYTES.get(name)) is not None:
            found[name] = int.from_bytes(properties[at : at + size], "big")
            at += size
        elif name in {0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F}:
            at += 2 + int.from_bytes(properties[at : at + 2], "big")
        elif name == 0x26:
            for _ in range(2):
                at += 2 + int.from_bytes(properties[at : at + 2], "big")
        else:
            break
    return found
