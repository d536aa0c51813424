"""When two readings are the same one (`iotcache.model.Reading`), and what becomes of those that contradict.

A reading is known again by its key: series, time, boot and number. One that has a number and no time of its
own is stamped at each receipt, and has another key when it is delivered again: it is known by boot, number
and value among those stamped in the `LOOK_BACK_US` before it. A number that comes again with another value,
or with another time of the sender's own, is another reading: counters begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from iotcache.clock import utc_text
from iotcache.model import DeadLetter, Reading, Value, same_value
from iotcache.text import printable

LOOK_BACK_US: Final = 7 * 86_400_000_000
"""How long after its first receipt a message may come again: what a broker keeps for a session."""
CONFLICT: Final = "another value is stored under the same identity"
"""What the reason of such a dead letter begins with."""
_SHOWN: Final = 60


def conflict(reading: Reading, stored: Value) -> DeadLetter:
    """The dead letter of a reading whose identity is taken by ``stored``. The same one again is the same."""
    number = "" if reading.seq is None else f", number {reading.seq}"
    boot = f" of boot {printable(reading.boot, _SHOWN)}" if reading.boot else ""
    reason = (
        f"{CONFLICT} ({utc_text(reading.ts_us)}{number}{boot}): "
        f"stored is {_shown(stored)}, this one says {_shown(reading.value)}"
    )
    topic = f"{reading.device}/{reading.sensor}".replace("\0", "\\0")
    try:
        payload = msgspec.json.encode(replace(reading, received_us=0, interval_s=0.0))
    except (msgspec.MsgspecError, UnicodeEncodeError):  # a text that is no UTF-8
        payload = repr(reading).encode("utf-8", "backslashreplace")
    return DeadLetter(topic, payload, reason, reading.received_us or reading.ts_us)


def _shown(value: Value) -> str:
    return printable(repr(value), _SHOWN)


class Stamps:
    """The stamped readings of one batch, oldest first: which of them are deliveries of the same one."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, int], list[tuple[int, Value]]] = {}

    def note(self, identity: tuple[int, str, int], ts_us: int, value: Value) -> None:
        """A reading of this series, boot and number is there."""
        self._seen.setdefault(identity, []).append((ts_us, value))

    def repeats(self, identity: tuple[int, str, int], ts_us: int, value: Value) -> bool:
        """Whether one with this value was stamped before."""
        return is_repeated(self._seen.get(identity, ()), ts_us, value)


def is_repeated(earlier: Iterable[tuple[int, Value]], ts_us: int, value: Value) -> bool:
    """Whether one of ``earlier`` (time and value) is a delivery of the reading of this time and value."""
    return any(
        known_us < ts_us and known_us >= ts_us - LOOK_BACK_US and same_value(known, value)
        for known_us, known in earlier
    )
