"""The ground truth of a run's faults, one JSON line for each reading touched: a detector can be scored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import labels_of, roster_of

_WINDOW_US = 500_000


async def label_lines(spec: FleetSpec, timeline: Timeline, until_us: int) -> AsyncIterator[bytes]:
    """JSON lines, some at a time, of readings measured before ``until_us``; other tasks run in between."""
    stream = labels_of(spec, roster_of(spec), timeline)
    encode = msgspec.json.Encoder().encode_lines
    at_us = 0
    while at_us < until_us:
        at_us = min(at_us + _WINDOW_US, until_us)
        stream.window(at_us)
        if stream.labels:
            yield encode(stream.labels)
            stream.labels.clear()
        await asyncio.sleep(0)
