"""PUBLISH as it is sent (3.3): the one packet of which there are thousands a second."""

from __future__ import annotations

from typing import Final

from iotcache.mqtt.codec.primitives import PacketType, encode_varint

RETAIN: Final = 1
DUP: Final = 8
"""Flags of a PUBLISH (3.3.1)."""
_HEAD: Final = PacketType.PUBLISH << 4


def encode_publish(
    topic: bytes,
    payload: bytes,
    qos: int,
    packet_id: int,
    version: int,
    *,
    flags: int = 0,
    properties: bytes = b"",
) -> bytes:
    """A PUBLISH packet. ``packet_id`` is used for QoS 1 and 2; ``flags``: `RETAIN`, `DUP`.

    ``properties`` are encoded already: they are the same in many packets.
    """
    size = len(topic)
    length = 2 + size + len(payload)
    if qos:
        length += 2
        tail = packet_id.to_bytes(2, "big")
    else:
        tail = b""
    if version == 5:
        tail += encode_varint(len(properties)) + properties if properties else b"\x00"
        length += len(tail) - (2 if qos else 0)
    head = _HEAD | qos << 1 | flags
    if length < 128:
        return b"%c%c%c%c%b%b%b" % (head, length, size >> 8, size & 255, topic, tail, payload)
    if length < 16_384:
        return b"%c%c%c%c%c%b%b%b" % (
            head, length & 127 | 128, length >> 7, size >> 8, size & 255, topic, tail, payload,
        )  # fmt: skip
    return bytes([head]) + encode_varint(length) + size.to_bytes(2, "big") + topic + tail + payload
