"""Which readings of a run were seen somewhere."""

from __future__ import annotations

from array import array

from iotcache.model import Series

HIGHEST_SEQ = 50_000_000
"""A number above this is not from a run of ours; it would only take memory."""


class Seen:
    """Sequence numbers per series, with the time at which each was seen. Eight bytes a reading."""

    def __init__(self) -> None:
        self._times: dict[Series, array[int]] = {}
        self._highest: dict[Series, int] = {}
        self.total = 0
        """Sightings, repetitions included."""
        self.duplicates = 0
        self.out_of_order = 0
        """First sightings of a reading after a later one of its series."""
        self.foreign = 0
        """What was seen and cannot be of this run."""

    def add(self, series: Series, seq: int, at_us: int = 1) -> None:
        """One sighting, at ``at_us`` (> 0, on whatever clock the caller compares with)."""
        if not 0 <= seq <= HIGHEST_SEQ:
            self.foreign += 1
            return
        self.total += 1
        times = self._times.get(series)
        if times is None:
            times = self._times[series] = array("q")
        if seq >= len(times):
            times.frombytes(bytes(8 * (seq + 1 + seq // 8 - len(times))))
        if times[seq]:
            self.duplicates += 1
            return
        times[seq] = at_us
        if seq < self._highest.get(series, -1):
            self.out_of_order += 1
        else:
            self._highest[series] = seq

    def when(self, series: Series, seq: int) -> int:
        """When a reading was first seen; 0 for never."""
        times = self._times.get(series)
        return times[seq] if times is not None and seq < len(times) else 0

    def distinct(self) -> int:
        """How many different readings were seen."""
        return self.total - self.duplicates
