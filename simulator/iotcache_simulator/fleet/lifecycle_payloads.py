"""What a device says of itself besides its readings: its birth, its configuration, its death.

All JSON. Birth and configuration are retained, so that who comes later hears them; a death is told once, by
the broker (last will) or by the device. None of them is a reading, and none is part of the stream's digest.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from iotcache.clock import utc_text
from iotcache_simulator.fleet.roster import Roster

_encode = msgspec.json.Encoder().encode
LOST = "connection lost"
ENDED = "switched off"


class Measured(Struct, frozen=True):
    """One sensor, as a birth lists it."""

    name: str
    unit: str
    kind: str
    """``number``, ``boolean`` or ``enum``."""
    interval_s: float


class Birth(Struct, frozen=True):
    """The payload of ``iot/{site}/{device}/birth``."""

    device: str
    site: str
    device_class: str = msgspec.field(name="class")
    ts: str
    boot: str
    cfg_version: int
    metadata: dict[str, str | int | float | bool]
    sensors: list[Measured]


class Configuration(Struct, frozen=True):
    """The payload of ``iot/{site}/{device}/cfg``."""

    device: str
    version: int
    interval_s: dict[str, float]
    """How often each sensor is to measure."""


class Death(Struct, frozen=True):
    """The payload of ``iot/{site}/{device}/death``."""

    device: str
    reason: str


def lifecycle_topic(roster: Roster, index: int, what: str) -> str:
    """``iot/{site}/{device}/{what}``."""
    return f"iot/{roster.site(index)}/{roster.names[index]}/{what}"


def birth(
    roster: Roster, index: int, *, shown_us: int, boot: str, scale: float, version: int | None = None
) -> bytes:
    """A device's birth. ``scale``: how many times as often as its class says the fleet measures;
    ``version``: of the configuration that it follows, if not its class's."""
    kind = roster.classes[roster.kinds[index]]
    return _encode(
        Birth(
            device=roster.names[index],
            site=roster.site(index),
            device_class=kind.name,
            ts=utc_text(shown_us // 1_000 * 1_000),
            boot=boot,
            cfg_version=kind.config_version if version is None else version,
            metadata=kind.metadata,
            sensors=[
                Measured(sensor.name, sensor.unit, sensor.kind, _interval_s(sensor.interval_s, scale))
                for sensor in kind.sensor
            ],
        )
    )


def configuration(roster: Roster, index: int, *, scale: float) -> bytes:
    """A device's configuration, with the version of its class."""
    kind = roster.classes[roster.kinds[index]]
    intervals = {sensor.name: _interval_s(sensor.interval_s, scale) for sensor in kind.sensor}
    return _encode(Configuration(roster.names[index], kind.config_version, intervals))


def death(roster: Roster, index: int, reason: str) -> bytes:
    """A device's death."""
    return _encode(Death(roster.names[index], reason))


def _interval_s(class_s: float, scale: float) -> float:
    return round(class_s / scale, 6)
