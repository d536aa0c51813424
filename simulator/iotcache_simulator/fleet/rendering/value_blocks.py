"""Values made a block at a time: the next few hundred readings of one sensor of one class.

A fleet's values are a pure function of device and time, so it does not matter when they are made. Arrays make
hundreds in the time that a loop takes for a few, however short the windows are in which readings are sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from iotcache_simulator.fleet.definition import Sensor
from iotcache_simulator.fleet.rendering.array_waves import ArrayFunction, Floats, Integers, Keys, normals
from iotcache_simulator.fleet.rendering.single_threaded_numpy import np

BLOCK_MIN: Final = 64
BLOCK_MAX: Final = 512
"""Readings made at a time: two of each device within these bounds, so that small fleets stay small."""

Moment = Callable[[int, int], int]
"""``(cycle, place among the devices) -> µs since the start``, of a reading that does not come evenly."""


class Epoch(Struct, frozen=True, eq=False):
    """What the times of readings depend on. Another epoch, and what was made in the old one is void."""

    start_us: int
    """Virtual time of the start, µs since the Unix epoch."""
    turn: int = 0
    """Which turn of a live load holds."""


class ValueBlocks:
    """The values of a group of devices, by slot: ``cycle * devices + place``."""

    def __init__(
        self, sensor: Sensor, function: ArrayFunction, noise_salt: int, *, keys: array[int],
        devices: array[int], phases: array[int], interval_us: int, counts: bool,
    ) -> None:  # fmt: skip
        """``keys`` are those of all devices, ``devices`` and ``phases`` are the group's, by place.

        ``counts``: numbers are given in units of the last decimal, as integers, and not as they are.
        """
        self._sensor = sensor
        self._function = function
        self._noise_salt = np.uint64(noise_salt)
        self._keys = np.frombuffer(keys, np.uint64)
        self._devices = np.frombuffer(devices, devices.typecode)
        self._phases = np.frombuffer(phases, np.int64)
        self._interval = interval_us
        self._counts = counts
        self._scale = float(10**sensor.precision)
        self._block = min(max(2 * len(phases), BLOCK_MIN), BLOCK_MAX)
        self._epoch: Epoch | None = None
        self._first = 0
        self._numbers: array[Any] = array("q" if counts else "d")
        self._moments: array[int] = array("q")

    def numbers(self, slot: int, count: int, epoch: Epoch, moment: Moment | None) -> Sequence[Any]:
        """What ``count`` readings from ``slot`` on say; a state by its number."""
        at = self._ready(slot, count, epoch, moment)
        return self._numbers[at : at + count]

    def moments(self, slot: int, count: int, epoch: Epoch, moment: Moment) -> Sequence[int]:
        """When they are measured, µs since the start."""
        at = self._ready(slot, count, epoch, moment)
        return self._moments[at : at + count]

    def _ready(self, slot: int, count: int, epoch: Epoch, moment: Moment | None) -> int:
        """See to it that ``count`` readings from ``slot`` on are at hand; where they begin."""
        at, held = slot - self._first, len(self._numbers)
        if epoch is not self._epoch or not 0 <= at <= held:
            at = held
        elif at + count <= held:
            return at
        del self._numbers[:at], self._moments[:at]
        self._epoch, self._first = epoch, slot
        begin = slot + len(self._numbers)
        slots = np.arange(begin, max(begin + self._block, slot + count))
        cycles, places = np.divmod(slots, len(self._phases))
        if moment is None:
            rel = cycles * self._interval + self._phases.take(places)
        else:
            rel = np.array(list(map(moment, cycles.tolist(), places.tolist())))
            self._moments.frombytes(rel.tobytes())
        keys = self._keys.take(self._devices.take(places))
        self._numbers.frombytes(self._made(keys, rel + epoch.start_us).tobytes())
        return 0

    def _made(self, keys: Keys, t_us: Integers) -> Integers | Floats:
        sensor = self._sensor
        with np.errstate(all="ignore"):  # as in plain floats: too large is infinite, and kept in range
            raw = self._function(keys, t_us / 1e6)
        if sensor.kind == "number":
            if sensor.noise:
                raw = raw + sensor.noise * normals(keys ^ self._noise_salt, t_us)
            low, high = sensor.range
            raw = np.floor(np.minimum(np.fmax(raw, low), high) * self._scale + 0.5)
            if not self._counts:
                return raw / self._scale
        return raw.astype(np.int64)
