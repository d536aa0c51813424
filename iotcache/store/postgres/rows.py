"""Values as columns of the PostgreSQL tables, and back with their types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from struct import Struct
from typing import Any, Final

from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading, Value
from iotcache.store.rows import SeriesRow, escape_text, row_key

_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_KEY: Final = Struct(">hiqiqiqi").pack
_PLAIN_REST: Final = Struct(">idiiqi").pack
_DOUBLE: Final = Struct(">id").pack
_LONG: Final = Struct(">iq").pack
_LENGTH: Final = Struct(">i").pack


def encode_value(value: Value) -> tuple[float | None, str | None]:
    """A value as ``(number, exact)``."""
    if type(value) is float:
        return value, None
    exact = json.dumps(value)
    if isinstance(value, str):
        return None, exact
    try:
        return float(value), exact
    except OverflowError:
        return None, exact


def decode_value(number: float | None, exact: str | None) -> Value:
    """The value that `encode_value` was given. Raises `StoreError` for a row that another program wrote."""
    if exact is not None:
        value: Value = json.loads(exact)
        return value
    if number is None:
        raise StoreError(
            "a reading in the store has no value: another program wrote to its tables", retryable=False
        )
    return number


ReadingRow = tuple[int, int, int, str, float | None, str | None, int, str | None, StoredReading]
"""A row of the history, with the reading that it came of; its first four columns are the key."""


def reading_row(
    reading: Reading, known: SeriesRow
) -> tuple[int, int, int, str, float | None, str | None, int, str | None]:
    """A reading as its row in the history. Raises `StoreError` (not retryable) for numbers beyond 64 bits."""
    series_id, ts_us, seq, boot, overrides = row_key(reading, known)
    value = reading.value
    number, exact = (value, None) if type(value) is float else encode_value(value)
    return series_id, ts_us, seq, boot, number, exact, reading.received_us, overrides


def copy_rows(rows: Iterable[ReadingRow]) -> bytes:
    """Rows of the history as COPY takes them.

    Source: PostgreSQL's documentation, "COPY", binary format: each column is its length (-1 for NULL) and its
    bytes, all in network order.
    """
    parts = [_COPY_HEAD]
    for series_id, ts_us, seq, boot_text, number, exact, received_us, overrides, _ in rows:
        boot = boot_text.encode()
        parts.append(_KEY(8, 8, series_id, 8, ts_us, 8, seq, len(boot)))
        parts.append(boot)
        if exact is None and overrides is None:
            parts.append(_PLAIN_REST(8, number, -1, 8, received_us, -1))
        else:
            parts.append(_NULL if number is None else _DOUBLE(8, number))
            parts.append(_text(exact))
            parts.append(_LONG(8, received_us))
            parts.append(_text(overrides))
    parts.append(_COPY_END)
    return b"".join(parts)


def _text(text: str | None) -> bytes:
    if text is None:
        return _NULL
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded


def arrays(rows: Sequence[Sequence[Any]], kinds: str) -> list[str]:
    """The first columns of ``rows`` as arrays, by their kinds: ``n`` for numbers, ``t`` for texts."""
    columns = islice(zip(*rows, strict=True), len(kinds))
    return [
        numbers_array(column) if kind == "n" else texts_array(column)
        for kind, column in zip(kinds, columns, strict=True)
    ]


def numbers_array(column: Iterable[float | None]) -> str:
    """A column of numbers as PostgreSQL's array text: psycopg's own list dumper takes ten times as long.

    Source: PostgreSQL's documentation, "Arrays", array input and output syntax.
    """
    numbers = list(column)
    if None in numbers:
        return "{" + ",".join(["NULL" if number is None else repr(number) for number in numbers]) + "}"
    return f"{{{str(numbers)[1:-1]}}}"


def texts_array(column: Iterable[str | None]) -> str:
    """A column of texts as PostgreSQL's array text, every one quoted."""
    texts = list(column)
    # Most columns have few different texts, if any.
    quoted = {text: "NULL" if text is None else _quoted(text) for text in set(texts)}
    return "{" + ",".join(map(quoted.__getitem__, texts)) + "}"


def _quoted(text: str) -> str:
    if text.isalnum():
        return f'"{text}"'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def series_arrays(series: Sequence[Series]) -> tuple[str, str]:
    """Devices and sensors as two arrays."""
    return (
        texts_array(escape_text(device) for device, _ in series),
        texts_array(escape_text(sensor) for _, sensor in series),
    )
