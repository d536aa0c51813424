"""What a run was to publish, once more: the stream is a pure function, so nothing need be remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec
from msgspec import Struct

from iotcache_simulator.fleet.stream import SHARDS, Timeline
from iotcache_simulator.ledger.payloads import read
from iotcache_simulator.ledger.reading_back import ReadBack
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
    spec: FleetSpec, timeline: Timeline, horizons: Mapping[int, int], read_back: ReadBack | None = None
) -> AsyncIterator[list[Expected]]:
    """The readings due before each shard's horizon (µs) that can be decoded, window by window.

    Shards without a horizon are left out. ``read_back`` knows what messages of other forms than ours tell.
    Other tasks run between two windows.
    """
    roster = roster_of(spec)
    stream = stream_of(spec, roster, timeline)
    size = len(roster)
    shown_ms = (timeline.start_us + timeline.shift_us) // 1_000
    known: dict[tuple[int, int], tuple[Track, str, str]] = {}
    at_us, until_us = 0, max(horizons.values(), default=0)
    sent = 0
    while at_us < until_us:
        at_us = min(at_us + _WINDOW_US, until_us)
        window: list[Expected] = []
        for due_us, number, topic, payload, line in stream.window(at_us):
            shard = number % size % SHARDS
            if due_us >= horizons.get(shard, 0) or sent == spec.count:
                continue
            sent += 1
            if read_back is not None and read_back.own:
                window += _read_back(read_back, due_us, shown_ms, line)
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
                unit = read(name, payload).unit or ""
                series = known[number, boots] = Track(device, sensor, boots), unit, name
            track, unit, name = series
            ts_us = (shown_ms + int(ms)) * 1_000
            content = Content(_decode_value(value), ts_us, unit, name)
            window.append(Expected(due_us, track, int(seq), content))
        yield window
        await asyncio.sleep(0)


def _read_back(read_back: ReadBack, due_us: int, shown_ms: int, lines: bytes) -> Iterator[Expected]:
    """The readings of a message, which may tell of several sensors: a line of the digest each."""
    for line in lines.splitlines():
        ms, device, sensor_name, counted, value = line.split(b" ", 4)
        if counted.endswith(b"!"):
            continue  # nobody can read it
        seq, _, rebooted = counted.partition(b"/")
        index, sensor = read_back.index_of(device.decode()), sensor_name.decode()
        content = read_back.due(index, sensor, (shown_ms + int(ms)) * 1_000, _decode_value(value))
        yield Expected(due_us, Track(read_back.names[index], sensor, int(rebooted or 0)), int(seq), content)
