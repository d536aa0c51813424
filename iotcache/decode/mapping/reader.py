"""One mapping at work: from a decoded JSON or CBOR payload to the fields that a reading has.

Pure. Paths and tables are compiled once; `iotcache.decode.mapping.outcome` makes readings of what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from iotcache.decode.incoming import contradiction
from iotcache.decode.limits import TEXT_LIMIT
from iotcache.decode.mapping.announced import AnnouncedUnits
from iotcache.decode.mapping.flatten import VALUE_MEMBER, Leaf, Times, leaves
from iotcache.decode.mapping.paths import (
    FieldPath,
    FieldText,
    NothingThere,
    NotThere,
    Step,
    follow,
    inside,
    kind_of,
    parse_field,
    parse_name,
    parse_path,
    parse_steps,
    parse_text,
    path_text,
)
from iotcache.decode.mapping.sensors import SensorTable
from iotcache.decode.mapping.settings import FieldPaths, IngestMapping, Scalar
from iotcache.decode.mapping.times import TimeReader
from iotcache.decode.mapping.unit_texts import number_and_unit, number_in
from iotcache.decode.topics import TopicNames
from iotcache.text import printable

_ANY: Final = "*"
_NAMES: Final = ("device", "sensor", "site", "unit", "boot")


class FieldReader:
    """Reads payloads by one mapping, or by ``[ingest.fields]``.

    Raises `ValueError` for paths that cannot be used; settings are checked before they come here.
    """

    def __init__(self, fields: FieldPaths, announced: AnnouncedUnits | None = None) -> None:
        """``announced`` are units that messages on other topics told."""
        self._announced = announced
        value = fields.value
        if not value:
            raise ValueError("a path such as data.v, or one that ends in .* for each member's value")
        self.each = value == "*" or value.endswith(".*")
        """Whether the value's path names an object of which every member is a reading."""
        if self.each:
            value = value[:-1].removesuffix(".")
        mapping = fields if isinstance(fields, IngestMapping) else None
        self._depth = fields.depth
        self._at_readings = parse_steps(fields.readings) if fields.readings else ()
        self._value = parse_path(value, whole=True)
        self._value_text = fields.value
        self._names: dict[str, tuple[FieldText, ...]] = {
            name: forms for name in _NAMES if (forms := parse_name(getattr(fields, name)))
        }
        if self.each and not fields.sensor.startswith("="):
            self._names.pop("sensor", None)
        is_joined = "{" in fields.ts and not fields.ts.startswith("=")
        self._ts_texts = parse_name(fields.ts) if is_joined else ()
        self._ts = () if is_joined or fields.ts.startswith("=") else parse_field(fields.ts)
        self._ts_constant = fields.ts[1:] if fields.ts.startswith("=") else None
        self._seq = () if fields.seq.startswith("=") else parse_field(fields.seq)
        self._time = TimeReader(fields.ts_unit, fields.zone)
        self._times = Times(mapping.each_ts if mapping else "")
        self._payload_decides = mapping is not None or fields.device != FieldPaths().device
        """Whether a device that the payload names counts where the topic names another, as of a gateway."""
        self._below_topic = mapping is not None or self.each
        """Whether a sensor in the payload is one below the topic's."""
        self.quoted_numbers = fields.quoted_numbers
        self._quoted_units = mapping is not None and mapping.quoted_units
        self._states: dict[str, Scalar] = dict(mapping.states) if mapping else {}
        self._units = SensorTable(
            {sensor: parse_text(unit) for sensor, unit in mapping.units.items()} if mapping else {}
        )
        self._ignore = SensorTable(dict.fromkeys(mapping.ignore, True) if mapping else {})
        self._when = [(parse_path(path), wanted) for path, wanted in mapping.when.items()] if mapping else []
        self._where = (
            [(parse_path(path), wanted) for path, wanted in mapping.where.items()] if mapping else []
        )
        paths = [*self._ts, *self._seq, *(path for form in self._ts_texts for path in form.paths())]
        paths += [path for forms in self._names.values() for form in forms for path in form.paths()]
        paths += [path for path, _ in self._where]
        self._whole = not self._at_readings and any(
            path.steps and isinstance(path.steps[0], int)
            for path in (self._value, *(path for path in paths if not path.from_root))
        )
        """Whether a payload that is an array is itself the record: its paths begin with a place in it."""
        self._taken = self._relative(paths)
        self._tells_records = bool(
            self._at_readings or self._ts or self._ts_texts or self._names.keys() & {"device", "sensor"}
        )
        """Whether the records of an array can be told apart: else their places in it do."""

    def _relative(self, paths: list[FieldPath]) -> frozenset[tuple[Step, ...]]:
        """The paths of the other fields that lead below the value's own, as seen from there."""
        base, at_root = self._value.steps, self._value.from_root
        found = set()
        for path in paths:
            same_start = path.from_root == at_root or (not self._at_readings and not self._whole)
            if same_start and path.steps[: len(base)] == base and len(path.steps) > len(base):
                found.add(path.steps[len(base) :])
        return frozenset(found)

    def unmet(self, root: Any) -> str:
        """Which condition of `when` the payload does not meet; empty when it meets all."""
        for path, wanted in self._when:
            found = path.find(root, root)
            if not _is_met(found, wanted):
                shown = "nothing" if found is None else printable(str(found), 60)
                return f'"{path.text}" is {shown}, and must be {"there" if wanted == _ANY else wanted}'
        return ""

    def records(
        self, root: Any, names: TopicNames, limit: int, topic: str = "", *, apart: bool = False
    ) -> Iterator[dict[str, Any] | NotThere]:
        """The fields of each reading in a payload, under the names of the default one. Raises `NotThere`.

        With ``apart`` the records of an array have nothing to do with each other: a null is passed over, and
        what is wrong with one stands in its place.
        """
        found = follow(root, self._at_readings)
        if isinstance(found, str) and self._at_readings:
            found = inside(found)
        if found is None:
            raise NothingThere(f'the payload has nothing at "{printable(path_text(self._at_readings), 100)}"')
        many = [found]
        is_many = isinstance(found, list) and not self._whole
        if is_many and (
            not self.each or (self._tells_records and any(isinstance(one, dict) for one in found))
        ):
            many = found
        if len(many) > limit:
            raise NotThere(f"it holds {len(many):,} readings; {limit:,} are allowed")
        count = 0
        for number, record in enumerate(many):
            if not all(_is_met(path.find(root, record), wanted) for path, wanted in self._where):
                continue
            try:
                for fields in self._record(root, record, names, topic):
                    count += 1
                    if count > limit:
                        break
                    yield fields
            except NotThere as error:
                if not apart or len(many) == 1:
                    raise
                if not self._is_null(root, record):
                    yield type(error)(f"record no. {number + 1}: {error}")
            if count > limit:
                raise NotThere(f"it holds more than {limit:,} readings")

    def _is_null(self, root: Any, record: Any) -> bool:
        """Whether a null stands where a record's value should be."""
        *above, last = self._value.steps or ("",)
        start = root if self._value.from_root else record
        holder = follow(start, tuple(above))
        return isinstance(holder, dict) and last in holder and holder[last] is None

    def bare(self, value: Any, names: TopicNames, topic: str = "") -> dict[str, Any] | None:
        """The fields of a reading whose payload is its value alone; ``None`` for a null."""
        if value is None or (names.sensor and self._ignore.find(names.sensor)):
            return None
        fields = {name: text for name in _NAMES if (text := self._name(name, None, None)) is not None}
        return self._fields(self._topics(fields, names), None, Leaf("", value, None), topic)

    def _record(
        self, root: Any, record: Any, names: TopicNames, topic: str
    ) -> Iterator[dict[str, Any] | NotThere]:
        fields: dict[str, Any] = {}
        for name in self._names:
            if (text := self._name(name, root, record)) is not None:
                fields[name] = text
        fields = self._topics(fields, names)
        if self._ts_constant is not None:
            fields["ts"] = self._ts_constant
        for path in self._ts:
            if (found := path.find(root, record)) is not None:
                fields["ts"] = self._time.read(found, path.text)
                break
        for form in self._ts_texts:
            if (text := form.find(root, record)) is not None:
                fields["ts"] = self._time.read(text, "ts")
                break
        for path in self._seq:
            if (found := path.find(root, record)) is not None:
                fields["seq"] = found
                break
        value = self._value.find(root, record)
        if value is None:
            raise NothingThere(f'the payload has nothing at "{printable(self._value_text, 100)}"')
        if not self.each:
            if isinstance(value, dict | list):
                raise NotThere(f'what stands at "{printable(self._value_text, 100)}" is {kind_of(value)}')
            yield self._fields(fields, root, Leaf("", value, None), topic)
            return
        if isinstance(value, str):
            if not value:
                return
            value = inside(value)
        if not isinstance(value, dict | list):
            raise NotThere(f'what "{printable(self._value_text, 100)}" asks for is no object')
        seen: set[str] = set()
        for leaf in leaves(value, self._depth, self._taken, "", self._times):
            if self._ignore.find(leaf.name or VALUE_MEMBER):
                continue
            name = leaf.name or ("" if fields.get("sensor") else VALUE_MEMBER)
            if name in seen:
                raise NotThere(f'two of its members are both called "{printable(name, 100)}"')
            seen.add(name)
            if leaf.ts is None:
                yield self._fields(fields, root, leaf, topic)
                continue
            try:
                own = {**fields, "ts": self._time.read(leaf.ts, self._times.member)}
            except NotThere as error:
                yield NotThere(f'"{printable(leaf.name, 60)}": {error}')
            else:
                yield self._fields(own, root, leaf, topic)

    def _name(self, name: str, root: Any, record: Any) -> str | None:
        for form in self._names.get(name, ()):
            if (text := form.find(root, record)) is not None:
                return text
        return None

    def _topics(self, fields: dict[str, Any], names: TopicNames) -> dict[str, Any]:
        """The fields, with what the topic names. Raises `NotThere` where both must not differ and do."""
        for what in ("device", "sensor", "site"):
            of_topic = getattr(names, what)
            if not of_topic:
                continue
            found = fields.get(what)
            if found is None or found == of_topic:
                fields[what] = of_topic
            elif what == "sensor" and self._below_topic:
                fields[what] = f"{of_topic}/{found}"
            elif not self._payload_decides:
                raise NotThere(contradiction(what, found, of_topic))
        if names.unit and "unit" not in fields:
            fields["unit"] = names.unit
        return fields

    def _fields(self, fields: dict[str, Any], root: Any, leaf: Leaf, topic: str) -> dict[str, Any]:
        """One reading's fields."""
        above = fields.get("sensor", "")
        sensor = f"{above}/{leaf.name}" if above and leaf.name else above or leaf.name
        if not sensor and self.each:
            sensor = VALUE_MEMBER
        value, unit_beside = leaf.value, None
        if isinstance(value, str):
            value = self._state(value)
            if self._quoted_units and isinstance(value, str) and (parts := number_and_unit(value)):
                value, unit_beside = parts
        found = {**fields, "value": value}
        if sensor:
            found["sensor"] = sensor
        if unit_beside is not None:
            found["unit"] = unit_beside
        elif leaf.unit is not None:
            found["unit"] = leaf.unit
        elif self._announced is not None and (told := self._announced.find(topic, leaf.name)) is not None:
            found["unit"] = told
        elif "unit" not in fields and (unit := self._units.find(sensor)) is not None:
            text = unit.find(root, root)
            if text is not None:
                found["unit"] = text
        return found

    def _state(self, text: str) -> Scalar:
        """What a text stands for."""
        state = self._states.get(text)
        if state is not None:
            return state
        if self.quoted_numbers and len(text) <= TEXT_LIMIT and (number := number_in(text)) is not None:
            return number
        return text


def reader_for(fields: FieldPaths) -> FieldReader | None:
    """A reader, or ``None`` where the default payload is meant, which is read a faster way."""
    return None if fields == FieldPaths() else FieldReader(fields)


def _is_met(found: Any, wanted: Scalar) -> bool:
    if wanted == _ANY:
        return found is not None
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
