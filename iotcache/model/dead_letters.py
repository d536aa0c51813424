"""Messages that could not be taken in."""

from __future__ import annotations

from msgspec import Struct


class DeadLetter(Struct, frozen=True, gc=False):
    """A message that could not be decoded, kept whole with a reason that a person can act on."""

    topic: str
    payload: bytes
    reason: str
    received_us: int
