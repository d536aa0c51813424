"""Units that fleets announce apart from their readings, for topics and the members of what comes on them.

Homie says them in ``$unit`` (3 and 4) or ``$description`` (5), Home Assistant's discovery in ``config``
messages. A broker keeps such messages and sends them to whoever subscribes, so a worker has them before the
readings; what it has not seen, a mapping's own table of units says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from iotcache.decode.limits import UNIT_LIMIT

Announcement = Literal["", "unit", "homie", "home-assistant"]
BYTES_LIMIT: Final = 64 * 1024 * 1024
"""Of what is remembered: anyone who may publish can announce units, for topics of up to 65,535 bytes."""
_ENTRY_BYTES: Final = 400
"""Of a topic or a member, without its texts: dictionary and strings, rounded up."""
_MEMBER: Final = re.compile(r"value_json((?:\.[A-Za-z_]\w*|\[\s*(?:'[^']*'|\"[^\"]*\"|\d+)\s*\])*)")
_STEP: Final = re.compile(r"\.([A-Za-z_]\w*)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]")
_SHORT: Final = {
    "state_topic": "stat_t", "value_template": "val_tpl", "unit_of_measurement": "unit_of_meas",
    "components": "cmps",
}  # fmt: skip
"""Abbreviations of Home Assistant's discovery messages."""


class AnnouncedUnits:
    """Units by topic and member. Past the limit the topic that was announced first is forgotten."""

    def __init__(self, limit_bytes: int = BYTES_LIMIT) -> None:
        self._units: dict[str, dict[str, str]] = {}
        self._bytes = 0
        self._limit_bytes = limit_bytes

    def find(self, topic: str, member: str) -> str | None:
        """The unit of a member of what comes on ``topic``, ``""`` for a value alone."""
        units = self._units.get(topic)
        return None if units is None else units.get(member)

    def learn(self, kind: Announcement, topic: str, is_bare: bool, content: Any) -> int:
        """Take in what a message announces; returns of how many members."""
        count = 0
        for of_topic, member, unit in announced(kind, topic, is_bare, content):
            if len(unit) > UNIT_LIMIT or "\0" in unit:
                continue
            members = self._units.get(of_topic)
            if members is None:
                members = self._units[of_topic] = {}
                self._bytes += _ENTRY_BYTES + 4 * len(of_topic)
            if member not in members:
                self._bytes += _ENTRY_BYTES + 4 * len(member)
            members[member] = unit
            count += 1
            while self._bytes > self._limit_bytes and self._units:
                self._forget(next(iter(self._units)))
        return count

    def _forget(self, topic: str) -> None:
        members = self._units.pop(topic)
        self._bytes -= _ENTRY_BYTES + 4 * len(topic)
        self._bytes -= sum(_ENTRY_BYTES + 4 * len(member) for member in members)


def announced(kind: Announcement, topic: str, is_bare: bool, content: Any) -> Iterator[tuple[str, str, str]]:
    """Topic, member and unit of each unit in a message. What is of no such form announces nothing."""
    if kind == "unit" and is_bare and isinstance(content, str):
        yield topic.rpartition("/")[0], "", content
    elif kind == "homie" and isinstance(content, Mapping):
        yield from _homie(topic.rpartition("/")[0], content)
    elif kind == "home-assistant" and isinstance(content, Mapping):
        for entity in entities(content):
            yield entity[0], "/".join(entity[1]), entity[2]


def _homie(device: str, content: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for node, about in _objects(content.get("nodes")):
        for name, of_property in _objects(about.get("properties")):
            if isinstance(unit := of_property.get("unit"), str):
                yield f"{device}/{node}/{name}", "", unit


def entities(content: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """State topic, the member's steps and the unit of each entity in a discovery message."""
    components = _get(content, "components")
    shared = _get(content, "state_topic")
    many = [content, *(one for _, one in _objects(components))]
    for one in many:
        topic, unit = _get(one, "state_topic") or shared, _get(one, "unit_of_measurement")
        if not isinstance(topic, str) or not isinstance(unit, str):
            continue
        base = content.get("~")
        if isinstance(base, str):
            topic = base + topic[1:] if topic.startswith("~") else topic
            topic = topic[:-1] + base if topic.endswith("~") else topic
        yield topic, member_steps(_get(one, "value_template")), unit


def member_steps(template: Any) -> tuple[str, ...]:
    """The member that a value template reads: of ``{{ value_json.a.b }}`` a and b."""
    found = _MEMBER.search(template) if isinstance(template, str) and len(template) <= 10_000 else None
    if found is None:
        return ()
    return tuple(
        next(part for part in step.groups() if part is not None) for step in _STEP.finditer(found[1])
    )


def _get(content: Mapping[str, Any], key: str) -> Any:
    return content.get(key, content.get(_SHORT[key]))


def _objects(content: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, Mapping):
        yield from ((str(name), one) for name, one in content.items() if isinstance(one, Mapping))
