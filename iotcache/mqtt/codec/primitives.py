"""What packets are made of: their types, and the data representations of section 1.5."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

from iotcache.errors import BrokerError, IotCacheError

Version = Literal[4, 5]
"""The protocol level in CONNECT (3.1.2.2): 4 is MQTT 3.1.1."""

PROTOCOL_NAMES: Final = {4: "MQTT 3.1.1", 5: "MQTT 5"}
VARINT_MAX: Final = 268_435_455
"""Four digits of seven bits: the longest packet, too (2.1.4)."""
FIELD_LIMIT_BYTES: Final = 65_535
FAILURE: Final = 0x80
"""Reason codes from here on tell of a failure (2.4)."""


class MalformedPacket(IotCacheError):
    """Bytes that are no MQTT: the connection has to end (4.13).

    The text is what came, as the object of a sentence such as "the broker sent ...".
    """


class PacketType(IntEnum):
    """The upper four bits of a packet's first byte (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


def encode_varint(value: int) -> bytes:
    """A variable byte integer (1.5.5). Raises `BrokerError` for one that MQTT cannot express."""
    if not 0 <= value <= VARINT_MAX:
        raise BrokerError(f"MQTT cannot send a packet of {value} bytes")
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        out.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(out)


def decode_varint(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends.

    Raises `IndexError` when it is not all there, and `MalformedPacket` for one of more than four bytes.
    """
    value = 0
    for shift in (0, 7, 14, 21):
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedPacket("a length of more than four bytes")


def encode_binary(data: bytes) -> bytes:
    """Bytes after their number (1.5.6). Raises `BrokerError` when there are too many."""
    if len(data) > FIELD_LIMIT_BYTES:
        raise BrokerError("a text longer than 65,535 bytes cannot be sent in MQTT")
    return len(data).to_bytes(2, "big") + data


def encode_text(text: str) -> bytes:
    """A UTF-8 string (1.5.4). Raises `BrokerError` for one that is too long or no Unicode."""
    try:
        return encode_binary(text.encode())
    except UnicodeEncodeError:
        raise BrokerError("a text with half of a surrogate pair cannot be sent in MQTT") from None


class Cursor:
    """Takes fields off the front of a packet's body; whatever is not there raises `MalformedPacket`."""

    def __init__(self, body: bytes, what: str) -> None:
        """``what`` names the packet in errors: "a CONNACK"."""
        self._body = body
        self._at = 0
        self._what = what

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._body)

    def malformed(self, why: str) -> MalformedPacket:
        """An error about this packet: "a CONNACK that ..."."""
        return MalformedPacket(f"{self._what} that {why}")

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._at + size
        if end > len(self._body):
            raise self.malformed("is cut short")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        """A big-endian integer of ``size`` bytes (1.5.2, 1.5.3)."""
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        """Bytes after their number."""
        return self.take(self.number(2))

    def text(self) -> str:
        """A UTF-8 string."""
        try:
            return self.binary().decode()
        except UnicodeDecodeError:
            raise self.malformed("holds a text that is no UTF-8") from None

    def varint(self) -> int:
        """A variable byte integer."""
        try:
            value, self._at = decode_varint(self._body, self._at)
        except IndexError:
            raise self.malformed("is cut short") from None
        return value

    def part(self, size: int) -> Cursor:
        """A cursor over the next ``size`` bytes alone."""
        return Cursor(self.take(size), self._what)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        """Nothing may be left."""
        if self:
            raise self.malformed("is longer than what it holds")
