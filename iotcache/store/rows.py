"""What both stores agree on about their rows: how names are written, which reading is the newer one.

Names come from devices and may hold anything. Neither database keeps every Python text as it is
(PostgreSQL knows no NUL, neither takes a lone surrogate), so a backslash escapes those, and itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from operator import itemgetter
from typing import Final

import msgspec
from msgspec import Struct

from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading, Value
from iotcache.text import printable

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
NO_SEQ: Final = INT64_MIN
"""Stands for "no sequence number" in a column that is part of a key."""

_ODD = re.compile("[\\\\\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|0|u[0-9a-f]{4})")


Names = tuple[str, str]
"""Device and sensor: what a `Series` is, and made in a fifth of the time."""


class SeriesRow(Struct, gc=False):
    """A series as its row says: readings that agree need not repeat it."""

    id: int
    site: str
    unit: str


def keep_text(text: str) -> str:
    """``text`` as a database can keep it; `give_text` is the way back."""
    if text.isalnum() or not _ODD.search(text):
        return text
    return _ODD.sub(_escape, text)


def give_text(kept: str) -> str:
    """The text that `keep_text` was given."""
    return _ESCAPED.sub(_unescape, kept) if "\\" in kept else kept


def _escape(hit: re.Match[str]) -> str:
    char = hit[0]
    if char == "\\":
        return "\\\\"
    return "\\0" if char == "\x00" else f"\\u{ord(char):04x}"


def _unescape(hit: re.Match[str]) -> str:
    code = hit[1]
    if code == "\\":
        return "\\"
    return "\x00" if code == "0" else chr(int(code[1:], 16))


def seq_key(reading: Reading) -> int:
    return NO_SEQ if reading.seq is None else reading.seq


def age_key(reading: Reading) -> tuple[int, int, str]:
    """Orders the readings of one series, oldest first, the same in every worker and in SQL.

    Time decides; two readings of one instant are put in order by sequence number, then by boot, so that all
    workers agree on the newest, whichever they saw first.
    """
    return reading.ts_us, seq_key(reading), reading.boot


def newest_of(readings: Iterable[StoredReading]) -> dict[Names, StoredReading]:
    """The newest of each series in a batch."""
    best: dict[Names, StoredReading] = {}
    for stored in readings:
        reading = stored.reading
        names = reading.device, reading.sensor
        before = best.get(names)
        if before is not None:
            other = before.reading
            if reading.ts_us < other.ts_us:
                continue
            if reading.ts_us == other.ts_us and age_key(reading) <= age_key(other):
                continue
        best[names] = stored
    return best


def check_range(reading: Reading) -> None:
    """Raise `StoreError` (not retryable) when a number does not fit a database's 64 bits."""
    seq = reading.seq or 0
    for name, number in (("ts", reading.ts_us), ("seq", seq), ("received", reading.received_us)):
        if not INT64_MIN <= number <= INT64_MAX:
            raise StoreError(
                f"the {name} of a reading of {printable(reading.device, 60)}:{printable(reading.sensor, 60)} "
                "does not fit in 64 bits",
                retryable=False,
            )


def odd_of(reading: Reading, known: SeriesRow) -> str | None:
    """What of a reading differs from its series and its key, as JSON; mostly ``None``."""
    boot_lost = reading.seq is None and reading.boot != ""
    if reading.unit == known.unit and reading.site == known.site and not boot_lost:
        return None
    differs = {}
    if reading.unit != known.unit:
        differs["unit"] = keep_text(reading.unit)
    if reading.site != known.site:
        differs["site"] = keep_text(reading.site)
    if boot_lost:
        differs["boot"] = keep_text(reading.boot)
    return msgspec.json.encode(differs).decode()


def keyed(reading: Reading, known: SeriesRow) -> tuple[int, int, int, str, str | None]:
    """A reading's primary key, and its `odd_of`. Raises `StoreError` (not retryable) for one that has no row.

    Without a sequence number the boot is no part of the key.
    """
    # Asked for every reading, so what is next to always so is looked for here, and the rest left to others.
    ts_us, seq, boot, received_us = reading.ts_us, reading.seq, reading.boot, reading.received_us
    if not (0 <= ts_us <= INT64_MAX and 0 <= received_us <= INT64_MAX and 0 <= (seq or 0) <= INT64_MAX):
        check_range(reading)
    if seq is None:
        return known.id, ts_us, NO_SEQ, "", odd_of(reading, known)
    same = reading.unit == known.unit and reading.site == known.site
    odd = None if same else odd_of(reading, known)
    return known.id, ts_us, seq, boot if boot.isalnum() else keep_text(boot), odd


def letter_row(letter: DeadLetter) -> tuple[int, str, str, bytes, bytes]:
    """A dead letter as ``received_us, topic, reason, payload`` and a digest of topic and payload."""
    topic = keep_text(letter.topic)
    digest = hashlib.blake2b(topic.encode() + b"\0" + letter.payload, digest_size=16).digest()
    return letter.received_us, topic, keep_text(letter.reason), letter.payload, digest


key_order: Final = itemgetter(0, 1)
"""Orders rows that begin with a primary key: neighbours in the table are written one after the other, and
two workers lock the same rows in the same order."""


def history_reading(
    series: Series, value: Value, key: tuple[int, int, str], rest: tuple[int, str | None, str, str]
) -> Reading:
    """A reading from its columns: ``key`` is ``ts_us, seq, boot``, ``rest`` ``received_us, odd`` and the
    series' ``site, unit``."""
    ts_us, seq, boot = key
    received_us, odd, site, unit = rest
    if odd:
        differs: dict[str, str] = msgspec.json.decode(odd)
        site, unit, boot = differs.get("site", site), differs.get("unit", unit), differs.get("boot", boot)
    return Reading(
        series.device, series.sensor, value, ts_us, give_text(unit), give_text(site),
        None if seq == NO_SEQ else seq, give_text(boot), received_us,
    )  # fmt: skip
