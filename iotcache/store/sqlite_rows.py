"""Readings and values as rows of the SQLite tables, and back with their types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from iotcache.model import Reading, Series, Value
from iotcache.store.rows import INT64_MAX, INT64_MIN, NO_SEQ, give_text, keep_text


class Known(msgspec.Struct, gc=False):
    """A series as its row says: readings that agree need not repeat it."""

    id: int
    site: str
    unit: str


def reading_key(reading: Reading, known: Known) -> tuple[int, int, int, str]:
    """A reading's primary key."""
    if reading.seq is None:
        return known.id, reading.ts_us, NO_SEQ, ""
    return known.id, reading.ts_us, reading.seq, keep_text(reading.boot)


def reading_row(reading: Reading, known: Known) -> tuple[Any, ...]:
    """A reading as its row; ``odd`` is filled only when it differs from its series."""
    odd = None
    if reading.unit != known.unit or reading.site != known.site or (reading.boot and reading.seq is None):
        differs = {}
        if reading.unit != known.unit:
            differs["unit"] = keep_text(reading.unit)
        if reading.site != known.site:
            differs["site"] = keep_text(reading.site)
        if reading.boot and reading.seq is None:
            differs["boot"] = keep_text(reading.boot)
        odd = msgspec.json.encode(differs).decode()
    value = keep_value(reading.value)
    return *reading_key(reading, known), value, reading.received_us, odd


def row_order(row: tuple[Any, ...]) -> tuple[int, int]:
    """Neighbours in the table are written one after the other: fewer pages are touched at random."""
    return row[0], row[1]


def reading_of(series: Series, row: Sequence[Any]) -> Reading:
    """The reading behind ``ts_us, seq, boot, value, received_us, odd`` and its series' ``site, unit``."""
    ts_us, seq, boot, value, received_us, odd, site, unit = row
    if odd:
        differs: dict[str, str] = msgspec.json.decode(odd)
        site, unit, boot = differs.get("site", site), differs.get("unit", unit), differs.get("boot", boot)
    return Reading(
        series.device, series.sensor, give_value(value), ts_us, give_text(unit), give_text(site),
        None if seq == NO_SEQ else seq, give_text(boot), received_us,
    )  # fmt: skip


def keep_value(value: Value) -> float | int | str | bytes:
    """A value as SQLite keeps it with its type: what it has no type for is a BLOB that spells it."""
    if type(value) is float:
        return value if math.isfinite(value) else repr(value).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else hex(value).encode()
    return keep_text(value) if isinstance(value, str) else value


def give_value(kept: Any) -> Value:
    if isinstance(kept, str):
        return give_text(kept)
    if isinstance(kept, bytes):
        if kept in (b"true", b"false"):
            return kept == b"true"
        return int(kept, 16) if b"x" in kept else float(kept)
    number: float | int = kept
    return number
