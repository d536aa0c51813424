"""Device classes: what a kind of device measures, read from TOML files.

The shipped ones lie beside this module in ``classes/``; a user's file is read the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from msgspec import Meta, Struct

from iotcache.decode.topics import RESERVED_SENSORS
from iotcache.errors import ConfigError
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.fleet.waves.waves import WAVE_KINDS, Boolean, Enum, Follows, Positive, Wave

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""What may stand in a topic level and a cache key as it is."""


VALUE_MAX = 1e15
"""Beyond it a number of 64 bits has no room for decimals."""


class Sensor(Struct, frozen=True, forbid_unknown_fields=True):
    """One sensor of a class: its waves are added up, noise is put on, the sum is kept in range."""

    name: Name
    waves: Annotated[tuple[Wave, ...], Meta(min_length=1)]
    interval_s: Annotated[float, Meta(ge=0.01, le=86_400)]
    unit: Annotated[str, Meta(max_length=16)] = ""
    range: tuple[float, float] = (-1e12, 1e12)
    precision: Annotated[int, Meta(ge=0, le=6)] = 2
    """Decimals that the device reports."""
    noise: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation of what differs from one measurement to the next."""

    @property
    def kind(self) -> Literal["number", "boolean", "enum"]:
        first = self.waves[0]
        return "boolean" if isinstance(first, Boolean) else "enum" if isinstance(first, Enum) else "number"

    @property
    def states(self) -> tuple[str, ...]:
        """The texts that an enum sensor reports; empty for any other."""
        first = self.waves[0]
        return first.states if isinstance(first, Enum) else ()


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
    description: str = ""
    metadata: dict[str, str | int | float | bool] = {}
    config_version: Annotated[int, Meta(ge=1)] = 1
    """Version of the configuration that its devices hold."""


_SHIPPED_ORDER = ("cold-room", "hvac", "pump", "power-meter", "truck", "gateway")


@cache
def shipped_classes() -> tuple[DeviceClass, ...]:
    """The classes that come with the program, in a fixed order."""
    folder = files("iotcache_simulator.fleet") / "classes"
    return tuple(
        parse_class((folder / f"{name}.toml").read_text("utf-8"), f"{name}.toml") for name in _SHIPPED_ORDER
    )


def load_classes(names_or_files: Iterable[str] = ()) -> tuple[DeviceClass, ...]:
    """The classes asked for: names of shipped ones or paths of TOML files; all shipped ones for none.

    Raises `ConfigError` with one sentence that names the file, the line and the key.
    """
    wanted = tuple(names_or_files)
    if not wanted:
        return shipped_classes()
    shipped = {kind.name: kind for kind in shipped_classes()}
    found: dict[str, DeviceClass] = {}
    for item in wanted:
        if item in shipped:
            kind = shipped[item]
        elif item.endswith(".toml") or "/" in item:
            kind = parse_class(read_file(item, "device class"), item)
        else:
            raise ConfigError(
                f"there is no device class {item!r}: name one of {', '.join(shipped)}, or a .toml file"
            )
        if found.setdefault(kind.name, kind) != kind:
            raise ConfigError(f"two of the device classes are named {kind.name!r}")
    prefixes = [kind.prefix or kind.name for kind in found.values()]
    if len(set(prefixes)) < len(prefixes):
        raise ConfigError("two of the device classes give their devices the same prefix")
    if not any(kind.weight for kind in found.values()):
        raise ConfigError("every device class has weight 0, so no device could be made")
    return tuple(found.values())


def parse_class(text: str, file: str) -> DeviceClass:
    """The class that a TOML text describes. Raises `ConfigError` naming ``file``, line and key."""
    kind = read(text, file, DeviceClass, WAVE_KINDS)
    for path, reason in _contradictions(kind):
        raise complaint(file, text, reason, path)
    return kind


def _contradictions(kind: DeviceClass) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What types alone cannot rule out: ``(path, reason)`` of each mistake."""
    names = [sensor.name for sensor in kind.sensor]
    for at, sensor in enumerate(kind.sensor):
        here: tuple[str | int, ...] = ("sensor", at)
        if names.index(sensor.name) != at:
            yield (*here, "name"), f"there are two sensors named {sensor.name!r}"
        if sensor.name in RESERVED_SENSORS:
            yield (
                (*here, "name"),
                f"{sensor.name!r} in a sensor's place in a topic says that the message is no reading",
            )
        if sensor.range[0] >= sensor.range[1]:
            yield (*here, "range"), "the lower end must be below the upper end"
        if max(map(abs, sensor.range)) > VALUE_MAX:
            yield (*here, "range"), f"its ends must lie within {VALUE_MAX:g} of zero"
        if sensor.kind != "number" and len(sensor.waves) > 1:
            yield (*here, "waves"), f"a {sensor.kind} wave stands alone"
        for number, wave in enumerate(sensor.waves):
            if number and isinstance(wave, Boolean | Enum):
                yield (*here, "waves", number, "kind"), "a boolean or enum wave stands alone"
            if isinstance(wave, Follows) and wave.sensor not in names[:at]:
                yield (
                    (*here, "waves", number, "sensor"),
                    f"{wave.sensor!r} is not a sensor above this one, so it cannot be followed",
                )
            if isinstance(wave, Enum) and wave.weights:
                if len(wave.weights) != len(wave.states):
                    yield (*here, "waves", number, "weights"), "there must be one weight for each state"
                elif not any(wave.weights):
                    yield (*here, "waves", number, "weights"), "one weight at least must be above 0"
    if kind.link is not None:
        if kind.link.max_s < kind.link.min_s:
            yield ("link", "max_s"), "max_s must not be below min_s"
        if kind.link.max_s + kind.link.catchup_s > 0.9 * kind.link.every_s:
            yield ("link", "max_s"), "max_s and catchup_s together must be below 0.9 of every_s"
