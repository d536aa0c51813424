"""Nested objects and arrays as sensors with values: ``{"DS1": {"Temp": 21}}`` has ``DS1/Temp``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from iotcache.decode.mapping.paths import Step

VALUE_MEMBER: Final = "value"
"""A member of this name has the name of the object that it is in."""
NAMELESS: Final = "_"
"""What stands for a member whose name is empty."""
UNIT_MEMBERS: Final = ("unit", "units", "uom", "unit_of_measurement")
"""Beside a `VALUE_MEMBER`: its unit."""


class Leaf(NamedTuple):
    """A value within a payload."""

    name: str
    value: Any
    """A number, a truth value or a text."""
    unit: str | None


def leaves(
    content: Any, depth: int, taken: frozenset[tuple[Step, ...]] = frozenset(), name: str = ""
) -> Iterator[Leaf]:
    """The values in ``content`` down to ``depth`` levels; those at the paths ``taken`` are something else.

    Nulls and binary data are nothing.
    """
    members: Iterator[tuple[Step, Any]]
    if isinstance(content, dict):
        members = ((key if isinstance(key, str) else str(key), one) for key, one in content.items())
        own = content.get(VALUE_MEMBER)
        pair = own is not None and not isinstance(own, dict | list | bytes) and (VALUE_MEMBER,) not in taken
        unit_at = next((key for key in UNIT_MEMBERS if isinstance(content.get(key), str)), "") if pair else ""
    else:
        members, pair, unit_at = enumerate(content), False, ""
    for step, one in members:
        if one is None or isinstance(one, bytes) or (step,) in taken:
            continue
        if pair and step == VALUE_MEMBER:
            yield Leaf(name, one, content[unit_at] if unit_at else None)
            continue
        if unit_at and step == unit_at:
            continue
        part = str(step) or NAMELESS
        below = f"{name}/{part}" if name else part
        if not isinstance(one, dict | list):
            yield Leaf(below, one, None)
        elif depth > 1:
            inner = frozenset(path[1:] for path in taken if path[0] == step and len(path) > 1)
            yield from leaves(one, depth - 1, inner, below)
