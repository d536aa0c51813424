"""Which faults strike which devices, and when: a fault file against a roster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from iotcache.errors import ConfigError
from iotcache_simulator.faults.kinds import FAULT_KINDS, PUSH_FAULTS, Fault
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.fleet.waves.noise import stream_key, unit

_MICRO = 1_000_000
_FOREVER_US = 1 << 62


class FaultFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of faults: ``[[fault]]`` tables."""

    fault: tuple[Fault, ...]


class Scheduled(Struct, frozen=True):
    """One fault at one sensor of one class. Times are µs since the start of the run."""

    fault: Fault
    number: int
    """Its place in the file."""
    begin_us: int
    end_us: int
    until_us: int
    """To when it matters: ``end_us``, or for ever."""
    devices: frozenset[int]
    salt: int

    def strikes(self, device: int, at_us: int) -> bool:
        return self.begin_us <= at_us < self.until_us and device in self.devices


def load_faults(path: str, roster: Roster) -> tuple[Fault, ...]:
    """The faults of a TOML file. Raises `ConfigError` with one sentence that names line and key."""
    text = read_file(path, "fault")
    faults = read(text, path, FaultFile, FAULT_KINDS).fault
    for at, fault in enumerate(faults):
        if wrong := unusable(fault, roster):
            key, reason = wrong
            raise complaint(path, text, reason, ("fault", at, key))
    if not faults:
        raise ConfigError(f"{path} holds no fault")
    return faults


def unusable(fault: Fault, roster: Roster) -> tuple[str, str] | None:
    """The key of a fault that does not fit this fleet, and why; ``None`` when all do."""
    known = {
        "classes": {kind.name for kind in roster.classes},
        "devices": set(roster.names) if fault.devices else set(),
        "sensors": {sensor.name for kind in roster.classes for sensor in kind.sensor},
    }
    for key, what in (("classes", "class"), ("devices", "device"), ("sensors", "sensor")):
        for name in getattr(fault, key):
            if name not in known[key]:
                return key, f"the fleet has no {what} {name!r}"
    return ("by_s", "0 would do nothing") if getattr(fault, "by_s", 1) == 0 else None


def schedule(
    faults: Iterable[Fault], roster: Roster, kind: int, sensor: str, members: Iterable[int], *, first: int = 0
) -> tuple[Scheduled, ...]:
    """The faults that strike a sensor of a class, with the devices (of ``members``) each one strikes.

    ``first`` is the place of the first of them in the file.
    """
    found = []
    name = roster.classes[kind].name
    devices = tuple(members)
    for number, fault in enumerate(faults, first):
        if isinstance(fault, PUSH_FAULTS):
            continue
        if (fault.classes and name not in fault.classes) or (fault.sensors and sensor not in fault.sensors):
            continue
        struck = frozenset(struck_devices(fault, number, roster, devices))
        if struck:
            begin = round(fault.at_s * _MICRO)
            end = _FOREVER_US if fault.for_s is None else begin + round(fault.for_s * _MICRO)
            salt = stream_key(roster.seed, "fault", str(number), sensor)
            until = _FOREVER_US if fault.lasting else end
            found.append(Scheduled(fault, number, begin, end, until, struck, salt))
    return tuple(found)


def struck_devices(fault: Fault, number: int, roster: Roster, devices: Iterable[int]) -> Iterator[int]:
    """Those of ``devices`` that a fault strikes; ``number`` is its place in the file.

    The share is drawn by device, not by sensor: a device that is struck is struck whole.
    """
    draw = stream_key(roster.seed, "fault", str(number))
    names, classes = frozenset(fault.devices), frozenset(fault.classes)
    for device in devices:
        if (
            (not names or roster.names[device] in names)
            and (not classes or roster.classes[roster.kinds[device]].name in classes)
            and (fault.share >= 1.0 or unit(roster.keys[device] ^ draw) < fault.share)
        ):
            yield device
