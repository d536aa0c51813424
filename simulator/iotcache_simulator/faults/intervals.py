"""The stream of devices that were told to report less often: of what they measure, they send every n-th."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from iotcache_simulator.faults.stream import FaultyStream
from iotcache_simulator.fleet.rendering.group import SensorGroup
from iotcache_simulator.fleet.stream import Message


class IntervalChange(Struct, frozen=True):
    """From a moment on, one sensor of one device sends one measurement in so many."""

    device: int
    sensor: str
    at_us: int
    """Virtual time since the start."""
    times: int


class ListeningStream(FaultyStream):
    """A stream in which devices change how often they report."""

    _changes: dict[tuple[int, str], list[IntervalChange]] | None = None
    """By device and sensor, in the order of their moments."""

    def change(self, changes: Iterable[IntervalChange]) -> None:
        """Let these hold, too. They may differ from what held before only in what is not rendered yet."""
        if self._changes is None:
            self._changes = {}
        for one in changes:
            self._changes.setdefault((one.device, one.sensor), []).append(one)

    def _render(self, group: SensorGroup, cycle: int, first: int, last: int, out: list[Message]) -> None:
        if not self._changes:
            super()._render(group, cycle, first, last, out)
            return
        sensor, devices = group.function.sensor.name, group.devices
        sound = first
        for at in range(first, last):
            changes = self._changes.get((devices[at], sensor))
            if changes is None or self._is_sent(changes, group, cycle, at):
                continue
            if sound < at:
                super()._render(group, cycle, sound, at, out)
            sound = at + 1
        if sound < last:
            super()._render(group, cycle, sound, last, out)

    def _is_sent(self, changes: list[IntervalChange], group: SensorGroup, cycle: int, at: int) -> bool:
        (moment,) = self._moments(group, cycle * len(group.devices) + at, 1)
        times = 1
        for change in changes:
            if change.at_us <= moment:
                times = change.times
        return cycle % times == 0
