"""Devices out of coverage lose their connection, where each has one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from heapq import heapify, heappop, heapreplace
from time import monotonic
from typing import Final

from iotcache.tasks import beside
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.wire.uplink import Uplink

EARLY_S: Final = 0.1
"""A device is connected again so long before its backlog is due."""
_PROOF_S: Final = 0.5
"""How long the broker may take to confirm what was sent before: only then is the connection cut."""


@asynccontextmanager
async def outages(
    roster: Roster, uplink_of: Mapping[int, Uplink], timeline: Timeline, began: float, speed: float
) -> AsyncIterator[None]:
    """Cut each device's connection when it leaves coverage, until it is back.

    ``began`` is the moment of virtual time 0 (`time.monotonic`); ``speed`` is virtual seconds in a real one.
    """

    async def away(uplink: Uplink, until_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROOF_S):
                await uplink.until_confirmed()
        uplink.drop(until_s - EARLY_S - monotonic())

    async def run() -> None:
        async with asyncio.TaskGroup() as cuts:
            for begin_us, end_us, device in in_order(roster, uplink_of, timeline):
                await asyncio.sleep(max(0.0, began + begin_us / 1e6 / speed - monotonic()))
                cuts.create_task(away(uplink_of[device], began + end_us / 1e6 / speed))

    async with beside(run()):
        yield


def in_order(roster: Roster, devices: Iterable[int], timeline: Timeline) -> Iterator[tuple[int, int, int]]:
    """Every outage of the run: begin and end (µs since its start) and device, by their begin."""
    coming = {device: _of_device(roster, device, timeline) for device in devices}
    heap = [(*first, device) for device, found in coming.items() if (first := next(found, None)) is not None]
    heapify(heap)
    while heap:
        begin_us, end_us, device = heap[0]
        yield begin_us, end_us, device
        following = next(coming[device], None)
        if following is None:
            heappop(heap)
        else:
            heapreplace(heap, (*following, device))


def _of_device(roster: Roster, device: int, timeline: Timeline) -> Iterator[tuple[int, int]]:
    link = roster.links[roster.kinds[device]]
    if link is None:
        return
    start_us = timeline.start_us
    last_us = None if timeline.end_us is None else start_us + timeline.end_us
    for begin_us, end_us in link.outages(roster.keys[device], start_us, last_us):
        yield begin_us - start_us, end_us - start_us
