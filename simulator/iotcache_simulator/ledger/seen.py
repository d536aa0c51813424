"""Which readings of a run were seen somewhere."""

from __future__ import annotations

from array import array
from typing import NamedTuple

HIGHEST_SEQ = 50_000_000
"""A number above this is not from a run of ours; it would only take memory."""


class Track(NamedTuple):
    """What counts its readings: one sensor of one device since one of its reboots."""

    device: str
    sensor: str
    reboots: int = 0


def reboots(boot: str, of: str) -> int | None:
    """How many reboots after ``of`` a boot id is; ``None`` when it belongs to another run."""
    if boot == of:
        return 0
    base, mark, number = boot.rpartition("-")
    return int(number) if mark and base == of and number.isascii() and number.isdigit() else None


class Seen:
    """Sequence numbers per track, with the time at which each was seen. Eight bytes a reading."""

    def __init__(self) -> None:
        self._times: dict[Track, array[int]] = {}
        self._highest: dict[Track, int] = {}
        self.total = 0
        """Sightings, repetitions included."""
        self.duplicates = 0
        self.out_of_order = 0
        """First sightings of a reading after a later one of its track."""
        self.foreign = 0
        """What was seen and cannot be of this run."""

    def add(self, track: Track, seq: int, at_us: int = 1) -> None:
        """One sighting, at ``at_us`` (> 0, on whatever clock the caller compares with)."""
        if not 0 <= seq <= HIGHEST_SEQ:
            self.foreign += 1
            return
        self.total += 1
        times = self._times.get(track)
        if times is None:
            times = self._times[track] = array("q")
        if seq >= len(times):
            times.frombytes(bytes(8 * (seq + 1 + seq // 8 - len(times))))
        if times[seq]:
            self.duplicates += 1
            return
        times[seq] = at_us
        if seq < self._highest.get(track, -1):
            self.out_of_order += 1
        else:
            self._highest[track] = seq

    def when(self, track: Track, seq: int) -> int:
        """When a reading was first seen; 0 for never."""
        times = self._times.get(track)
        return times[seq] if times is not None and seq < len(times) else 0

    def distinct(self) -> int:
        """How many different readings were seen."""
        return self.total - self.duplicates
