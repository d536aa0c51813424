"""The settings seen as a flat list of dotted keys, each with its type and default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from iotcache.config.schema import Settings

SECRETS = frozenset({"broker.password", "cache.password", "store.password", "http.token", "alerting.webhook"})
"""Keys whose values are never shown."""
URLS = frozenset({"broker.url", "store.url"})
"""Keys whose values may hold a password."""


class SettingField(Struct, frozen=True):
    """One setting."""

    path: str
    type: Any
    default: Any
    range: Meta | None = None
    """What a number may be."""


@cache
def fields() -> Mapping[str, SettingField]:
    """Every setting by its dotted key."""
    return {field.path: field for field in _walk(Settings, "")}


@cache
def sections() -> frozenset[str]:
    """Dotted names of the tables."""
    return frozenset(path.rpartition(".")[0] for path in fields() if "." in path)


def _walk(kind: type[Struct], prefix: str) -> Iterator[SettingField]:
    for item in msgspec.structs.fields(kind):
        if isinstance(item.type, type) and issubclass(item.type, Struct):
            yield from _walk(item.type, f"{prefix}{item.name}.")
            continue
        default = item.default if item.default is not NODEFAULT else item.default_factory()
        kind, limits = item.type, None
        if get_origin(kind) is Annotated:
            kind, limits = get_args(kind)
        yield SettingField(f"{prefix}{item.name}", kind, default, limits)


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the known name that is most like ``name``, or nothing."""
    known, name = list(known), name[:100]
    import difflib  # for mistakes only: every command would load it

    matches = difflib.get_close_matches(name, known, 1, 0.6)
    if not matches:
        # A key in the wrong table is told by its last part.
        last = name.rpartition(".")[2]
        matches = [one for one in known if one.rpartition(".")[2] == last][:1]
    return f"; did you mean {matches[0]}?" if matches else ""
