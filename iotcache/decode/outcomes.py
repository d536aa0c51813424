"""What can become of a message besides its readings: a dead letter, a part of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from iotcache.model import DeadLetter, Reading
from iotcache.model.messages import KEPT_BYTES, PAYLOAD_LIMIT_BYTES
from iotcache.text import printable

_REASON_LIMIT: Final = 300


class Refused(Exception):
    """Why a payload is no reading; the text is the dead letter's reason."""


class PartlyDecoded(Struct, frozen=True):
    """A message of unrelated measurements, some of which cannot be kept."""

    readings: list[Reading]
    dead_letter: DeadLetter
    """The whole message, with the reason for what was left out."""


class NothingInIt(Struct, frozen=True):
    """A message of a form that is read, of which nothing was used: no mistake, and no reading either."""

    topic: str
    reason: str
    """Safe to show."""


def dead_letter(
    topic: str, payload: bytes, reason: str, received_us: int, size: int | None = None
) -> DeadLetter:
    """A dead letter that any store can hold: no NUL in its texts, a payload of bounded size.

    ``size`` is that of the whole payload when ``payload`` is not all of it.
    """
    if size is None:
        size = len(payload)
    if len(payload) > PAYLOAD_LIMIT_BYTES:
        payload = payload[:KEPT_BYTES]
    truncated = size != len(payload)
    reason = printable(reason, _REASON_LIMIT)
    return DeadLetter(topic.replace("\0", "\\0"), payload, reason, received_us, truncated)


def partly(
    readings: list[Reading], problems: list[str], keep: Callable[[str], DeadLetter], what: str = "values"
) -> list[Reading] | PartlyDecoded:
    """The readings, with the dead letter that ``keep`` makes of what is said of the problems beside them.

    Raises `Refused` when there are problems and no readings.
    """
    if not problems:
        return readings
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    if not readings:
        raise Refused(problems[0] + more)
    reason = f"{len(readings):,} {what} are stored, {len(problems):,} cannot be: {problems[0]}{more}"
    return PartlyDecoded(readings, keep(reason))
