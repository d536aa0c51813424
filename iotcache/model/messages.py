"""An MQTT message as it was received, and how much of one is kept."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

PAYLOAD_LIMIT_BYTES: Final = 1024 * 1024
"""Larger payloads are taken off the wire, so that they can be acknowledged, but only their head is kept."""
KEPT_BYTES: Final = 64 * 1024
"""How much of such a payload is kept."""


class Message(Struct, frozen=True, gc=False):
    """One PUBLISH as it came in."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    """Packet identifier, 0 for QoS 0. It means something on the connection ``epoch`` only."""
    epoch: int
    received_us: int
    """Different for every message of a connection: a reading without a time of its own is known by it."""
    size: int
    """Bytes of the whole payload: more than ``len(payload)`` when only its head was kept (properties that
    leave it no room count as well), and -1 when it could not be read."""
    fault: str = ""
    """Why it could not be read; ``payload`` is what there is of the packet then."""
