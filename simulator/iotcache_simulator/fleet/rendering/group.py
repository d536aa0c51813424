"""A group: one sensor of one class, and all devices that have it.

Each series is measured at fixed times, ``phase + n * interval`` after the start, so a stream needs no queue
of series: a group walks round its devices in the order of their phases, cycle after cycle.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from copy import copy
from typing import Final

from iotcache.model import Value
from iotcache_simulator.fleet.formats.encoders import Encode, Format
from iotcache_simulator.fleet.formats.payload import JsonParts, decimals, value_texts
from iotcache_simulator.fleet.rendering.array_waves import ArrayFunction
from iotcache_simulator.fleet.rendering.value_blocks import ValueBlocks
from iotcache_simulator.fleet.roster import Roster, SensorFunction
from iotcache_simulator.fleet.waves.noise import unit

TopicOf = Callable[[int], str]
"""The topic of a device's readings."""
FOREVER_US: Final = 1 << 62
_FEW_NUMBERS: Final = 5_000
"""A sensor with fewer different values than this has their texts at hand."""
_EXACT: Final = 2.0**53
"""Whole numbers below this are floats as they are."""


class SensorGroup:
    """One sensor of one class, and its devices in the order of their phases."""

    __slots__ = (
        "_ahead", "_counts", "_digits", "_keys", "_states", "cycle", "devices", "encode", "function",
        "in_arrays", "interval", "json", "kind", "last_cycle", "link", "number", "phases", "position",
        "scatter_salt", "text_of", "topics",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        function: SensorFunction,
        in_arrays: ArrayFunction,
        interval: int,
        devices: list[int],
        *,
        roster: Roster,
        payload: Format,
        topic: TopicOf | None,
        encode: Encode | None = None,
        together: int | None = None,
    ) -> None:
        """``in_arrays`` is ``function``'s waves for many readings at a time. ``encode`` stands in for
        ``payload``'s; groups with one ``together`` are measured at the same moments."""
        sensor = function.sensor
        self.number = number
        self.function = function
        self.in_arrays = in_arrays
        self.interval = interval
        salt = function.salt if together is None else together
        self.scatter_salt = function.noise_salt if together is None else together
        placed = sorted((int(unit(roster.keys[n] ^ salt) * interval), n) for n in devices)
        self.phases = array("Q", (at for at, _ in placed))
        self.devices = array("I", (n for _, n in placed))
        if topic is None:
            self.topics = [
                f"iot/{roster.site(n)}/{roster.names[n]}/{sensor.name}".encode() for _, n in placed
            ]
        else:
            self.topics = [topic(n).encode() for _, n in placed]
        self.json = JsonParts(sensor)
        self.encode = encode or payload.encoder(sensor)
        self._states = () if sensor.kind == "number" else value_texts(sensor)
        self._digits = f"%.{sensor.precision}f".encode()
        low, high = sensor.range
        scale = 10**sensor.precision
        few = (high - low) * scale < _FEW_NUMBERS and abs(low) * scale < _EXACT
        self._counts = bool(self._states) or (self.encode is None and few)
        self.text_of: Callable[..., bytes]
        """The text of what `ahead` says."""
        if self._states:
            self.text_of = self._states.__getitem__
        else:
            self.text_of = decimals(sensor.precision).__getitem__ if self._counts else self._digits.__mod__
        self._keys = roster.keys
        self._ahead: ValueBlocks | None = None
        self.kind = roster.kinds[devices[0]]
        self.link = roster.links[self.kind]
        self.cycle = 0
        self.last_cycle = FOREVER_US
        self.position = 0

    @property
    def states(self) -> bool:
        """Whether its values are states and not numbers."""
        return bool(self._states)

    @property
    def ahead(self) -> ValueBlocks:
        """Its values and their moments, made ahead."""
        if self._ahead is None:
            function = self.function
            self._ahead = ValueBlocks(
                function.sensor, self.in_arrays, function.noise_salt,
                keys=self._keys, devices=self.devices, phases=self.phases, interval_us=self.interval,
                counts=self._counts,
            )  # fmt: skip
        return self._ahead

    def line_middle(self, seq: int, mark: str = "") -> bytes:
        """What stands between device and value in the lines of a digest."""
        return f" {self.function.sensor.name} {seq}{mark} ".encode()

    def rendered(self, value: Value) -> float | bytes:
        """A value as the encoders take it."""
        if not self._states:
            return float(value)
        return (
            self._states[value] if isinstance(value, bool) else json.dumps(value, ensure_ascii=False).encode()
        )

    def text(self, value: float | bytes) -> bytes:
        """A rendered value as people read it: any number, not only what a sound sensor says."""
        return value if isinstance(value, bytes) else self._digits % value

    def greeting(self, within_us: int) -> SensorGroup:
        """A group that measures each device once more, numbered 0, early in the run."""
        first = copy(self)
        first.phases = array("Q", (self.interval + at * within_us // self.interval for at in self.phases))
        first._ahead = None
        first.cycle = first.last_cycle = -1
        return first

    def due(self, until_us: int) -> Iterator[tuple[int, int, int]]:
        """Stretches of devices measured before ``until_us``: (cycle, first, past the last)."""
        while self.cycle <= self.last_cycle:
            last = bisect_left(self.phases, until_us - self.cycle * self.interval)
            if last > self.position:
                yield self.cycle, self.position, last
            if last < len(self.phases):
                self.position = max(last, self.position)
                return
            self.cycle += 1
            self.position = 0
