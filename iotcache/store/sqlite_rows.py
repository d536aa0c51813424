"""Readings and values as rows of the SQLite tables, and back with their types."""

from __future__ import annotations

from math import isfinite
from typing import Any

from iotcache.model import Reading, Value
from iotcache.store.rows import INT64_MAX, INT64_MIN, NO_SEQ, Known, check_range, give_text, keep_text, odd_of

Row = tuple[int, int, int, str, float | int | str | bytes, int, str | None]
"""A row of the history; its first four columns are the key."""


def reading_row(reading: Reading, known: Known) -> Row:
    """A reading as its row in the history. Raises `StoreError` (not retryable) for one that has none."""
    # Made for every reading, so what is next to always so is looked for here, and the rest left to others.
    ts_us, seq, boot, value = reading.ts_us, reading.seq, reading.boot, reading.value
    received_us = reading.received_us
    if not (0 <= ts_us <= INT64_MAX and 0 <= received_us <= INT64_MAX and 0 <= (seq or 0) <= INT64_MAX):
        check_range(reading)
    if type(value) is not float or not isfinite(value):
        value = keep_value(value)  # type: ignore[assignment]
    if seq is None:
        odd = odd_of(reading, known)
        return known.id, ts_us, NO_SEQ, "", value, received_us, odd
    odd = None
    if reading.unit != known.unit or reading.site != known.site:
        odd = odd_of(reading, known)
    return known.id, ts_us, seq, boot if boot.isalnum() else keep_text(boot), value, received_us, odd


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
