"""What a device class consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from iotcache_simulator.fleet.waves.base import Positive
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.route import DriveRoute
from iotcache_simulator.fleet.waves.waves import Boolean

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""What may stand in a topic level and a cache key as it is."""


SensorKind = Literal["number", "boolean", "enum"]


def kind_of(waves: Sequence[Wave]) -> SensorKind:
    """What the sum of some waves is."""
    return "boolean" if isinstance(waves[0], Boolean) else "enum" if waves[0].states_of() else "number"


SensorName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,62}$")]
"""The same, and what names of other people's fleets are made of: ``switch:0/apower``."""


class MessageTemplate(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A kind of message, in the words of another fleet: texts with fields (docs/simulator.md)."""

    topic: str
    payload: str | None = None
    """``None``: in the format that the fleet speaks."""
    sensors: tuple[str, ...] = ()
    """Which it tells: those that the payload names, or all that no other message tells."""
    zone: str = ""
    """Of its times, as ``Europe/Amsterdam``; UTC when not given."""


class DeviceAnnouncement(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a device says of itself on each new connection, retained; with ``{sensor}``, of each sensor."""

    topic: str
    payload: str


class Sensor(Struct, frozen=True, forbid_unknown_fields=True):
    """One sensor of a class: its waves are added up, noise is put on, the sum is kept in range."""

    name: SensorName
    waves: Annotated[tuple[Wave, ...], Meta(min_length=1)]
    interval_s: Annotated[float, Meta(ge=0.01, le=86_400)]
    unit: Annotated[str, Meta(max_length=16)] = ""
    range: tuple[float, float] = (-1e12, 1e12)
    precision: Annotated[int, Meta(ge=0, le=6)] = 2
    """DecimalTexts that the device reports."""
    noise: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation of what differs from one measurement to the next."""

    @property
    def kind(self) -> SensorKind:
        return kind_of(self.waves)

    @property
    def states(self) -> tuple[str, ...]:
        """The texts that an enum sensor reports; empty for any other."""
        return self.waves[0].states_of()


class Quantity(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that no sensor reports and that waves of sensors and of other quantities refer to."""

    name: Name
    waves: Annotated[tuple[Wave, ...], Meta(min_length=1)]

    @property
    def kind(self) -> SensorKind:
        return kind_of(self.waves)


class RadioLink(Struct, frozen=True, forbid_unknown_fields=True):
    """How a class's devices lose their connection: once in each ``every_s`` for ``min_s`` to ``max_s``.

    What was measured meanwhile is sent afterwards, in order, within ``catchup_s``.
    """

    every_s: Positive
    min_s: Positive
    max_s: Positive
    catchup_s: Annotated[float, Meta(ge=0, le=60)] = 2.0


class DeviceClass(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of device."""

    name: Name
    sites: Annotated[tuple[Name, ...], Meta(min_length=1)]
    sensor: Annotated[tuple[Sensor, ...], Meta(min_length=1)]
    prefix: Name | None = None
    """What device names begin with; the class's name when not given."""
    weight: Annotated[int, Meta(ge=0, le=10_000)] = 10
    """Its part of a mixed fleet, against the weights of the other classes."""
    link: RadioLink | None = None
    """``None``: always connected."""
    quantity: tuple[Quantity, ...] = ()
    route: tuple[DriveRoute, ...] = ()
    """Each device drives one of them."""
    description: str = ""
    metadata: dict[str, str | int | float | bool] = {}
    config_version: Annotated[int, Meta(ge=1)] = 1
    """Version of the configuration that its devices hold."""
    device: str = ""
    """What its devices are called, ``{number}`` being theirs; ``prefix-0001`` when not given."""
    message: tuple[MessageTemplate, ...] = ()
    """None: a message a reading, as fleets of ours tell them."""
    announce: tuple[DeviceAnnouncement, ...] = ()
    units_known: bool = False
    """Whether who reads its messages knows the units, though they do not tell."""
    times_of_receipt: bool = False
    """Whether who reads its messages takes the time of receipt, though they may tell one."""

    @property
    def entries(self) -> list[Quantity | Sensor]:
        """Everything that has a name and waves."""
        return [*self.quantity, *self.sensor]

    @property
    def waves(self) -> Mapping[str, tuple[Wave, ...]]:
        """By name, what every sensor and quantity is made of."""
        return {entry.name: entry.waves for entry in self.entries}
