"""What a run was to publish, once more: the stream is a pure function, so nothing need be remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from msgspec import Struct

from iotcache_simulator.fleet.stream import SHARDS, Timeline
from iotcache_simulator.ledger.seen import Track
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of

_WINDOW_US = 500_000


class Expected(Struct, frozen=True, gc=False):
    """One reading that was due."""

    due_us: int
    """Virtual time since the start at which it was to be sent."""
    track: Track
    seq: int


async def expected(
    spec: FleetSpec, timeline: Timeline, horizons: Mapping[int, int]
) -> AsyncIterator[list[Expected]]:
    """The readings due before each lane's horizon (µs) that can be decoded, window by window.

    Other tasks run between two windows.
    """
    roster = roster_of(spec)
    stream = stream_of(spec, roster, timeline)
    size = len(roster)
    known: dict[tuple[int, int], Track] = {}
    at_us, until_us = 0, max(horizons.values(), default=0)
    while at_us < until_us:
        at_us = min(at_us + _WINDOW_US, until_us)
        window = []
        for due_us, number, topic, _, line in stream.window(at_us):
            if due_us >= horizons[number % size % SHARDS]:
                continue
            counted = line.split(b" ", 4)[3]
            if counted.endswith(b"!"):
                continue  # nobody can read it
            seq, _, rebooted = counted.partition(b"/")
            boots = int(rebooted or 0)
            track = known.get((number, boots))
            if track is None:
                _, _, device, sensor = topic.decode().split("/")
                track = known[number, boots] = Track(device, sensor, boots)
            window.append(Expected(due_us, track, int(seq)))
        yield window
        await asyncio.sleep(0)
