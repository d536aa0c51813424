"""Guesses at what a message is made of: where its device, its time and its values are. Pure.

Each guess is a mapping that `iotcache.decode.mapping.proposal` tries on the message itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct, structs

from iotcache.decode.limits import DEPTH_LIMIT, NAME_LIMIT
from iotcache.decode.mapping.flatten import UNIT_MEMBERS, VALUE_MEMBERS, leaves
from iotcache.decode.mapping.paths import Step, path_text
from iotcache.decode.mapping.settings import IngestMapping, Scalar
from iotcache.decode.mapping.time_guesses import ENVELOPE_DEPTH, TIMES, Time, objects_in, own_times, time_of
from iotcache.decode.mapping.toml_text import quoted
from iotcache.decode.mapping.unit_texts import number_and_unit

_DEVICES: Final = (
    "device", "deviceid", "deveui", "deviceeui", "devicename", "iothubconnectiondeviceid", "mac",
    "macaddress", "serial", "serialno", "serialnumber", "sn", "imei", "eui", "nodeid", "sensorid",
    "stationid", "meterid", "coreid", "thingname", "esp8266id", "id",
)  # fmt: skip
"""Names of a device's name, in small letters without signs."""
_SURE_DEVICES: Final = tuple(name for name in _DEVICES if name not in {"device", "id", "sn"})
"""Names that are the sender's where they stand deeper, too: an ``id`` there is rather one of its parts."""
_SIGNS: Final = re.compile(r"[^a-z0-9]")
_SENSORS: Final = ("sensor", "measurement", "parameter", "metric", "tag", "key", "name", "type", "k", "n")
_TAGS: Final = ("id", "tagName", "Name", "NodeId", "DisplayName")
"""Of a value in a list of them."""
_VALUES: Final = ("value", "val", "v", "reading", "Value")
_QUALITIES: Final = ("q", "quality", "Quality", "StatusCode", "status", "qc")
"""What stands beside a value and says how good it is."""
_GOOD: Final[tuple[bool | int | str, ...]] = (True, 192, "Good", "GOOD", "good")
_GOOD_QC: Final = (3,)
"""The quality code of Siemens' Industrial Edge."""
_ABOUT_THE_MESSAGE: Final = frozenset({
    "count", "messageId", "message_id", "mid", "msgId", "seq", "seqNo", "sequence", "version",
})  # fmt: skip
"""Numbers beside a list of values."""
_ENVELOPES: Final = frozenset({
    "body", "content", "data", "decoded_payload", "fields", "measurements", "metrics", "object", "params",
    "payload", "readings", "reported", "sensors", "state", "telemetry", "uplink_message", "values",
})  # fmt: skip
"""Members that hold what a message is about."""
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
_ABOUT_THE_SENDER: Final = frozenset({
    "firmware", "fw", "fw_version", "hw", "id", "mac", "model", "serial", "sn", "sw", "uuid", "version",
})  # fmt: skip
"""Texts that are no states."""
_PATTERN_SIGNS: Final = re.compile(r"[*?\[]")


EACH: Final = "*"


class Guess(Struct, frozen=True):
    """A mapping that may fit."""

    mapping: IngestMapping
    notes: dict[str, str] = {}
    """Comments on its keys."""
    aside: frozenset[tuple[Step, ...]] = frozenset()
    """Paths of numbers that are no measurements, from the payload on; `EACH` is any place in an array."""
    left_out: int = 0
    """Numbers of records of a bad quality."""


def guesses(
    topic: str, is_bare: bool, content: Any, received_us: int, others: Sequence[str]
) -> Iterator[Guess]:
    """The best first. ``others`` are topics of messages alike: where they differ from this is the device."""
    record = content
    if isinstance(content, list) and content and isinstance(content[0], dict):
        record = content[0]
    fields = {} if not isinstance(record, dict) else record
    named = _device_in(fields)
    alone = is_bare or _is_value_alone(content)
    template, from_topic = _template(topic, is_bare=alone, is_named=named is not None, others=others)
    device = from_topic or ("" if "{device" in template or named is None else path_text(named))
    base = IngestMapping(topic=template, device=device)
    if is_bare:
        yield from _bare(base, content)
        return
    about = tuple(name for name in fields if name in _ABOUT_THE_SENDER and isinstance(fields[name], str))
    base = structs.replace(base, ignore=about, depth=min(max(_depth(content), base.depth), DEPTH_LIMIT))
    if any(isinstance(leaf.value, str) and number_and_unit(leaf.value) for leaf in _all_leaves(record)):
        base = structs.replace(base, quoted_units=True)
    time = time_of(fields, received_us)
    own, own_at = own_times(fields, received_us)
    if own and time is not None and len(time.steps) > 1:
        time = None
    above: tuple[Step, ...] = (EACH,) if isinstance(content, list) else ()
    with_time = _with_time(base, time, above)
    if own:
        mapping = structs.replace(with_time.mapping, each_ts=own)
        with_time = structs.replace(with_time, mapping=mapping, aside=with_time.aside | own_at)
    if isinstance(content, dict):
        yield from _listed(with_time, fields, received_us, time)
    yield from _one_value(with_time, fields)
    if (inside := _envelope(fields)) is not None:
        value = f"{path_text(inside)}.*"
        yield structs.replace(with_time, mapping=structs.replace(with_time.mapping, value=value))
    yield with_time
    yield Guess(base)
    if device:
        yield Guess(structs.replace(base, device="=unnamed"))


def _bare(base: IngestMapping, content: Any) -> Iterator[Guess]:
    if isinstance(content, str):
        units = number_and_unit(content) is not None
        base = structs.replace(base, states=_SWITCHES.get(content, {}), quoted_units=units)
    yield Guess(
        base if "{sensor" in base.topics[0] else structs.replace(base, sensor="=value", value="value")
    )
    yield Guess(base)


def _one_value(base: Guess, fields: dict[str, Any]) -> Iterator[Guess]:
    """A record that names its sensor, with one value."""
    sensor, value = _first(fields, _SENSORS, _is_name), _first(fields, _VALUES, is_number)
    if sensor is None or value is None or "{sensor" in base.mapping.topics[0]:
        return
    numbers = [leaf for leaf in leaves(fields, DEPTH_LIMIT) if is_number(leaf.value)]
    at = {value, base.mapping.ts, base.mapping.device, *base.mapping.ignore}
    if all(name in at for name in fields if is_number(fields[name])) and len(numbers) <= len(at):
        yield structs.replace(base, mapping=_of_values(base.mapping, fields, sensor, value))


def _of_values(mapping: IngestMapping, record: dict[str, Any], sensor: str, value: str) -> IngestMapping:
    unit = _first(record, ("unit", "units", "uom", "u"), _is_name)
    return structs.replace(
        mapping, value=path_text((value,)), sensor=path_text((sensor,)),
        unit=path_text((unit,)) if unit else "",
    )  # fmt: skip


def _listed(base: Guess, fields: dict[str, Any], received_us: int, time: Time | None) -> Iterator[Guess]:
    """An array within the message of objects that name what they are of, each with its value."""
    for steps, many in _arrays(fields):
        first = many[0]
        sensor = _first(first, (*_SENSORS, *_TAGS), _is_text)
        value = _first(first, _VALUES, _is_scalar)
        if sensor is None or value is None:
            continue
        if not all(_is_text(one.get(sensor)) and value in one for one in many):
            continue
        mapping = _of_values(base.mapping, first, sensor, value)
        own_time = time_of(first, received_us)
        if own_time is not None and not own_time.is_wrong and len(own_time.steps) == 1:
            mapping = structs.replace(mapping, ts=path_text(own_time.steps), zone=own_time.zone)
        elif mapping.ts:
            mapping = structs.replace(mapping, ts=f"$.{mapping.ts}")
        device = mapping.device
        if device and not device.startswith("="):
            device = f"$.{device}"
        own_steps = own_time.steps if own_time is not None else ()
        aside: set[tuple[Step, ...]] = {
            (*steps, EACH, name) for name in first if name in _QUALITIES or (name,) == own_steps
        }
        if time is not None:
            aside.add(time.steps)
        aside |= {(name,) for name in _ABOUT_THE_MESSAGE if name in fields}
        where, left_out = _where(many)
        mapping = structs.replace(
            mapping, readings=path_text(steps), device=device, ignore=(), where=where, each_ts=""
        )
        notes = {key: note for key, note in base.notes.items() if key != "ignore"}
        yield Guess(mapping, notes, base.aside | aside, sum(is_number(one[value]) for one in left_out))


def _where(many: Sequence[dict[str, Any]]) -> tuple[dict[str, Scalar], list[dict[str, Any]]]:
    """What must be in a record for its value to be a good one, and the records that are left out."""
    for name in _QUALITIES:
        for one in many:
            possible = _GOOD_QC if name == "qc" else _GOOD
            good = next((each for each in possible if _is_same(one.get(name), each)), None)
            if good is not None:
                return {path_text((name,)): good}, [
                    other for other in many if not _is_same(other.get(name), good)
                ]
    return {}, []


def _is_same(found: Any, good: bool | int | str) -> bool:
    return type(found) is type(good) and bool(found == good)


def _arrays(fields: dict[str, Any]) -> Iterator[tuple[tuple[Step, ...], list[dict[str, Any]]]]:
    for steps, inner in objects_in(fields):
        for name, one in inner.items():
            if isinstance(one, list) and one and all(isinstance(each, dict) for each in one):
                yield (*steps, name), one


def _envelope(fields: dict[str, Any]) -> tuple[Step, ...] | None:
    """The member of a message that holds what it is about; ``None`` where the message itself does."""
    steps: tuple[Step, ...] = ()
    inner = fields
    while len(steps) < ENVELOPE_DEPTH:
        name = next((one for one in inner if one in _ENVELOPES and isinstance(inner[one], dict)), None)
        if name is None:
            break
        steps, inner = (*steps, name), inner[name]
    return steps or None


def _with_time(base: IngestMapping, time: Time | None, above: tuple[Step, ...]) -> Guess:
    if time is None:
        return Guess(base)
    if not time.is_wrong:
        notes = {"zone": "or the name of its time zone, such as Europe/Berlin"} if time.zone else {}
        ts = time.joined or path_text(time.steps)
        return Guess(structs.replace(base, ts=ts, zone=time.zone), notes)
    sensor = "/".join(map(str, time.steps))
    if _PATTERN_SIGNS.search(sensor):
        return Guess(base)
    path = path_text(time.steps)
    notes = {"ignore": f"a time that its clock never knew; where it does: ts = {quoted(path)}"}
    return Guess(
        structs.replace(base, ignore=(*base.ignore, sensor)), notes, frozenset({(*above, *time.steps)})
    )


def _template(topic: str, *, is_bare: bool, is_named: bool, others: Sequence[str]) -> tuple[str, str]:
    """A topic template, and a device's name where neither it nor the payload has one.

    ``is_named``: whether the payload names a device.
    """
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
    if is_named and (at < 0 or scores[at] <= 1):
        return "/".join(fixed), ""
    if at < 0:
        return "/".join(fixed), "=unnamed"
    fixed[at] = "{device}"
    varying = [n for n in usable if n != at and _alike(n, levels, others) - {levels[n]}]
    for number, n in enumerate(varying):
        fixed[n] = "+" if number else "{site}"
    return "/".join(fixed), ""


def template_for(topic: str, *, is_bare: bool) -> tuple[str, str]:
    """A topic template, and a device's name where it has none, for a topic alone."""
    return _template(topic, is_bare=is_bare, is_named=False, others=())


def _alike(place: int, levels: Sequence[str], others: Sequence[str]) -> set[str]:
    """What stands at a place of other topics of that depth."""
    parts = (other.split("/") for other in others if other.count("/") == len(levels) - 1)
    return {other[place] for other in parts}


def _likeness(place: int, levels: Sequence[str], others: Sequence[str]) -> float:
    """How much a level looks like a device's name."""
    level = levels[place]
    score = 4.0 if _alike(place, levels, others) - {level} else 0.0
    score += 0.2 * len(_alike(place, levels, others))  # there are more devices than sites
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
    return {*VALUE_MEMBERS, *UNIT_MEMBERS, *TIMES} >= set(content)


def _all_leaves(record: Any) -> Iterator[Any]:
    return leaves(record, DEPTH_LIMIT) if isinstance(record, dict | list) else iter(())


def _depth(content: Any) -> int:
    """Levels of objects and arrays below the values' own name."""
    if isinstance(content, dict):
        return 1 + max(map(_depth, content.values()), default=0)
    if isinstance(content, list):
        return 1 + max(map(_depth, content), default=0)
    return 0


def _device_in(fields: dict[str, Any]) -> tuple[Step, ...] | None:
    """The path of what names the sender: in the message itself, else of a sure name below."""
    for steps, inner in objects_in(fields):
        plain = {_SIGNS.sub("", name.lower()): name for name in reversed(inner) if isinstance(name, str)}
        for known in _SURE_DEVICES if steps else _DEVICES:
            name = plain.get(known)
            if name is not None and _is_name(inner[name]):
                return (*steps, name)
    return None


def _first(fields: dict[str, Any], names: Sequence[str], is_fit: Callable[[Any], bool]) -> str | None:
    return next((name for name in names if name in fields and is_fit(fields[name])), None)


def _is_text(found: Any) -> bool:
    return isinstance(found, str) and _is_name(found)


def _is_scalar(found: Any) -> bool:
    return isinstance(found, int | float | str)


def _is_name(found: Any) -> bool:
    if isinstance(found, str):
        return 0 < len(found) <= NAME_LIMIT and found.isprintable()
    return isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 63


def is_number(found: Any) -> bool:
    """Whether a thing in a payload is a number that can be kept."""
    return isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
