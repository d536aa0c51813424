"""Readings and values as rows of the SQLite tables, and back with their types."""

from __future__ import annotations

import math
from typing import Any

from iotcache.model import Reading, Value
from iotcache.store.rows import INT64_MAX, INT64_MIN, Known, give_text, keep_text, odd_of, reading_key


def reading_row(reading: Reading, known: Known) -> tuple[Any, ...]:
    """A reading as its row in the history."""
    return (
        *reading_key(reading, known),
        keep_value(reading.value),
        reading.received_us,
        odd_of(reading, known),
    )


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
    """The value that `keep_value` was given."""
    if isinstance(kept, str):
        return give_text(kept)
    if isinstance(kept, bytes):
        if kept in (b"true", b"false"):
            return kept == b"true"
        return int(kept, 16) if b"x" in kept else float(kept)
    number: float | int = kept
    return number
