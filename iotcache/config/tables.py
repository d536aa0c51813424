"""Settings that are a list of tables (``[[alerts]]``), each a typed struct, or a table of texts with names of
their own (``[dashboard.keys]``); each mistake is one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from iotcache.config.fields import nearest
from iotcache.config.validation import describe
from iotcache.errors import ConfigError
from iotcache.text import printable

TABLES_LIMIT: Final = 1_000


def table_type(kind: Any) -> type[Struct] | None:
    """The struct of which a setting of type ``kind`` is a list; ``None`` for other settings."""
    if get_origin(kind) is not tuple:
        return None
    inner = get_args(kind)[0]
    return inner if isinstance(inner, type) and issubclass(inner, Struct) else None


def given_tables(path: str, kind: type[Struct], given: object, origin: str) -> tuple[Struct, ...]:
    """The tables of ``path`` as structs. Raises `ConfigError` that names place, value and what is allowed."""
    if isinstance(given, tuple) and all(isinstance(one, kind) for one in given):
        return given
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ConfigError(f"{path} ({origin}) is a list of tables: write [[{path}]] above the keys of each")
    if len(given) > TABLES_LIMIT:
        raise ConfigError(f"{path} ({origin}) has {len(given)} tables; {TABLES_LIMIT} are allowed")
    return tuple(_table(f"{path}[{n}]", kind, one, origin) for n, one in enumerate(given, 1))


def _table(place: str, kind: type[Struct], given: Mapping[str, Any], origin: str) -> Struct:
    items = {item.name: item for item in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        item = items.get(name)
        if item is None:
            where = f"the key {place}.{printable(name, 60)} ({origin})"
            raise ConfigError(f"{where} is not a setting{nearest(name, items)}")
        try:
            values[name] = msgspec.convert(value, item.type)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(value)
        except (msgspec.ValidationError, ValueError):
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            raise ConfigError(
                f"{place}.{name} ({origin}) is {printable(shown, 80)}: allowed is {describe(item.type)}"
            ) from None
    for name, item in items.items():
        if item.default is NODEFAULT and item.default_factory is NODEFAULT and name not in values:
            raise ConfigError(f"{place} ({origin}) has no {name}: it needs {describe(item.type)}")
    return kind(**values)


def is_texts(kind: Any) -> bool:
    """Whether a setting of type ``kind`` is a table of texts."""
    return get_origin(kind) is dict


def given_texts(path: str, given: object, origin: str) -> dict[str, str]:
    """The texts of ``path`` by name. ``a.b = "c"`` without quotes, a table in a table in TOML, is ``"a.b"``.

    Raises `ConfigError` that names place, value and what is allowed.
    """
    if not isinstance(given, dict):
        shown = f'"{given}"' if isinstance(given, str) else str(given)
        raise ConfigError(f"{path} ({origin}) is {printable(shown, 80)}: write [{path}] above its keys")
    values: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = list(given.items())
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting.extend((f"{name}.{inner}", one) for inner, one in value.items())
        elif not isinstance(value, str):
            place = f'{path}."{printable(name, 60)}"'
            raise ConfigError(f"{place} ({origin}) is {printable(str(value), 80)}: allowed is a text")
        else:
            values[name] = value
        if len(values) > TABLES_LIMIT:
            raise ConfigError(f"{path} ({origin}) has over {TABLES_LIMIT} texts")
    return values
