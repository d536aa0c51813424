"""What the messages of a fleet say, by the templates that wrote them, and what is due of each reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from iotcache.model import Series, Value
from iotcache_simulator.fleet.definition import Sensor
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.fleet.formats.payload import value_texts
from iotcache_simulator.fleet.formats.template import Field, value_read
from iotcache_simulator.fleet.messages import PlannedMessage, filters_of, planned
from iotcache_simulator.fleet.rendering.joint import MessageWriter, announcements_of
from iotcache_simulator.ledger.payloads import READS, read
from iotcache_simulator.ledger.sightings import Content
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.sparkplug_edge import edges_of_run

_NO_UNIT: Final = ""


class MessageReading(NamedTuple):
    """One reading as a message tells it."""

    series: Series
    seq: int | None
    boot: str | None
    content: Content


class _Source(Struct, frozen=True):
    """How the readings of one sensor are told, and by whom."""

    message: PlannedMessage
    index: int | None
    """The device; ``None`` where several share a topic."""


class ReadBack:
    """Reads the messages of one run, without the decoder under test."""

    def __init__(self, spec: FleetSpec) -> None:
        self.roster = roster = roster_of(spec)
        self._format = spec.payload.name
        self.sparkplug = spec.sparkplug
        used = [roster.classes[kind] for kind in sorted(set(roster.kinds))]
        messages = [message for kind in used for message in planned(kind)]
        self.own = bool(messages) or spec.sparkplug
        """Whether messages are not those of our own fleets."""
        self.numbered = not spec.sparkplug and all(message.has_identity for message in messages)
        """Whether each reading has its number and boot id."""
        self.timed = spec.sparkplug or all(
            message.payload is None or (message.payload.time is not None and not kind.times_of_receipt)
            for kind in used
            for message in planned(kind)
        )
        """Whether each reading tells when it was measured."""
        self.filters = filters_of(tuple(used))
        self.names = list(roster.names)
        """What each device is called by who reads its messages."""
        if spec.sparkplug:
            for edge in edges_of_run(spec, roster):
                for device in edge.devices:
                    self.names[device] = edge.full_name(device)
        self._told: dict[tuple[int, str], PlannedMessage] = {
            (kind, roster.classes[kind].sensor[place].name): message
            for kind in set(roster.kinds)
            for message in planned(roster.classes[kind])
            for place in message.places
        }
        self._index = {name: at for at, name in enumerate(roster.names)}
        self._numbers: dict[tuple[int, int], int] = {}
        self._topics: dict[str, _Source] = {}
        self._topic_by: dict[tuple[int, str], str] = {}
        self._announced: set[str] = set()
        self._units: dict[tuple[str, str], str] = {}
        self._sensors = [{one.name: one for one in kind.sensor} for kind in roster.classes]

    @property
    def series(self) -> list[Series]:
        """Every series of the run."""
        roster = self.roster
        return [
            Series(self.names[index], sensor.name)
            for index, kind in enumerate(roster.kinds)
            for sensor in roster.classes[kind].sensor
        ]

    def index_of(self, device: str) -> int:
        """A device by the name that the roster gives it."""
        return self._index[device]

    def place(self, index: int, sensor: str) -> str:
        """Where our own fleets tell a reading: site, device and sensor."""
        return f"iot/{self.roster.site(index)}/{self.names[index]}/{sensor}"

    def due(self, index: int, sensor: str, ts_us: int, value: Value) -> Content:
        """What a reading says, as far as its message tells."""
        kind = self.roster.kinds[index]
        message = self._told.get((kind, sensor))
        unit: str | None = self._unit_written(self._sensors[kind][sensor])
        shown_us: int | None = ts_us
        if message is not None and message.payload is not None:
            template = message.payload
            if "unit" not in template.names and not self.roster.classes[kind].units_known:
                unit = None
            tells = template.time is not None and not self.roster.classes[kind].times_of_receipt
            shown_us = template.time_read(template.shown_time(ts_us)) if tells else None
        return Content(value, shown_us, unit, self.place(index, sensor))

    def _unit_written(self, sensor: Sensor) -> str:
        """A sensor's unit as the fleet's own formats write it: SenML has names of its own for some."""
        if self._format != "senml":
            return sensor.unit
        known = self._units.get((sensor.name, sensor.unit))
        if known is None:
            encode = Format("senml").encoder(sensor)
            assert encode is not None
            value: float | bytes = 0.0 if sensor.kind == "number" else value_texts(sensor)[0]
            known = self._units[sensor.name, sensor.unit] = (
                read("", encode(b"d", value, 0, 1, b"b")).unit or ""
            )
        return known

    def is_announcement(self, topic: str) -> bool:
        """Whether devices tell something of themselves there."""
        self._prepare()
        return topic in self._announced

    def read(self, topic: str, payload: bytes) -> list[MessageReading]:
        """The readings of a message. Raises `ValueError` or `msgspec.MsgspecError` for none of ours."""
        self._prepare()
        known = self._topics.get(topic)
        if known is None:
            return self._read_astray(topic, payload)
        if known.message.payload is None:
            return self._read_plain(topic, payload)
        return self._read_by(known, topic, payload)

    def _read_astray(self, topic: str, payload: bytes) -> list[MessageReading]:
        """A message on a topic that is none of its fleet's: what it says itself is all that is known."""
        if self._format in READS:
            return self._read_plain(topic, payload)
        for message in dict.fromkeys(map(id, self._told.values())):
            one = next(found for found in self._told.values() if id(found) == message)
            if one.payload is not None and one.payload.names & {"device", "number"}:
                try:
                    return self._read_by(_Source(one, None), topic, payload)
                except ValueError:
                    continue
        raise ValueError("a message on a topic of nobody's")

    def _read_plain(self, topic: str, payload: bytes) -> list[MessageReading]:
        message = read(topic, payload)
        index = self._index.get(message.device)
        content = message.content(topic)
        if index is not None and self._topic_of(index, message.sensor) == topic:
            content = content._replace(topic=self.place(index, message.sensor))
        return [MessageReading(Series(message.device, message.sensor), message.seq, message.boot, content)]

    def _topic_of(self, index: int, sensor: str) -> str | None:
        roster = self.roster
        kind = roster.kinds[index]
        message = self._told.get((kind, sensor))
        if message is None:
            return (
                f"iot/{roster.site(index)}/{roster.names[index]}/{sensor}"
                if sensor in self._sensors[kind]
                else None
            )
        known = self._topic_by.get((index, sensor))
        if known is None:
            known = MessageWriter(roster).topic(message, self._sensors[kind][sensor])(index)
            self._topic_by[index, sensor] = known
        return known

    def _read_by(self, source: _Source, topic: str, payload: bytes) -> list[MessageReading]:
        message = source.message
        template = message.payload
        assert template is not None
        held = template.read(payload.decode())
        if held is None:
            raise ValueError("not as its template writes it")
        index = self._device(message, held, source.index)
        kind = self.roster.kinds[index]
        at = held.get(template.time.key) if template.time is not None else None
        ts_us = template.time_read(at) if at is not None else None
        seq = held.get("seq:")
        return [
            MessageReading(
                Series(self.names[index], sensor.name),
                None if seq is None else int(seq),
                held.get("boot:"),
                Content(
                    value,
                    0 if template.time is not None and ts_us is None else ts_us,
                    held.get(
                        f"unit:{sensor.name}" if message.joint else "unit:", self._unit_due(index, sensor)
                    ),
                    self.place(index, sensor.name) if self._topic_of(index, sensor.name) == topic else topic,
                ),
            )
            for sensor, value in self._values(message, held, self.roster.classes[kind].sensor)
        ]

    def _unit_due(self, index: int, sensor: Sensor) -> str | None:
        """The unit that is due of a reading whose message does not tell one."""
        return sensor.unit if self.roster.classes[self.roster.kinds[index]].units_known else None

    def _device(self, message: PlannedMessage, held: dict[str, str], index: int | None) -> int:
        """The device of a message: the one that it names, else the one whose topic it is."""
        if (name := held.get("device:")) is not None:
            if name not in self._index:
                raise ValueError("a device of nobody's")
            return self._index[name]
        number = next((text for key, text in held.items() if key.startswith("number:")), None)
        if index is None and number is not None:
            form = next(field.arg for field in _fields(message) if field.name == "number")
            kinds = [kind for (kind, _), one in self._told.items() if one is message]
            found = self._numbers.get((kinds[0], int(number, 16 if form[-1:] in ("x", "X") else 10)))
            if found is not None:
                return found
        if index is None:
            raise ValueError("a message that names no device")
        return index

    def _values(
        self, message: PlannedMessage, held: dict[str, str], every: tuple[Sensor, ...]
    ) -> Iterator[tuple[Sensor, Value]]:
        """The sensors that a message tells of (``every`` are those of its class), and their values."""
        sensors = [every[place] for place in message.places]
        if (text := held.get("values:")) is not None:
            content = json.loads(text)
            for sensor in every:  # sensors of other intervals have messages of their own on this topic
                if content.get(sensor.name) is not None:
                    yield sensor, content[sensor.name]
            return
        if (named := held.get("sensor:")) is not None and not message.joint:
            sensors = [one for one in every if one.name == named]
        for sensor in sensors:
            name = sensor.name if message.joint else ""
            for field in _fields(message):
                if field.name in ("value", "json") and field.arg == name:
                    value = value_read(field, held[field.key])
                    if value is not None:
                        yield sensor, value
                    break

    def _prepare(self) -> None:
        """Note every topic of the run, once."""
        if self._topics:
            return
        roster = self.roster
        writer = MessageWriter(roster)
        for index, kind in enumerate(roster.kinds):
            self._numbers[kind, roster.number(index)] = index
            for message in planned(roster.classes[kind]):
                sensor = roster.classes[kind].sensor[message.places[0]]
                topic = writer.topic(message, sensor)(index)
                before = self._topics.get(topic)
                shared = before is not None and before.index != index
                self._topics[topic] = _Source(message, None if shared else index)
            self._announced.update(topic for topic, _ in announcements_of(roster, index))


def _fields(message: PlannedMessage) -> tuple[Field, ...]:
    assert message.payload is not None
    return message.payload.fields
