"""What edge nodes of Sparkplug tell in the course of a run: deaths and births of devices, and of themselves.

A device is dead to its host application while it is out of coverage, or reboots: DDEATH when its edge node
has noticed, DBIRTH before what it has to say next (Eclipse Sparkplug 3.0.0, 6.4.24 and 6.4.12).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from heapq import merge
from time import monotonic
from typing import Final

from iotcache.tasks import beside
from iotcache_simulator.faults.kinds import Fault, Reboot
from iotcache_simulator.faults.schedule import struck_devices
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.publish.outages import EARLY_S, in_order
from iotcache_simulator.publish.sparkplug_edge import SparkplugEdge
from iotcache_simulator.wire.dialect_uplink import DialectUplink

NOTICED_S: Final = 0.25
"""How long an edge node takes to notice that a device is silent; what was under way has been sent by then."""
OWN_DATA_S: Final = 5.0
"""How often an edge node tells what it measures of itself, if nothing changes."""
_SHORTEST_S: Final = NOTICED_S + EARLY_S
"""A silence that is over before it is noticed is none."""

Edges = Mapping[int, tuple[SparkplugEdge, DialectUplink]]
"""Edge node and connection of each device."""


@asynccontextmanager
async def edge_events(  # noqa: PLR0917
    roster: Roster, edges: Edges, faults: Sequence[Fault], timeline: Timeline, began: float, speed: float
) -> AsyncIterator[None]:
    """Tell them meanwhile. ``began`` is the moment of virtual time 0 (`time.monotonic`); ``speed`` is virtual
    seconds in a real one."""

    def real(at_us: int) -> float:
        return began + at_us / 1e6 / speed

    async def silence(device: int, until: float) -> None:
        edge, uplink = edges[device]
        if until - monotonic() < _SHORTEST_S:
            return
        await asyncio.sleep(NOTICED_S)
        if uplink.tell(*edge.end(device)):
            uplink.tell(*edge.own_data())
        await asyncio.sleep(max(0.0, until - EARLY_S - monotonic()))
        if edge.is_dead(device) and uplink.prepare(edge.data_topic(device)):
            uplink.tell(*edge.own_data())

    async def devices() -> None:
        async with asyncio.TaskGroup() as silences:
            for begin_us, end_us, device in merge(
                in_order(roster, edges, timeline), _reboots(roster, edges, faults)
            ):
                await asyncio.sleep(max(0.0, real(begin_us) - monotonic()))
                silences.create_task(silence(device, real(end_us)))

    async def themselves() -> None:
        each = {id(edge): (edge, uplink) for edge, uplink in edges.values()}
        while True:
            await asyncio.sleep(OWN_DATA_S)
            for at, (edge, uplink) in enumerate(each.values()):
                uplink.tell(*edge.own_data())
                if at % 64 == 63:
                    await asyncio.sleep(0)

    async with beside(devices()), beside(themselves()):
        yield


def _reboots(roster: Roster, edges: Edges, faults: Sequence[Fault]) -> Iterator[tuple[int, int, int]]:
    """Begin and end (µs since the start of the run) and device of each scheduled reboot, by their begin."""
    found = [
        (round(fault.at_s * 1e6), round((fault.at_s + fault.for_s) * 1e6), device)
        for number, fault in enumerate(faults)
        if isinstance(fault, Reboot) and not fault.sensors
        for device in struck_devices(fault, number, roster, edges)
    ]
    return iter(sorted(found))
