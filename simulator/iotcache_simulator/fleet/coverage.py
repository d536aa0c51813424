"""When a device is out of coverage: a pure function of its key and the time."""

from __future__ import annotations

from collections.abc import Iterator

from iotcache_simulator.fleet.definition import RadioLink
from iotcache_simulator.fleet.waves.noise import phase, stream_key, unit

_MICRO = 1_000_000
_OFFSET_SALT = stream_key(0, "link", "offset")
_LENGTH_SALT = stream_key(0, "link", "length")
_PHASE_SALT = stream_key(0, "link", "phase")


class CoverageWindows:
    """The stretches without connection of one class's devices, one in each ``every_s``."""

    def __init__(self, link: RadioLink) -> None:
        self._every_us = round(link.every_s * _MICRO)
        self._min_us = round(link.min_s * _MICRO)
        self._spread_us = round((link.max_s - link.min_s) * _MICRO)
        self._catchup_us = round(link.catchup_s * _MICRO)
        self._known: dict[int, tuple[int, int, int, int]] = {}
        """By device: its period last asked for (from, to) and the outage in it."""

    def outage(self, key: int, t_us: int) -> tuple[int, int]:
        """Begin and end (µs) of the outage in the period that ``t_us`` falls into."""
        known = self._known.get(key)
        if known is not None and known[0] <= t_us < known[1]:
            return known[2], known[3]
        every_us = self._every_us
        shift = int(phase(key ^ _PHASE_SALT) * every_us)
        period = (t_us + shift) // every_us
        start = period * every_us - shift
        length = self._min_us + int(unit(key ^ _LENGTH_SALT, period) * self._spread_us)
        begin = start + int(unit(key ^ _OFFSET_SALT, period) * (every_us - length - self._catchup_us))
        self._known[key] = start, start + every_us, begin, begin + length
        return begin, begin + length

    def outages(self, key: int, first_us: int, last_us: int | None) -> Iterator[tuple[int, int]]:
        """Begin and end (µs) of each outage that counts in a run, in order; without an end for ever."""
        at_us = first_us
        while last_us is None or at_us < last_us:
            begin, end = self.outage(key, at_us)
            if begin >= first_us and (last_us is None or end + self._catchup_us <= last_us):
                yield begin, end
            at_us = self._known[key][1]

    def sent_at(self, key: int, t_us: int, first_us: int, last_us: int) -> int:
        """When a reading of ``t_us`` leaves the device: at once, or after the outage in which it fell.

        Readings leave in the order in which they were measured. Only outages count that lie wholly between
        ``first_us`` and ``last_us``, the begin and the end of the run, with the time to catch up: so no run
        begins with devices that have nothing to send, or ends with all of them sending at once.
        """
        begin, end = self.outage(key, t_us)
        if not begin <= t_us < end + self._catchup_us or begin < first_us or end + self._catchup_us > last_us:
            return t_us
        # What is measured while the backlog is being sent waits behind it.
        return end + (t_us - begin) * self._catchup_us // (end - begin + self._catchup_us)
