"""A mapping for a message that nobody reads: a guess at where its device, time and values are, tried on it.

Pure. What is proposed has been applied to the very message: every number in it that can be kept is a reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from iotcache.decode.incoming import AHEAD_LIMIT_US, EARLIEST_US, epoch_us
from iotcache.decode.limits import DEPTH_LIMIT, NAME_LIMIT
from iotcache.decode.mapping.announced import entities
from iotcache.decode.mapping.check import check_mapping
from iotcache.decode.mapping.flatten import UNIT_MEMBERS, VALUE_MEMBERS, leaves
from iotcache.decode.mapping.outcome import Mapping, content_of, read_by_mappings
from iotcache.decode.mapping.paths import NotThere, parse_steps, path_text
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.mapping.times import LOCAL, TimeReader
from iotcache.decode.mapping.toml_text import mapping_text
from iotcache.decode.outcomes import PartlyDecoded, Refused
from iotcache.decode.topics import MappedTopics, Topics
from iotcache.errors import ConfigError
from iotcache.model import Reading

_TIMES: Final = (
    "ts", "time", "timestamp", "Time", "Timestamp", "datetime", "date", "last_seen", "received_at", "at", "t",
    "tst", "measured_at", "created_at", "observedAt", "eventTime",
)  # fmt: skip
_DEVICES: Final = (
    "device", "device_id", "deviceId", "deviceID", "devEui", "devEUI", "dev_eui", "DevEUI", "device_name",
    "deviceName", "mac", "MAC", "serial", "sn", "imei", "node_id", "nodeId", "sensor_id", "sensorId", "id",
)  # fmt: skip
_SENSORS: Final = ("sensor", "measurement", "parameter", "metric", "key", "name", "type", "k", "n")
_VALUES: Final = ("value", "val", "v", "reading")
_PLAIN_LEVELS: Final = frozenset({
    "binary_sensor", "data", "device", "devices", "event", "events", "home", "json", "measurement",
    "measurements", "message", "node", "nodes", "rpc", "sensor", "sensors", "stat", "state", "states",
    "status", "tele", "telemetry", "up", "uplink", "update", "value", "values",
})  # fmt: skip
"""Levels that say what a message is, and not whose."""
_SWITCHES: Final[dict[str, dict[str, bool | int | float | str]]] = {
    word: {on: True, off: False}
    for on, off in (("ON", "OFF"), ("on", "off"), ("On", "Off"))
    for word in (on, off)
}
_ID: Final = re.compile(r"(?=.*\d)[!A-Za-z0-9_.:-]{2,}|[0-9A-Fa-f:-]{6,}")


class Proposal(Struct, frozen=True):
    """A mapping that reads a message."""

    mapping: IngestMapping
    readings: list[Reading]
    notes: dict[str, str] = {}

    @property
    def text(self) -> str:
        """As TOML."""
        return mapping_text(self.mapping, self.notes)


def propose(topic: str, payload: bytes, received_us: int, others: Sequence[str] = ()) -> Proposal | None:
    """A mapping for the message; ``None`` where there is nothing in it that could be read.

    ``others`` are topics of messages alike: where they differ from this one is the device.
    """
    try:
        is_bare, content = content_of(payload)
    except (Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    best: Proposal | None = None
    fewest = 0
    for mapping, notes in _candidates(topic, is_bare, content, received_us, others):
        found = _applied(mapping, topic, payload, received_us)
        missing = _missing(mapping, is_bare, content, found)
        if found and (best is None or missing < fewest):
            best, fewest = Proposal(mapping, found, notes), missing
    return best


def propose_announced(content: Any) -> IngestMapping | None:
    """The mapping for the state topic that a discovery message of Home Assistant names, with its units."""
    found = list(entities(content)) if isinstance(content, dict) else []
    if not found:
        return None
    topic = found[0][0]
    template, device = _template(topic, is_bare=not found[0][1], named=None, others=())
    units = {"/".join(steps): unit for of, steps, unit in found if of == topic and steps}
    unit = "" if found[0][1] else f"={found[0][2]}"
    mapping = IngestMapping(topic=template, device=device, units=units, unit=unit)
    return mapping if _usable(mapping) else None


def _applied(mapping: IngestMapping, topic: str, payload: bytes, received_us: int) -> list[Reading]:
    """What a mapping makes of a message."""
    if not _usable(mapping):
        return []
    names = Topics((), [MappedTopics(mapping.topics)]).names(topic)
    if not names.routes:
        return []
    try:
        mapped = read_by_mappings([(Mapping(mapping, 1), names.routes[0][1])], topic, payload, received_us)
    except (Refused, msgspec.MsgspecError, UnicodeDecodeError):
        return []
    outcome = mapped.outcome
    if isinstance(outcome, PartlyDecoded):
        return outcome.readings
    return outcome if isinstance(outcome, list) else []


def _missing(mapping: IngestMapping, is_bare: bool, content: Any, found: Sequence[Reading]) -> int:
    """How many of a message's numbers a mapping does not read, those aside that are a time or a name."""
    if is_bare:
        return max(0, int(_is_number(content)) - len(found))
    others = (mapping.ts, mapping.device, mapping.sensor, mapping.unit)
    taken = frozenset(parse_steps(path) for path in others if path and not path.startswith("="))
    is_many = isinstance(content, list) and any(isinstance(one, dict) for one in content)
    numbers = sum(
        _is_number(leaf.value)
        for record in (content if is_many else [content])
        if isinstance(record, dict | list)
        for leaf in leaves(record, DEPTH_LIMIT, taken)
    )
    # Numbers in quotes are read, too, and are none of these: they make up for no other.
    return max(0, numbers - sum(_is_number(one.value) for one in found))


def _usable(mapping: IngestMapping) -> bool:
    try:
        check_mapping(mapping)
    except (ValueError, ConfigError):
        return False
    return True


def _candidates(
    topic: str, is_bare: bool, content: Any, received_us: int, others: Sequence[str]
) -> Iterator[tuple[IngestMapping, dict[str, str]]]:
    """Guesses, the best first."""
    record = content
    if isinstance(content, list) and content and isinstance(content[0], dict):
        record = content[0]
    fields = {} if not isinstance(record, dict) else record
    named = _first(fields, _DEVICES, _is_name)
    alone = is_bare or _is_value_alone(content)
    template, device = _template(topic, is_bare=alone, named=named, others=others)
    base = IngestMapping(topic=template, device=device)
    if is_bare:
        base = structs.replace(base, states=_SWITCHES.get(content, {}) if isinstance(content, str) else {})
        yield (base if "{sensor" in template else structs.replace(base, sensor="=value", value="value")), {}
        yield base, {}
        return
    base = structs.replace(base, depth=min(max(_depth(content), base.depth), DEPTH_LIMIT))
    with_time, notes = _with_time(base, fields, received_us)
    sensor, value = _first(fields, _SENSORS, _is_name), _first(fields, _VALUES, _is_number)
    if sensor and value and "{sensor" not in template:
        numbers = [leaf for leaf in leaves(fields, DEPTH_LIMIT) if _is_number(leaf.value)]
        at = {value, with_time.ts, device}
        if all(name in at for name in fields if _is_number(fields[name])) and len(numbers) <= len(at):
            unit = _first(fields, ("unit", "units", "uom", "u"), _is_name)
            yield structs.replace(
                with_time, value=path_text((value,)), sensor=path_text((sensor,)),
                unit=path_text((unit,)) if unit else "",
            ), notes  # fmt: skip
    yield with_time, notes
    yield base, {}
    if device:
        yield structs.replace(base, device="=unnamed"), {}


def _with_time(
    base: IngestMapping, fields: dict[str, Any], received_us: int
) -> tuple[IngestMapping, dict[str, str]]:
    for name in _TIMES:
        found = fields.get(name)
        if found is None or isinstance(found, bool | dict | list):
            continue
        for zone in ("", LOCAL):
            try:
                at_us = epoch_us(TimeReader("auto", zone).read(found, name), received_us)
            except (NotThere, Refused, TypeError, OverflowError, ValueError):
                continue
            if EARLIEST_US <= at_us <= received_us + AHEAD_LIMIT_US:
                notes = {"zone": "or the name of its time zone, such as Europe/Berlin"} if zone else {}
                return structs.replace(base, ts=path_text((name,)), zone=zone), notes
    return base, {}


def _template(topic: str, *, is_bare: bool, named: str | None, others: Sequence[str]) -> tuple[str, str]:
    """A topic template, and the path of the device where the topic has none."""
    levels = topic.split("/")
    fixed = ["+" if not level or any(char in level for char in "{}\0\r\n") else level for level in levels]
    if fixed[0] == "+" and not levels[0]:
        fixed[0] = ""
    last = len(levels) - 1
    usable = [n for n, level in enumerate(levels) if 0 < len(level) <= NAME_LIMIT and "\0" not in level]
    if is_bare and len(usable) > 1 and last in usable:
        at = next((n for n in reversed(usable[1:]) if levels[n].lower() not in _PLAIN_LEVELS), last)
        fixed[at] = "{sensor}"
        usable.remove(at)
    if levels[0].startswith("$") and 0 in usable:
        usable.remove(0)
    scores = {n: _likeness(n, levels, others) for n in usable}
    at = max(usable, key=lambda n: scores[n], default=-1)
    if named is not None and (at < 0 or scores[at] <= 1):
        return "/".join(fixed), path_text((named,))
    if at < 0:
        return "/".join(fixed), "=unnamed"
    fixed[at] = "{device}"
    return "/".join(fixed), ""


def _likeness(place: int, levels: Sequence[str], others: Sequence[str]) -> float:
    """How much a level looks like a device's name."""
    level = levels[place]
    same_depth = [other.split("/") for other in others if other.count("/") == len(levels) - 1]
    score = 4.0 * len({other[place] for other in same_depth} - {level} and [1])
    if _ID.fullmatch(level):
        score += 2
    if level.lower() in _PLAIN_LEVELS:
        score -= 3
    if place == 0 and len(levels) > 1:
        score -= 2
    return score + 0.1 * place


def _is_value_alone(content: Any) -> bool:
    """Whether an object is one value, with nothing beside it but its unit and time."""
    if not isinstance(content, dict) or not any(one in content for one in VALUE_MEMBERS):
        return False
    return {*VALUE_MEMBERS, *UNIT_MEMBERS, *_TIMES} >= set(content)


def _depth(content: Any) -> int:
    """Levels of objects and arrays below the values' own name."""
    if isinstance(content, dict):
        return 1 + max(map(_depth, content.values()), default=0)
    if isinstance(content, list):
        return 1 + max(map(_depth, content), default=0)
    return 0


def _first(fields: dict[str, Any], names: Sequence[str], is_fit: Any) -> str | None:
    return next((name for name in names if name in fields and is_fit(fields[name])), None)


def _is_name(found: Any) -> bool:
    if isinstance(found, str):
        return 0 < len(found) <= NAME_LIMIT and found.isprintable()
    return isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 63


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
