"""Messages that could not be taken in."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from iotcache.model.messages import KEPT_BYTES

HEAD_KEPT: Final = f"(only its first {KEPT_BYTES:,} are kept here)"
"""What the reason of a truncated dead letter ends with: a store keeps no more of that."""


class DeadLetter(Struct, frozen=True, gc=False):
    """A message that could not be decoded, kept whole with a reason that a person can act on."""

    topic: str
    payload: bytes
    reason: str
    received_us: int

    @property
    def truncated(self) -> bool:
        """Whether only the head of the payload was kept."""
        return len(self.payload) == KEPT_BYTES and self.reason.endswith(HEAD_KEPT)
