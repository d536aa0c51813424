"""What a run was to publish, once more: the stream is a pure function, so nothing need be remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from msgspec import Struct

from iotcache.model import Series
from simulator.fleet.roster import Roster
from simulator.fleet.stream import LANES, Stream, Timeline
from simulator.publish.spec import FleetSpec

_WINDOW_US = 500_000


class Expected(Struct, frozen=True, gc=False):
    """One reading that was due."""

    due_us: int
    """Virtual time since the start at which it was to be sent."""
    series: Series
    seq: int


async def expected(
    spec: FleetSpec, timeline: Timeline, horizons: Mapping[int, int]
) -> AsyncIterator[list[Expected]]:
    """The readings due before each lane's horizon (µs), window by window; other tasks run between two."""
    roster = Roster(spec.seed, spec.devices, spec.classes)
    stream = Stream(roster, timeline, rate=spec.rate)
    size = len(roster)
    known: dict[int, Series] = {}
    at_us, until_us = 0, max(horizons.values(), default=0)
    while at_us < until_us:
        at_us = min(at_us + _WINDOW_US, until_us)
        window = []
        for due_us, number, topic, _, line in stream.window(at_us):
            if due_us >= horizons[number % size % LANES]:
                continue
            series = known.get(number)
            if series is None:
                _, _, device, sensor = topic.decode().split("/")
                series = known[number] = Series(device, sensor)
            window.append(Expected(due_us, series, int(line.split(b" ", 4)[3])))
        yield window
        await asyncio.sleep(0)
