"""A mapping as TOML that can be pasted into a configuration, whatever devices call themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from iotcache.decode.mapping.settings import IngestMapping

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_FIRST: Final = ("name", "topic")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def mapping_text(mapping: IngestMapping, notes: Mapping[str, str] | None = None) -> str:
    """``[[ingest.mapping]]`` and what differs from the defaults; ``notes`` are comments after its keys."""
    lines = ["[[ingest.mapping]]"]
    for item in sorted(structs.fields(type(mapping)), key=lambda one: one.name not in _FIRST):
        value = getattr(mapping, item.name)
        if item.required or value != item.default:
            if not value and isinstance(value, dict | tuple):
                continue
            note = (notes or {}).get(item.name, "")
            lines.append(f"{item.name} = {_value(value)}{f'  # {note}' if note else ''}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A basic string of TOML in which every character prints."""
    parts = []
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            parts.append(_ESCAPES[char])
        elif char.isprintable() and not 0xD800 <= code < 0xE000:
            parts.append(char)
        else:
            parts.append(f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}")
    return f'"{"".join(parts)}"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    return quoted(value)


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else quoted(text)
