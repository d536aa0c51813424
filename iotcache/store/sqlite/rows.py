"""Readings and values as rows of the SQLite tables, and back with their types."""

from __future__ import annotations

from math import isfinite
from typing import Any

from iotcache.model import Reading, Value
from iotcache.store.rows import INT64_MAX, INT64_MIN, SeriesRow, escape_text, row_key, unescape_text

Row = tuple[int, int, int, str, float | int | str | bytes, int, str | None]
"""A row of the history; its first four columns are the key."""


def reading_row(reading: Reading, known: SeriesRow) -> Row:
    """A reading as its row in the history. Raises `StoreError` (not retryable) for numbers beyond 64 bits."""
    series_id, ts_us, seq, boot, overrides = row_key(reading, known)
    value = reading.value
    stored = value if type(value) is float and isfinite(value) else encode_value(value)
    return series_id, ts_us, seq, boot, stored, reading.received_us, overrides


def encode_value(value: Value) -> float | int | str | bytes:
    """A value as SQLite stores it with its type; types that SQLite lacks become a BLOB of their text."""
    if type(value) is float:
        return value if isfinite(value) else repr(value).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else hex(value).encode()
    return escape_text(value) if isinstance(value, str) else value


def decode_value(stored: Any) -> Value:
    """The value that `encode_value` was given."""
    if isinstance(stored, str):
        return unescape_text(stored)
    if isinstance(stored, bytes):
        if stored in (b"true", b"false"):
            return stored == b"true"
        return int(stored, 16) if b"x" in stored else float(stored)
    number: float | int = stored
    return number
