"""Messages that could not be taken in."""

from __future__ import annotations

from msgspec import Struct


class DeadLetter(Struct, frozen=True, gc=False):
    """A message that could not be decoded, with a reason that a person can act on."""

    topic: str
    payload: bytes
    reason: str
    received_us: int
    truncated: bool = False
    """``payload`` is not all that was sent: only its head was kept, or it could not be told from the rest of
    its packet. It can be looked at, and not decoded again."""
