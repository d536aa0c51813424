"""Values as columns of the PostgreSQL tables, and back with their types."""

from __future__ import annotations

import json

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
