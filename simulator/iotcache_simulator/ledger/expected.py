"""What a run was to publish, once more: the stream is a pure function, so nothing need be remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import msgspec
from msgspec import Struct

from iotcache_simulator.fleet.stream import SHARDS, Timeline
from iotcache_simulator.ledger.payloads import READS, read
from iotcache_simulator.ledger.sightings import Content, Track
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of

_WINDOW_US = 500_000
_decode_value = msgspec.json.Decoder(float | bool | str).decode


class Expected(Struct, frozen=True, gc=False):
    """One reading that was due."""

    due_us: int
    """Virtual time since the start at which it was to be sent."""
    track: Track
    seq: int
    content: Content
    """What its payload says."""


async def expected(
    spec: FleetSpec, timeline: Timeline, horizons: Mapping[int, int]
) -> AsyncIterator[list[Expected]]:
    """The readings due before each shard's horizon (µs) that can be decoded, window by window.

    Shards without a horizon are left out. Of a user's own payload template only the identity is known: what
    a worker makes of it is decided by that worker's settings. Other tasks run between two windows.
    """
    roster = roster_of(spec)
    stream = stream_of(spec, roster, timeline)
    size = len(roster)
    shown_ms = (timeline.start_us + timeline.shift_us) // 1_000
    readable = spec.payload.name in READS
    known: dict[tuple[int, int], tuple[Track, str | None, str]] = {}
    at_us, until_us = 0, max(horizons.values(), default=0)
    while at_us < until_us:
        at_us = min(at_us + _WINDOW_US, until_us)
        window = []
        for due_us, number, topic, payload, line in stream.window(at_us):
            shard = number % size % SHARDS
            if due_us >= horizons.get(shard, 0):
                continue
            ms, _, _, counted, value = line.split(b" ", 4)
            if counted.endswith(b"!"):
                continue  # nobody can read it
            seq, _, rebooted = counted.partition(b"/")
            boots = int(rebooted or 0)
            series = known.get((number, boots))
            if series is None:
                name = topic.decode()
                _, _, device, sensor = name.split("/")
                unit = (read(name, payload).unit or "") if readable else None
                series = known[number, boots] = Track(device, sensor, boots), unit, name
            track, unit, name = series
            ts_us = (shown_ms + int(ms)) * 1_000
            content = Content(_decode_value(value), ts_us, unit, name) if readable else Content(None)
            window.append(Expected(due_us, track, int(seq), content))
        yield window
        await asyncio.sleep(0)
