"""Readings and values as rows of the SQLite tables, and back with their types."""

from __future__ import annotations

from math import isfinite
from typing import Any

from iotcache.model import Reading, Value
from iotcache.store.rows import INT64_MAX, INT64_MIN, SeriesRow, give_text, keep_text, keyed

Row = tuple[int, int, int, str, float | int | str | bytes, int, str | None]
"""A row of the history; its first four columns are the key."""


def reading_row(reading: Reading, known: SeriesRow) -> Row:
    """A reading as its row in the history. Raises `StoreError` (not retryable) for one that has none."""
    series_id, ts_us, seq, boot, odd = keyed(reading, known)
    value = reading.value
    kept = value if type(value) is float and isfinite(value) else keep_value(value)
    return series_id, ts_us, seq, boot, kept, reading.received_us, odd


def keep_value(value: Value) -> float | int | str | bytes:
    """A value as SQLite keeps it with its type: what it has no type for is a BLOB that spells it."""
    if type(value) is float:
        return value if isfinite(value) else repr(value).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else hex(value).encode()
    return keep_text(value) if isinstance(value, str) else value


def give_value(kept: Any) -> Value:
    """The value that `keep_value` was given."""
    if isinstance(kept, str):
        return give_text(kept)
    if isinstance(kept, bytes):
        if kept in (b"true", b"false"):
            return kept == b"true"
        return int(kept, 16) if b"x" in kept else float(kept)
    number: float | int = kept
    return number
