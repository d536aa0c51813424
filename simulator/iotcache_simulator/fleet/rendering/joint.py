"""Messages in the words of another fleet: a reading each, or the readings of several sensors put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from iotcache_simulator.fleet.definition import Sensor
from iotcache_simulator.fleet.formats.encoders import Encode
from iotcache_simulator.fleet.formats.template import Field, Template, object_text, value_text
from iotcache_simulator.fleet.messages import PlannedMessage
from iotcache_simulator.fleet.roster import Roster

Message = tuple[int, int, bytes, bytes, bytes]
_NOTHING: Final = "null"
"""What stands for a sensor of which there is no reading."""


class _Names:
    """What templates say of devices."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._index: dict[bytes, int] = {}

    def index(self, device: bytes) -> int:
        if not self._index:
            self._index = {name.encode(): at for at, name in enumerate(self._roster.names)}
        return self._index[device]

    def field(self, field: Field, index: int, sensor: Sensor | None) -> str:
        """A field of a device, and of a sensor of it. Raises `KeyError` for one of a reading."""
        roster = self._roster
        if field.name == "device":
            return roster.names[index]
        if field.name == "site":
            return roster.site(index)
        if field.name == "class":
            return roster.classes[roster.kinds[index]].name
        if field.name == "number":
            return format(roster.number(index), field.arg or "d")
        if field.name == "sensor" and sensor is not None:
            return sensor.name
        raise KeyError(field.name)


class MessageWriter:
    """Writes topics and payloads of one fleet by the templates of its classes."""

    def __init__(self, roster: Roster) -> None:
        self._names = _Names(roster)
        self._joints: dict[int, _Joint] = {}
        """By the number of their groups."""
        self._size = len(roster)

    @property
    def joins(self) -> bool:
        """Whether any message tells of several sensors."""
        return bool(self._joints)

    def topic(self, message: PlannedMessage, sensor: Sensor) -> Callable[[int], str]:
        """The topic of each device's messages."""
        names, of = self._names, None if message.joint else sensor
        return lambda index: message.topic.fill(lambda field: names.field(field, index, of))

    def encoder(self, message: PlannedMessage, sensor: Sensor) -> Encode | None:
        """How a reading is written; ``None``: in the format of the fleet."""
        if message.joint:
            return _piece(sensor)
        return None if message.payload is None else self._written(message.payload, sensor)

    def join(self, message: PlannedMessage, numbers: Mapping[int, Sensor]) -> None:
        """Let the readings of these groups, measured at the same moments, be one message."""
        assert message.payload is not None
        joint = _Joint(message.payload, dict(numbers))
        self._joints |= dict.fromkeys(numbers, joint)

    def joined(self, messages: Iterable[Message]) -> list[Message]:
        """The messages with the pieces of joint ones put together, in the place of the first."""
        out: list[Message | _Open] = []
        under_way: dict[tuple[object, ...], _Open] = {}
        for message in messages:
            at, number, topic, payload, line = message
            group, device = divmod(number, self._size)
            joint = self._joints.get(group)
            if joint is None:
                out.append(message)
                continue
            shown, seq, boot, text = payload.split(b" ", 3)
            key = (at, device, id(joint), shown, seq, boot)
            name = joint.sensors[group].name
            found = under_way.get(key)
            if found is None or name in found.texts:  # a device that sends twice sends all of it twice
                found = under_way[key] = _Open(at, number, topic, joint, int(shown), int(seq), boot.decode())
                out.append(found)
            found.texts[name] = text.decode()
            found.lines.append(line)
        return [self._closed(one) if isinstance(one, _Open) else one for one in out]

    def _closed(self, found: _Open) -> Message:
        joint, texts, index = found.joint, found.texts, found.number % self._size
        template = joint.template
        units = {sensor.name: sensor.unit for sensor in joint.sensors.values()}

        def fill(field: Field) -> str:
            if field.name in ("value", "json"):
                return value_text(field, texts.get(field.arg, _NOTHING))
            if field.name == "unit":
                return units[field.arg]
            if field.name == "values":
                return object_text({name: texts[name] for name in units if name in texts})
            return self._of_reading(template, field, index, found.shown_us, found.seq, found.boot, None)

        return found.at, found.number, found.topic, template.fill(fill).encode(), b"".join(found.lines)

    def _of_reading(  # noqa: PLR0917  # what a reading is
        self, template: Template, field: Field, index: int, shown_us: int, seq: int, boot: str,
        sensor: Sensor | None,
    ) -> str:  # fmt: skip
        if field.name in ("ts", "ts_ms"):
            return template.shown_time(shown_us // 1_000 * 1_000)
        if field.name == "seq":
            return str(seq)
        return boot if field.name == "boot" else self._names.field(field, index, sensor)

    def _written(self, template: Template, sensor: Sensor) -> Encode:
        names, precision = self._names, sensor.precision

        def encode(device: bytes, value: float | bytes, shown_us: int, seq: int, boot: bytes) -> bytes:
            index = names.index(device)
            text = value.decode() if isinstance(value, bytes) else f"{value:.{precision}f}"

            def fill(field: Field) -> str:
                if field.name in ("value", "json"):
                    return value_text(field, text)
                if field.name == "unit":
                    return sensor.unit
                return self._of_reading(template, field, index, shown_us, seq, boot.decode(), sensor)

            return template.fill(fill).encode()

        return encode


def _piece(sensor: Sensor) -> Encode:
    """A reading on its way into a joint message."""
    precision = sensor.precision

    def encode(device: bytes, value: float | bytes, shown_us: int, seq: int, boot: bytes) -> bytes:
        text = value if isinstance(value, bytes) else b"%.*f" % (precision, value)
        return b"%d %d %b %b" % (shown_us, seq, boot, text)

    return encode


class _Joint(Struct, frozen=True, eq=False):
    template: Template
    sensors: dict[int, Sensor]


class _Open(Struct):
    """A joint message that is being put together."""

    at: int
    number: int
    topic: bytes
    joint: _Joint
    shown_us: int
    seq: int
    boot: str
    texts: dict[str, str] = {}
    lines: list[bytes] = []


def announcements_of(roster: Roster, index: int) -> Iterable[tuple[str, str]]:
    """What a device announces: topics and payloads."""
    names, kind = _Names(roster), roster.classes[roster.kinds[index]]
    for announcement in kind.announce:
        topic, payload = Template(announcement.topic, "topic"), Template(announcement.payload, "payload")
        each = "sensor" in topic.names
        for sensor in kind.sensor if each else kind.sensor[:1]:

            def fill(field: Field, sensor: Sensor = sensor, *, each: bool = each) -> str:
                if field.name == "unit" and each:
                    return sensor.unit
                return names.field(field, index, sensor if each else None)

            yield topic.fill(fill), payload.fill(fill)
