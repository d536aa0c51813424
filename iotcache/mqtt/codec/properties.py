"""The properties that packets of MQTT 5 carry (2.2.2)."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from iotcache.mqtt.codec.primitives import Cursor, encode_binary, encode_text, encode_varint

PropertyValue = int | str | bytes | tuple[str, str]


class PropertyId(IntEnum):
    """Table 2-4 of the standard."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


Properties = tuple[tuple[PropertyId, PropertyValue], ...]
"""In their order: user properties and subscription identifiers may come more than once."""


class PropertyType(StrEnum):
    """How a property's value is written."""

    BYTE = "byte"
    TWO_BYTES = "two bytes"
    FOUR_BYTES = "four bytes"
    VARINT = "variable byte integer"
    TEXT = "text"
    BINARY = "binary"
    PAIR = "pair of texts"


_SIZES: Final = {PropertyType.BYTE: 1, PropertyType.TWO_BYTES: 2, PropertyType.FOUR_BYTES: 4}
TYPES: Final = {
    PropertyId.PAYLOAD_FORMAT_INDICATOR: PropertyType.BYTE,
    PropertyId.MESSAGE_EXPIRY_INTERVAL: PropertyType.FOUR_BYTES,
    PropertyId.CONTENT_TYPE: PropertyType.TEXT,
    PropertyId.RESPONSE_TOPIC: PropertyType.TEXT,
    PropertyId.CORRELATION_DATA: PropertyType.BINARY,
    PropertyId.SUBSCRIPTION_IDENTIFIER: PropertyType.VARINT,
    PropertyId.SESSION_EXPIRY_INTERVAL: PropertyType.FOUR_BYTES,
    PropertyId.ASSIGNED_CLIENT_IDENTIFIER: PropertyType.TEXT,
    PropertyId.SERVER_KEEP_ALIVE: PropertyType.TWO_BYTES,
    PropertyId.AUTHENTICATION_METHOD: PropertyType.TEXT,
    PropertyId.AUTHENTICATION_DATA: PropertyType.BINARY,
    PropertyId.REQUEST_PROBLEM_INFORMATION: PropertyType.BYTE,
    PropertyId.WILL_DELAY_INTERVAL: PropertyType.FOUR_BYTES,
    PropertyId.REQUEST_RESPONSE_INFORMATION: PropertyType.BYTE,
    PropertyId.RESPONSE_INFORMATION: PropertyType.TEXT,
    PropertyId.SERVER_REFERENCE: PropertyType.TEXT,
    PropertyId.REASON_STRING: PropertyType.TEXT,
    PropertyId.RECEIVE_MAXIMUM: PropertyType.TWO_BYTES,
    PropertyId.TOPIC_ALIAS_MAXIMUM: PropertyType.TWO_BYTES,
    PropertyId.TOPIC_ALIAS: PropertyType.TWO_BYTES,
    PropertyId.MAXIMUM_QOS: PropertyType.BYTE,
    PropertyId.RETAIN_AVAILABLE: PropertyType.BYTE,
    PropertyId.USER_PROPERTY: PropertyType.PAIR,
    PropertyId.MAXIMUM_PACKET_SIZE: PropertyType.FOUR_BYTES,
    PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE: PropertyType.BYTE,
    PropertyId.SUBSCRIPTION_IDENTIFIER_AVAILABLE: PropertyType.BYTE,
    PropertyId.SHARED_SUBSCRIPTION_AVAILABLE: PropertyType.BYTE,
}


def encode_properties(properties: Properties) -> bytes:
    """The properties one after the other, without their total length."""
    return b"".join(bytes([name]) + _encode(TYPES[name], value) for name, value in properties)


def with_length(encoded: bytes) -> bytes:
    """Properties as they stand in a packet: after their total length."""
    return encode_varint(len(encoded)) + encoded


def decode_properties(packet: Cursor) -> Properties:
    """The properties at a cursor, which is behind them then. Raises `MalformedPacket`."""
    part = packet.part(packet.varint())
    found: list[tuple[PropertyId, PropertyValue]] = []
    while part:
        number = part.varint()
        try:
            name = PropertyId(number)
        except ValueError:
            raise part.malformed(f"has a property {number}, which the standard does not know") from None
        found.append((name, _decode(TYPES[name], part)))
    return tuple(found)


def number_of(properties: Properties, name: PropertyId, default: int) -> int:
    """The value of a numeric property."""
    value = next((value for key, value in properties if key == name), default)
    return value if isinstance(value, int) else default


def _encode(kind: PropertyType, value: PropertyValue) -> bytes:
    match kind, value:
        case PropertyType.PAIR, (str() as key, str() as text):
            return encode_text(key) + encode_text(text)
        case PropertyType.TEXT, str():
            return encode_text(value)
        case PropertyType.BINARY, bytes():
            return encode_binary(value)
        case PropertyType.VARINT, int():
            return encode_varint(value)
        case _, int() if kind in _SIZES:
            return value.to_bytes(_SIZES[kind], "big")
    raise TypeError(f"a property of type {kind.value} cannot be {value!r}")


def _decode(kind: PropertyType, part: Cursor) -> PropertyValue:
    match kind:
        case PropertyType.PAIR:
            return part.text(), part.text()
        case PropertyType.TEXT:
            return part.text()
        case PropertyType.BINARY:
            return part.binary()
        case PropertyType.VARINT:
            return part.varint()
        case _:
            return part.number(_SIZES[kind])
