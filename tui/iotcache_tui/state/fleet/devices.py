"""How many devices are on time: counted as their series turn, not by going over the fleet."""

from __future__ import annotations

from typing import Final

UNREPORTED: Final = 0
ON_TIME: Final = 1
LATE: Final = 2
"""How a series stands: without a value, on time when it was last read, or not."""


class DeviceCounts:
    """A device is live while one of its series is on time, stale while it has only late ones, and unread
    while nothing is known of any: the three make up all devices."""

    def __init__(self) -> None:
        self.total = self.live = self.stale = 0
        self._series: dict[str, list[int]] = {}
        """By device, how many series stand how; at the place of `UNREPORTED` nothing is counted."""

    @property
    def unread(self) -> int:
        """Devices without a value: not read yet, or neither cache nor store answered."""
        return self.total - self.live - self.stale

    def join(self, device: str) -> None:
        """There is such a device."""
        if device not in self._series:
            self._series[device] = [0, 0, 0]
            self.total += 1

    def turn(self, device: str, before: int, now: int) -> None:
        """One series of ``device`` stood ``before`` and stands ``now``."""
        self.join(device)
        counts = self._series[device]
        was_live = counts[ON_TIME] > 0
        was_stale = not was_live and counts[LATE] > 0
        if before != UNREPORTED:
            counts[before] -= 1
        if now != UNREPORTED:
            counts[now] += 1
        live = counts[ON_TIME] > 0
        self.live += live - was_live
        self.stale += (not live and counts[LATE] > 0) - was_stale
