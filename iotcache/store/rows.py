"""What both stores share: how texts and rows are written, and which reading is the newer one.

Names come from devices and may contain anything. Neither database stores every Python text unchanged
(PostgreSQL accepts no NUL, neither accepts a lone surrogate), so a backslash escapes those, and itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from iotcache.errors import StoreError
from iotcache.model import (
    DeadLetter,
    Document,
    DocumentKind,
    DocumentName,
    Reading,
    Series,
    Severity,
    StoredReading,
    Value,
)
from iotcache.model.alerts import Alert, AlertState
from iotcache.store.base import StoredDeadLetter
from iotcache.text import printable

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
NO_SEQ: Final = INT64_MIN
"""Stands for "no sequence number" in a column that is part of a key."""
MAX_NUMBER: Final = 1 << 62
"""Above the number of every dead letter."""

_UNSTORABLE = re.compile("[\\\\\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|0|u[0-9a-f]{4})")


Names = tuple[str, str]
"""Device and sensor, as a `Series` holds them; a plain tuple is made in a fifth of the time."""


class SeriesRow(Struct, gc=False):
    """A series as stored: a reading that has the same site and unit does not repeat them."""

    id: int
    site: str
    unit: str


def escape_text(text: str) -> str:
    """``text`` as a database can store it; `unescape_text` reverses it."""
    if text.isalnum() or not _UNSTORABLE.search(text):
        return text
    return _UNSTORABLE.sub(_escape, text)


def unescape_text(stored: str) -> str:
    """The text that `escape_text` was given."""
    return _ESCAPED.sub(_unescape, stored) if "\\" in stored else stored


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
    """The newest of each series in a batch; historical readings are never it."""
    best: dict[Names, StoredReading] = {}
    for stored in readings:
        reading = stored.reading
        if reading.historical:
            continue
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


def encode_overrides(reading: Reading, known: SeriesRow) -> str | None:
    """What of a reading differs from its series and its key, as JSON; ``None`` for most readings."""
    boot_lost = reading.seq is None and reading.boot != ""
    if reading.unit == known.unit and reading.site == known.site and not boot_lost:
        return None
    overrides = {}
    if reading.unit != known.unit:
        overrides["unit"] = escape_text(reading.unit)
    if reading.site != known.site:
        overrides["site"] = escape_text(reading.site)
    if boot_lost:
        overrides["boot"] = escape_text(reading.boot)
    return msgspec.json.encode(overrides).decode()


def row_key(reading: Reading, known: SeriesRow) -> tuple[int, int, int, str, str | None]:
    """A reading's primary key, and its `encode_overrides`.

    Without a sequence number the boot is no part of the key. Raises `StoreError` (not retryable) for numbers
    beyond 64 bits.
    """
    # Runs for every reading: the usual case is tested here, without a call.
    ts_us, seq, boot, received_us = reading.ts_us, reading.seq, reading.boot, reading.received_us
    if not (0 <= ts_us <= INT64_MAX and 0 <= received_us <= INT64_MAX and 0 <= (seq or 0) <= INT64_MAX):
        check_range(reading)
    if seq is None:
        return known.id, ts_us, NO_SEQ, "", encode_overrides(reading, known)
    same = reading.unit == known.unit and reading.site == known.site
    overrides = None if same else encode_overrides(reading, known)
    return known.id, ts_us, seq, boot if boot.isalnum() else escape_text(boot), overrides


def dead_letter_row(dead_letter: DeadLetter) -> tuple[int, str, str, bytes, bytes, bool]:
    """A dead letter as ``received_us, topic, reason, payload``, both's digest, ``truncated``."""
    topic = escape_text(dead_letter.topic)
    from hashlib import blake2b  # OpenSSL comes with it: not for programs that only read

    digest = blake2b(topic.encode() + b"\0" + dead_letter.payload, digest_size=16).digest()
    return (
        dead_letter.received_us, topic, escape_text(dead_letter.reason), dead_letter.payload, digest,
        dead_letter.truncated,
    )  # fmt: skip


key_order: Final = itemgetter(0, 1)
"""Orders rows that begin with a primary key: neighbours in the table are written one after the other, and two
workers lock the same rows in the same order."""


def history_reading(
    series: Series, value: Value, key: tuple[int, int, str], rest: tuple[int, str | None, str, str]
) -> Reading:
    """A reading from its columns.

    ``key`` is ``ts_us, seq, boot``; ``rest`` is ``received_us, overrides`` and the series' ``site, unit``.
    """
    ts_us, seq, boot = key
    received_us, overrides, site, unit = rest
    if overrides:
        differs: dict[str, str] = msgspec.json.decode(overrides)
        site, unit, boot = differs.get("site", site), differs.get("unit", unit), differs.get("boot", boot)
    return Reading(
        series.device, series.sensor, value, ts_us, unescape_text(unit), unescape_text(site),
        None if seq == NO_SEQ else seq, unescape_text(boot), received_us,
    )  # fmt: skip


def of_site(rows: Iterable[tuple[Any, ...]], site: str) -> Iterable[tuple[Any, ...]]:
    """Those of ``rows``, which end in ``overrides`` and the series' site, that were sent from ``site``."""
    for row in rows:
        overrides = row[-2]
        own_site = msgspec.json.decode(overrides).get("site", row[-1]) if overrides else row[-1]
        if unescape_text(own_site) == site:
            yield row


def row_dead_letter(row: tuple[Any, ...]) -> StoredDeadLetter:
    """The dead letter of a row ``id, times, topic, payload, reason, received_us, truncated``."""
    number, times, *columns = row
    return StoredDeadLetter(number, dead_letter_of(columns), times)


def dead_letter_of(columns: Sequence[Any]) -> DeadLetter:
    """The dead letter of ``topic, payload, reason, received_us, truncated``."""
    topic, payload, reason, received_us, truncated = columns
    return DeadLetter(
        unescape_text(topic), bytes(payload), unescape_text(reason), received_us, bool(truncated)
    )


AlertRow = tuple[str, str, str, str, int, str, float | None, str, str, int, int, str]


def alert_row(alert: Alert) -> AlertRow:
    """An alert as its row."""
    return (
        escape_text(alert.name), escape_text(alert.subject), alert.severity.value, alert.state.value,
        alert.since_us, escape_text(alert.text), alert.value, alert.kind, escape_text(alert.site),
        alert.changed_us, alert.acknowledged_us, escape_text(alert.acknowledged_by),
    )  # fmt: skip


def row_alert(row: tuple[Any, ...]) -> Alert:
    """The alert of a row of the table, whose first column is the row's own number."""
    name, subject, severity, state, since_us, body, value, kind, site, changed_us, at_us, by = row[1:13]
    return Alert(
        name=unescape_text(name),
        subject=unescape_text(subject),
        severity=Severity(severity),
        state=AlertState(state),
        since_us=since_us,
        text=unescape_text(body),
        value=value,
        kind=kind,
        site=unescape_text(site),
        changed_us=changed_us,
        acknowledged_us=at_us,
        acknowledged_by=unescape_text(by),
    )


DocumentRow = tuple[str, str, int, str, str, int]


def document_row(document: Document) -> DocumentRow:
    """A document as its row. Raises `StoreError` (not retryable) for numbers beyond 64 bits."""
    for number in (document.version, document.at_us):
        if not INT64_MIN <= number <= INT64_MAX:
            raise StoreError(
                f"the {document.kind} of {printable(document.device, 60)} has a number beyond 64 bits",
                retryable=False,
            )
    return (
        escape_text(document.device), document.kind.value, document.version, document.content,
        escape_text(document.site), document.at_us,
    )  # fmt: skip


def row_document(row: tuple[Any, ...]) -> Document:
    """The document that `document_row` made ``row`` of."""
    device, kind, version, content, site, at_us = row
    return Document(unescape_text(device), DocumentKind(kind), version, content, unescape_text(site), at_us)


def highest_versions(documents: Iterable[Document]) -> list[Document]:
    """The highest version of each document, in the order of their names; of equal versions the first."""
    best: dict[DocumentName, Document] = {}
    for document in documents:
        other = best.get(document.name)
        if other is None or document.version > other.version:
            best[document.name] = document
    return [best[name] for name in sorted(best)]


def is_same_version(document: Document, stored: Document | None) -> bool:
    """Whether ``stored`` has the version and content of ``document``."""
    return stored is not None and (stored.version, stored.content) == (document.version, document.content)


def names_after(above: DocumentName | None) -> tuple[str, str]:
    """The row key after which a page of names begins."""
    return ("", "") if above is None else (escape_text(above.device), above.kind.value)
