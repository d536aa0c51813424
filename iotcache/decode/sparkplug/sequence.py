"""The sequence numbers of one edge node, and which of its messages are missing.

Every message of an edge node but its death has a number from 0 to 255, one more than the one before. A host
application that sees a gap waits for a little, as messages may come in another order, and then asks for the
births again (Eclipse Sparkplug 3.0.0, section 5.10, "Sparkplug Host Application Message Ordering").
"""

from __future__ import annotations

from typing import Final

_NUMBERS: Final = 256
_AHEAD: Final = 128
"""A number so far ahead of the last one is rather one that comes late."""


class Sequence:
    """What was received of one edge node since its birth."""

    __slots__ = ("_last", "_missing", "_noted_us", "_since_us")

    def __init__(self) -> None:
        self._last: int | None = None
        self._missing: set[int] = set()
        self._since_us = 0
        self._noted_us = -1
        """When the newest message was received that was noted."""

    def begin(self, number: int | None, received_us: int) -> None:
        """The birth of the edge node has this number; what was missing before it matters no more."""
        self._last, self._noted_us = number, received_us
        self._missing.clear()

    def note(self, number: int | None, received_us: int) -> None:
        """A message has this number; one without is nothing to go by, and one read again was noted."""
        if number is None or self._last is None or not 0 <= number < _NUMBERS:
            return
        if received_us <= self._noted_us:
            return
        self._noted_us = received_us
        if number in self._missing:
            self._missing.discard(number)
            return
        ahead = (number - self._last) % _NUMBERS
        if not ahead:  # the same one again
            return
        if ahead >= _AHEAD:
            ahead = 2  # one of a session that began unseen: something is missing, whatever it was
        if ahead > 1 and not self._missing:
            self._since_us = received_us
        self._missing.update((number - n) % _NUMBERS for n in range(1, ahead))
        self._last = number

    def is_overdue(self, now_us: int, tolerance_us: int) -> bool:
        """Whether a message is missing for so long that it will not come; told once."""
        if not self._missing or now_us - self._since_us < tolerance_us:
            return False
        self._missing.clear()
        return True
