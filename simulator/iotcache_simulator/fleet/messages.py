"""The messages of a device class: which of its sensors are told together, where, and in what form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from msgspec.structs import replace

from iotcache.errors import ConfigError
from iotcache_simulator.fleet.definition import DeviceClass, MessageTemplate
from iotcache_simulator.fleet.formats.template import Template

DEFAULT_TOPIC: Final = "iot/{site}/{device}/{sensor}"
_IN_TOPICS: Final = frozenset({"device", "site", "class", "number", "sensor"})


class PlannedMessage(Struct, frozen=True):
    """One kind of message of a class."""

    topic: Template
    payload: Template | None
    """``None``: in the format that the fleet speaks."""
    places: tuple[int, ...]
    """The sensors that it tells, by their place in the class."""
    joint: bool
    """Whether it tells them together, whatever it has been measured one by one."""

    @property
    def has_identity(self) -> bool:
        """Whether a reading is known by its number: payloads of the fleet's own formats are."""
        return self.payload is None or {"seq", "boot"} <= self.payload.names | self.topic.names


@lru_cache(maxsize=256)
def _planned(
    messages: tuple[MessageTemplate, ...], sensors: tuple[tuple[str, float], ...]
) -> tuple[PlannedMessage, ...]:
    return tuple(_plan(messages, sensors))


def planned(kind: DeviceClass) -> tuple[PlannedMessage, ...]:
    """The messages of a class; empty for one that tells each reading as fleets of ours do.

    Raises `ConfigError` for templates that cannot be.
    """
    if not kind.message:
        return ()
    return _planned(kind.message, tuple((sensor.name, sensor.interval_s) for sensor in kind.sensor))


def _plan(
    messages: tuple[MessageTemplate, ...], sensors: tuple[tuple[str, float], ...]
) -> Iterator[PlannedMessage]:
    names = [name for name, _ in sensors]
    read = [_read(message) for message in messages]
    claimed: list[list[str]] = []
    for message, (_, payload) in zip(messages, read, strict=True):
        named = list(payload.sensors) if payload is not None else []
        for name in (*named, *message.sensors):
            if name not in names:
                raise ConfigError(f"there is no sensor {name!r} for a message to tell of")
        claimed.append(named or list(message.sensors))
    taken = [name for claim in claimed for name in claim]
    twice = next((name for name in taken if taken.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two messages tell of the sensor {twice!r}")
    for (topic, payload), claim in zip(read, claimed, strict=True):
        own = claim or [name for name in names if name not in taken]
        taken += own
        places = tuple(sorted(names.index(name) for name in own))
        joint = payload is not None and bool(payload.sensors or "values" in payload.names)
        if not joint:
            for place in places:
                yield PlannedMessage(topic, payload, (place,), joint=False)
            continue
        if "sensor" in topic.names:
            raise ConfigError("a topic of several sensors has no {sensor}")
        assert payload is not None
        intervals = dict.fromkeys(sensors[place][1] for place in places)
        if payload.sensors and len(intervals) > 1:
            raise ConfigError("sensors that are told together must have the same interval_s")
        for interval_s in intervals:
            yield PlannedMessage(
                topic,
                payload,
                tuple(place for place in places if sensors[place][1] == interval_s),
                joint=True,
            )
    missing = next((name for name in names if name not in taken), None)
    if missing is not None:
        raise ConfigError(f"no message tells of the sensor {missing!r}")


def _read(message: MessageTemplate) -> tuple[Template, Template | None]:
    zone = zone_of(message.zone)
    topic = topic_template(message.topic)
    payload = None if message.payload is None else Template(message.payload, "payload", zone)
    if payload is None:
        return topic, None
    if not payload.fields:
        raise ConfigError("payload: the template holds no field such as {value}")
    if payload.sensors and payload.names & {"sensor", "values"}:
        raise ConfigError("payload: a message of named sensors has neither {sensor} nor {values}")
    for field in payload.fields:
        if payload.sensors and field.name in ("value", "json", "unit") and not field.arg:
            raise ConfigError(f"payload: whose {{{field.name}}}? It is written {{{field.name}:SENSOR}} here")
    return topic, payload


def topic_template(text: str) -> Template:
    """Raises `ConfigError` for what is no topic."""
    topic = Template(text, "topic")
    others = topic.names - _IN_TOPICS
    if others:
        raise ConfigError(f"topic: a topic cannot hold {{{sorted(others)[0]}}}")
    if not text or len(text) > 1_000 or any(sign in text for sign in "+#\0"):
        raise ConfigError(f"topic: {text!r} is no topic to publish on: it holds no + and no #")
    return topic


def zone_of(name: str) -> tzinfo:
    """Raises `ConfigError` for a zone that nobody knows."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"there is no time zone {name!r}; one is called Europe/Amsterdam, say") from error


def with_message(
    classes: tuple[DeviceClass, ...], topic: str | None, payload: str | None, zone: str = ""
) -> tuple[DeviceClass, ...]:
    """The classes with this message in place of their own. Raises `ConfigError`."""
    template = None if payload is None else Template(payload)
    joint = template is not None and bool(template.sensors or "values" in template.names)
    default = DEFAULT_TOPIC.rpartition("/")[0] if joint else DEFAULT_TOPIC
    message = MessageTemplate(topic or default, payload, zone=zone)
    changed = tuple(replace(kind, message=(message,), announce=()) for kind in classes)
    for kind in changed:
        planned(kind)
    return changed


def filters_of(classes: tuple[DeviceClass, ...]) -> tuple[str, ...]:
    """The subscriptions that take all topics of some classes."""
    found: dict[str, None] = {}
    for kind in classes:
        for message in planned(kind):
            slashes = any("/" in kind.sensor[place].name for place in message.places)
            found[_filter(message.topic, slashes=slashes)] = None
        if not kind.message:
            found["iot/+/+/+"] = None
    return tuple(found)


def _filter(topic: Template, *, slashes: bool) -> str:
    levels = "".join(part if isinstance(part, str) else "\0" for part in topic.parts).split("/")
    deep = slashes and any(field.name == "sensor" for field in topic.fields)
    shown = ["+" if "\0" in level else level for level in levels]
    return "/".join([*shown[:-1], "#"] if deep else shown)
