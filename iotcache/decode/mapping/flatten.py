"""Nested objects and arrays as sensors with values: ``{"DS1": {"Temp": 21}}`` has ``DS1/Temp``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from iotcache.decode.mapping.paths import Step

VALUE_MEMBER: Final = "value"
VALUE_MEMBERS: Final = (VALUE_MEMBER, "Value")
"""A member of such a name has the name of the object that it is in."""
BESIDE_A_UNIT: Final = ("val", "v", "reading")
"""Others that do so in an object that has a unit; elsewhere they are names of their own."""
NAMELESS: Final = "_"
"""What stands for a member whose name is empty."""
UNIT_MEMBERS: Final = (
    "unit", "units", "uom", "unit_of_measurement", "Unit", "Units", "UOM", "unitOfMeasurement",
)  # fmt: skip
"""Beside a value: its unit."""
NAME_MEMBERS: Final = (
    "name", "tag", "sensor", "parameter", "metric", "measurement", "label", "type", "Name", "Tag", "Type",
    "value_type", "valueType", "sensor_type", "sensorType", "sensor_name", "sensorName", "tagName",
)  # fmt: skip
"""In an array of objects: what each is of."""
ID_MEMBERS: Final = ("id", "key", "Id", "ID", "Key", "sensor_id", "sensorId", "sensorsId")
"""The same where there is a value beside it: other objects may have a new one in each message."""
_LARGEST_ID: Final = 65_535
"""A larger number is rather one of the message's own."""
_VALUES_BESIDE: Final = (*VALUE_MEMBERS, "v", "val")


class Leaf(NamedTuple):
    """A value within a payload."""

    name: str
    value: Any
    """A number, a truth value or a text."""
    unit: str | None
    ts: Any = None
    """Its own time as it stands in the payload; ``None`` where it has none."""


class Times(NamedTuple):
    """Where values have times of their own."""

    member: str = ""
    """The member that holds the time of the values beside and below it; none is looked for when empty."""
    ts: Any = None
    """The nearest one above."""


_NO_TIMES: Final = Times()


def leaves(
    content: Any,
    depth: int,
    taken: frozenset[tuple[Step, ...]] = frozenset(),
    name: str = "",
    times: Times = _NO_TIMES,
) -> Iterator[Leaf]:
    """The values in ``content`` down to ``depth`` levels; those at the paths ``taken`` are something else.

    Nulls and binary data are nothing.
    """
    if isinstance(content, list):
        yield from _of_array(content, depth, taken, name, times)
        return
    if times.member and (times.member,) not in taken:
        own_ts = content.get(times.member)
        if own_ts is not None and not isinstance(own_ts, dict | list):
            times = Times(times.member, own_ts)
            taken |= {(times.member,)}
    own = _value_member(content)
    if (own,) in taken:
        own = ""
    unit_at = next((key for key in UNIT_MEMBERS if isinstance(content.get(key), str)), "") if own else ""
    for key, one in content.items():
        step = key if isinstance(key, str) else str(key)
        if one is None or isinstance(one, bytes) or (step,) in taken:
            continue
        if own and step == own:
            yield Leaf(name, one, content[unit_at] if unit_at else None, times.ts)
        elif unit_at and step == unit_at:
            continue
        elif isinstance(one, dict | list):
            if depth > 1:
                yield from _below(one, step, depth, taken, _joined(name, step), times)
        else:
            yield Leaf(_joined(name, step), one, None, times.ts)


def _of_array(
    content: list[Any], depth: int, taken: frozenset[tuple[Step, ...]], name: str, times: Times
) -> Iterator[Leaf]:
    """The values of an array, named by their places, or by themselves where each has a name of its own."""
    naming, names = _own_names(content) if depth > 1 else ("", [])
    for place, one in enumerate(content):
        if one is None or isinstance(one, bytes) or (place,) in taken:
            continue
        below = _joined(name, names[place] if naming else str(place))
        if not isinstance(one, dict | list):
            yield Leaf(below, one, None, times.ts)
        elif depth > 1:
            of_one = taken | {(place, naming)} if naming else taken
            yield from _below(one, place, depth, of_one, below, times)


def _below(  # noqa: PLR0917
    content: Any, step: Step, depth: int, taken: frozenset[tuple[Step, ...]], name: str, times: Times
) -> Iterator[Leaf]:
    inner = frozenset(path[1:] for path in taken if path[0] == step and len(path) > 1) if taken else taken
    return leaves(content, depth - 1, inner, name, times)


def _joined(above: str, part: str) -> str:
    part = part or NAMELESS
    return f"{above}/{part}" if above else part


def _value_member(content: dict[Any, Any]) -> str:
    """The member that is the value of its object; empty where there is none."""
    with_unit = any(isinstance(content.get(key), str) for key in UNIT_MEMBERS)
    for own in (*VALUE_MEMBERS, *BESIDE_A_UNIT) if with_unit else VALUE_MEMBERS:
        value = content.get(own)
        if value is not None and not isinstance(value, dict | list | bytes):
            return own
    return ""


def _own_names(content: list[Any]) -> tuple[str, list[str]]:
    """The member by which the objects of an array tell what they are of, and the name of each: by their
    places, an order that changes would put two quantities into one series."""
    if not content or not all(isinstance(one, dict) for one in content):
        return "", []
    has_values = all(any(one.get(own) is not None for own in _VALUES_BESIDE) for one in content)
    for naming in (*NAME_MEMBERS, *ID_MEMBERS) if has_values else NAME_MEMBERS:
        names = [_name_of(one.get(naming), is_id=naming in ID_MEMBERS) for one in content]
        if all(names) and len(set(names)) == len(names):
            return naming, names
    return "", []


def _name_of(found: Any, *, is_id: bool) -> str:
    """What names an object; empty where it does not."""
    if is_id and type(found) is int and 0 <= found <= _LARGEST_ID:
        return str(found)
    return found if isinstance(found, str) else ""
