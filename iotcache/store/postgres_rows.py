"""Values as columns of the PostgreSQL tables, and back with their types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from iotcache.model import Value


def keep_value(value: Value) -> tuple[float | None, str | None]:
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


def give_value(number: float | None, exact: str | None) -> Value:
    """The value that `keep_value` was given."""
    if exact is not None:
        value: Value = json.loads(exact)
        return value
    assert number is not None
    return number


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
    return "{" + ",".join(["NULL" if number is None else repr(number) for number in column]) + "}"


def texts_array(column: Iterable[str | None]) -> str:
    """A column of texts as PostgreSQL's array text, every one quoted."""
    return "{" + ",".join(["NULL" if text is None else _quoted(text) for text in column]) + "}"


def _quoted(text: str) -> str:
    if text.isalnum():
        return f'"{text}"'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
