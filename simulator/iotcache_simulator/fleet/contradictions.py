"""Mistakes in a device class that types alone cannot rule out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from iotcache.decode.topics import RESERVED_SENSORS
from iotcache.errors import ConfigError
from iotcache_simulator.fleet.definition import DeviceClass, Quantity, Sensor
from iotcache_simulator.fleet.formats.template import Template
from iotcache_simulator.fleet.messages import planned, topic_template
from iotcache_simulator.fleet.waves.derived import Bands, CurveWave, Follows, Integral, StateValues
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.route import RouteWave
from iotcache_simulator.fleet.waves.waves import Boolean, Constant, Counter, Enum

VALUE_MAX = 1e15
"""Beyond it a number of 64 bits has no room for decimals."""
Path = tuple[str | int, ...]
Mistake = tuple[Path, str]
Entry = Quantity | Sensor


def contradictions(kind: DeviceClass) -> Iterator[Mistake]:
    """``(path, reason)`` of each mistake."""
    known = {entry.name: entry for entry in kind.entries}
    seen: set[str] = set()
    entries: list[tuple[Path, Entry]] = [
        *((("quantity", at), quantity) for at, quantity in enumerate(kind.quantity)),
        *((("sensor", at), sensor) for at, sensor in enumerate(kind.sensor)),
    ]
    for here, entry in entries:
        if entry.name in seen:
            yield (*here, "name"), f"there are two sensors named {entry.name!r}"
        seen.add(entry.name)
        for number, wave in enumerate(entry.waves):
            yield from _of_wave(kind, entry, wave, known, (*here, "waves", number))
        if entry.kind != "number" and len(entry.waves) > 1:
            yield (*here, "waves"), f"a {entry.kind} wave stands alone"
    for at, sensor in enumerate(kind.sensor):
        yield from _of_sensor(kind, sensor, ("sensor", at))
    yield from _of_routes(kind)
    yield from _of_messages(kind)
    if kind.link is not None:
        if kind.link.max_s < kind.link.min_s:
            yield ("link", "max_s"), "max_s must not be below min_s"
        if kind.link.max_s + kind.link.catchup_s > 0.9 * kind.link.every_s:
            yield ("link", "max_s"), "max_s and catchup_s together must be below 0.9 of every_s"


def _of_messages(kind: DeviceClass) -> Iterator[Mistake]:
    try:
        planned(kind)
    except ConfigError as error:
        yield ("message",), str(error)
    try:
        name = Template(kind.device or "{number}", "device")
        if name.names != {"number"} or not _DEVICE.fullmatch(name.fill(lambda field: "1")):
            yield ("device",), 'a name of devices is letters, digits and . _ - with {number}: "plug-{number}"'
    except ConfigError as error:
        yield ("device",), str(error)
    for at, announcement in enumerate(kind.announce):
        try:
            names = topic_template(announcement.topic).names | Template(announcement.payload, "payload").names
            of_sensor = {"unit", "sensor"} & names
            wrong = names - {"device", "site", "class", "number", "unit", "sensor"}
            if wrong or (of_sensor and "sensor" not in topic_template(announcement.topic).names):
                field = sorted(wrong or of_sensor)[0]
                yield (
                    ("announce", at),
                    f"a device announces no {{{field}}} (of a sensor only with {{sensor}} in the topic)",
                )
        except ConfigError as error:
            yield ("announce", at), str(error)
    for at, sensor in enumerate(kind.sensor):
        if not kind.message and not _LEVEL.fullmatch(sensor.name):
            yield (
                ("sensor", at, "name"),
                "a name with / or : needs a [[message]] that says on which topic it is told",
            )


_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LEVEL = _DEVICE


def _of_sensor(kind: DeviceClass, sensor: Sensor, here: Path) -> Iterator[Mistake]:
    if sensor.name in RESERVED_SENSORS:
        yield (
            (*here, "name"),
            f"{sensor.name!r} in a sensor's place in a topic says that the message is no reading",
        )
    low, high = sensor.range
    if low >= high:
        yield (*here, "range"), "the lower end must be below the upper end"
    if max(abs(low), abs(high)) > VALUE_MAX:
        yield (*here, "range"), f"its ends must lie within {VALUE_MAX:g} of zero"
    waves = kind.waves
    counting = [_counts(wave, kind) for wave in sensor.waves]
    if any(counting):
        if sensor.noise:
            yield (
                (*here, "noise"),
                "a counter never falls, so it takes no noise: give the noise to what it counts",
            )
        for number, wave in enumerate(sensor.waves):
            if not (counting[number] or isinstance(wave, Constant)):
                yield (
                    (*here, "waves", number, "kind"),
                    "a counter never falls, so only constant waves may be added to it",
                )
            elif isinstance(wave, Follows) and wave.gain < 0 and wave.sensor in waves:
                yield (*here, "waves", number, "gain"), "a counter never falls, so its gain cannot be below 0"


def _counts(wave: Wave, kind: DeviceClass, depth: int = 0) -> bool:
    """Whether a wave is a counter: one itself, another's, or the integral of what is never below zero."""
    if isinstance(wave, Counter) or (isinstance(wave, RouteWave) and wave.gives == "odometer"):
        return True
    if isinstance(wave, Integral):
        return any(sensor.name == wave.sensor and sensor.range[0] >= 0 for sensor in kind.sensor)
    if isinstance(wave, Follows) and depth < len(kind.waves):
        return any(_counts(one, kind, depth + 1) for one in kind.waves.get(wave.sensor, ()))
    return False


def _of_wave(
    kind: DeviceClass,
    entry: Entry,
    wave: Wave,
    known: Mapping[str, Entry],
    here: Path,
) -> Iterator[Mistake]:
    if here[-1] and (isinstance(wave, Boolean) or wave.states_of()):
        yield (*here, "kind"), "a boolean or enum wave stands alone"
    if isinstance(wave, Enum) and wave.weights:
        if len(wave.weights) != len(wave.states):
            yield (*here, "weights"), "there must be one weight for each state"
        elif not any(wave.weights):
            yield (*here, "weights"), "one weight at least must be above 0"
    if isinstance(wave, RouteWave) and not kind.route:
        yield (*here, "kind"), "a route wave needs a [[route]] in the class"
    if isinstance(wave, Bands):
        if len(wave.at) != len(wave.states) - 1:
            yield (*here, "at"), "there must be one limit between two states"
        elif list(wave.at) != sorted(set(wave.at)):
            yield (*here, "at"), "the limits must rise"
    if isinstance(wave, CurveWave):
        sources = [x for x, _ in wave.points]
        if sources != sorted(set(sources)):
            yield (*here, "points"), "the first numbers of the points must rise"
    for name in wave.references():
        if (source := known.get(name)) is None:
            yield (*here, "sensor"), f"there is no sensor or quantity {name!r} in this class"
        elif circle := _circle(entry.name, name, known):
            yield (*here, "sensor"), f"{circle} are made of each other"
        else:
            yield from _of_source(wave, source, known, here)


def _of_source(wave: Wave, source: Entry, known: Mapping[str, Entry], here: Path) -> Iterator[Mistake]:
    if isinstance(wave, StateValues):
        states = source.waves[0].states_of() or ("false", "true")
        if source.kind == "number":
            yield (*here, "sensor"), f"{source.name!r} has no states: it is a number"
        elif set(wave.values) != set(states):
            yield (*here, "values"), f"there must be a value for each of {', '.join(states)}, and no other"
    elif source.kind == "enum":
        yield (
            (*here, "sensor"),
            f"{source.name!r} is a text, not a number: a wave of kind state makes numbers of it",
        )
    elif isinstance(wave, Integral) and (why := _no_integral(source, known)):
        yield (*here, "sensor"), why


def _no_integral(source: Entry, known: Mapping[str, Entry]) -> str:
    """Why a quantity's integral has no closed form; empty when it has one."""
    for wave in source.waves:
        why = wave.why_no_integral()
        if not why:
            why = next((_no_integral(known[name], known) for name in wave.references() if name in known), "")
        if why:
            return why
    return ""


def _circle(start: str, name: str, known: Mapping[str, Entry]) -> str:
    """The names on a way from ``name`` back to ``start``; empty when there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == start:
            return (
                " and ".join(map(repr, dict.fromkeys((start, *way))))
                if len(way) > 1
                else f"{start!r} and itself"
            )
        if way[-1] in seen or way[-1] not in known:
            continue
        seen.add(way[-1])
        ways += [(*way, other) for other in _references(known[way[-1]])]
    return ""


def _references(entry: Entry) -> Iterable[str]:
    return [name for wave in entry.waves for name in wave.references()]


def _of_routes(kind: DeviceClass) -> Iterator[Mistake]:
    for at, route in enumerate(kind.route):
        points = route.point
        for number, point in enumerate(points):
            if point.at == points[(number + 1) % len(points)].at:
                yield ("route", at, "point", number, "at"), "the next point must lie elsewhere"
