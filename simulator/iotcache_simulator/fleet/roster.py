"""The roster: which devices a fleet has, and the functions that say what they measure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from iotcache.model import Value
from iotcache_simulator.fleet.classes import shipped_classes
from iotcache_simulator.fleet.coverage import CoverageWindows
from iotcache_simulator.fleet.definition import DeviceClass, Sensor
from iotcache_simulator.fleet.formats.template import Template
from iotcache_simulator.fleet.messages import planned
from iotcache_simulator.fleet.waves.base import Function, Peers
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.noise import GOLDEN, MASK64, NORMAL, stream_key
from iotcache_simulator.fleet.waves.route import ROUTE_SALT, DriveRoute, RouteWave
from iotcache_simulator.fleet.waves.weather import with_site

_MICRO = 1_000_000
MIN_INTERVAL_US = 100
"""No series is measured more often, whatever rate is asked for."""


class SensorFunction(Struct, frozen=True):
    """A sensor of a class, compiled: everything that its devices share."""

    sensor: Sensor
    waves: Function
    salt: int
    """Decides at which moments of its interval each device measures; a drive's sensors do so together."""
    noise_salt: int

    def measure(self, device_key: int, t_us: int) -> Value:
        """What a device measures at the virtual time ``t_us`` (µs since the Unix epoch), as reported."""
        raw = self.waves(device_key, t_us / 1e6)
        sensor = self.sensor
        if sensor.kind == "boolean":
            return raw >= 0.5
        if sensor.kind == "enum":
            return sensor.states[int(raw)]
        if sensor.noise:
            raw += sensor.noise * noise_at(device_key ^ self.noise_salt, t_us)
        low, high = sensor.range
        raw = min(raw, high) if raw >= low else low
        scale = 10**sensor.precision
        value = ((raw * scale + 0.5) // 1) / scale
        return value if sensor.precision else int(value)


def noise_at(key: int, t_us: int) -> float:
    """Measurement noise of variance 1: new in every microsecond, the same for the same ``t_us``."""
    return NORMAL[(((key ^ t_us) * GOLDEN) & MASK64) >> 52]


def _compile(kind: DeviceClass) -> tuple[SensorFunction, ...]:
    peers = plain_peers(kind.waves, kind.route)
    return tuple(
        SensorFunction(
            sensor,
            peers[sensor.name],
            ROUTE_SALT if isinstance(sensor.waves[0], RouteWave) else stream_key(0, "sensor", sensor.name),
            stream_key(0, "noise", sensor.name),
        )
        for sensor in kind.sensor
    )


def plain_peers(waves: Mapping[str, Sequence[Wave]], routes: tuple[DriveRoute, ...] = ()) -> Peers[Function]:
    """The quantities of a class as plain functions."""
    return Peers(
        waves,
        lambda wave, salt, peers: wave.compile(salt, peers),
        lambda wave, salt, peers: wave.integral(salt, peers),
        _added,
        routes,
    )


def _added(parts: Sequence[Function]) -> Function:
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda key, t: first(key, t) + second(key, t)
    if len(parts) == 3:
        first, second, third = parts
        return lambda key, t: first(key, t) + second(key, t) + third(key, t)
    *head, last = parts
    before = _added(head)
    return lambda key, t: before(key, t) + last(key, t)


class Device(Struct, frozen=True, gc=False):
    """One device of the fleet."""

    index: int
    name: str
    site: str
    kind: int
    """Place of its class in the roster."""
    key: int
    """64 bits that all its randomness comes from."""


class Roster:
    """The devices of a fleet. Device ``n`` is the same whatever the size of the fleet."""

    def __init__(self, seed: int, devices: int, classes: Sequence[DeviceClass] = ()) -> None:
        self.seed = seed
        self.classes = tuple(classes) or shipped_classes()
        self.functions = tuple(_compile(kind) for kind in self.classes)
        self.names: list[str] = []
        self.keys = array("Q")
        self.kinds = array("H")
        numbers = array("L", bytes(array("L").itemsize * len(self.classes)))
        self._numbers = array("L")
        for kind in _dealt([c.weight for c in self.classes], devices):
            numbers[kind] += 1
            prefix = self.classes[kind].prefix or self.classes[kind].name
            name = _name(self.classes[kind].device, prefix, numbers[kind])
            self.names.append(name)
            self.kinds.append(kind)
            self._numbers.append(numbers[kind])
            site = self.site(len(self.names) - 1)
            self.keys.append(with_site(stream_key(seed, "device", name), seed, site))
        self.links = tuple(CoverageWindows(kind.link) if kind.link else None for kind in self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def number(self, index: int) -> int:
        """Which of the devices of its class a device is, from 1 on."""
        return self._numbers[index]

    def site(self, index: int) -> str:
        """The site that a device stands at: the sites of its class in turn."""
        sites = self.classes[self.kinds[index]].sites
        return sites[(self._numbers[index] - 1) % len(sites)]

    def device(self, index: int) -> Device:
        return Device(index, self.names[index], self.site(index), self.kinds[index], self.keys[index])

    def __iter__(self) -> Iterator[Device]:
        return (self.device(index) for index in range(len(self)))

    @property
    def series(self) -> int:
        """How many sensors all devices have together."""
        sizes = [len(kind.sensor) for kind in self.classes]
        return sum(sizes[kind] for kind in self.kinds)

    @property
    def natural_rate(self) -> float:
        """Messages a second when every sensor keeps its class's interval."""
        return self.natural_rate_of(range(len(self)))

    def natural_rate_of(self, devices: Iterable[int]) -> float:
        """The same of some devices."""
        counts = [0] * len(self.classes)
        for device in devices:
            counts[self.kinds[device]] += 1
        # Not `sum`: it adds floats more exactly since Python 3.12, and intervals are scaled by this.
        rate = 0.0
        for count, device_class in zip(counts, self.classes, strict=True):
            for sensor in _telling(device_class):
                rate += count / sensor.interval_s
        return rate

    def measure(self, device: str, sensor: str, t_us: int) -> Value:
        """What one sensor says at a virtual time: ``f(seed, device, sensor, t)``. Raises `KeyError`."""
        try:
            index = self.names.index(device)
        except ValueError:
            raise KeyError(device) from None
        for function in self.functions[self.kinds[index]]:
            if function.sensor.name == sensor:
                return function.measure(self.keys[index], t_us)
        raise KeyError(sensor)


def _name(template: str, prefix: str, number: int) -> str:
    if not template:
        return f"{prefix}-{number:04d}"
    return Template(template, "device").fill(lambda field: format(number, field.arg or "d"))


def _telling(kind: DeviceClass) -> list[Sensor]:
    """A sensor for each message that a device sends: of those told together the first."""
    if not kind.message:
        return list(kind.sensor)
    return [kind.sensor[message.places[0]] for message in planned(kind)]


def _dealt(weights: Sequence[int], count: int) -> Iterator[int]:
    """``count`` choices in proportion to ``weights``, evenly mixed (smooth weighted round robin)."""
    total = sum(weights)
    credit = [0] * len(weights)
    for _ in range(count):
        for n, weight in enumerate(weights):
            credit[n] += weight
        richest = max(range(len(weights)), key=credit.__getitem__)
        credit[richest] -= total
        yield richest


def interval_us(sensor: Sensor, scale: float) -> int:
    """A sensor's interval when the whole fleet runs ``scale`` times as often, in whole microseconds."""
    return max(MIN_INTERVAL_US, round(sensor.interval_s * _MICRO / scale))
