"""Births and deaths of a fleet's devices on their connections, beside the stream and not counted in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from iotcache_simulator.fleet.lifecycle_payloads import ENDED, birth, configuration, death, lifecycle_topic
from iotcache_simulator.fleet.rendering.joint import announcements_of
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.wire.uplink import Uplink

_SLICE = 64
"""Devices between two turns of the event loop."""


class DeviceLifecycles:
    """Tells births on each connection as often as it is made, and deaths at the end."""

    def __init__(
        self, roster: Roster, uplinks: Sequence[Uplink], devices: Mapping[int, Sequence[int]], scale: float,
        *, lives: bool = True, version: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        """``devices``: those of each uplink, by its place. Without ``lives`` only what classes announce.
        ``version``: of the configuration that a device follows; those that follow none tell their own."""
        self._version = version
        self._lives = lives
        self._roster = roster
        self._uplinks = uplinks
        self._devices = devices
        self._scale = scale
        self._announced = [0] * len(uplinks)
        """The connection (counted) on which an uplink's births were told last."""
        self._turn = asyncio.Event()

    def connected(self) -> None:
        """One of the uplinks has a new connection."""
        self._turn.set()

    @asynccontextmanager
    async def announced(self, timeline: Timeline) -> AsyncIterator[None]:
        """Tell births now and at each new connection, and deaths at the end."""
        if any(kind.announce for kind in self._roster.classes):
            await self._tell(timeline)  # how readings are to be read must be known before the first of them
        task = asyncio.create_task(self._follow(timeline))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._end()

    async def _follow(self, timeline: Timeline) -> None:
        while True:
            self._turn.clear()
            await self._tell(timeline)
            await self._turn.wait()

    async def _tell(self, timeline: Timeline) -> None:
        """Births on each connection on which they were not told yet."""
        for number, uplink in enumerate(self._uplinks):
            if uplink.connected and self._announced[number] != uplink.connects:
                self._announced[number] = uplink.connects
                await self._births(number, timeline)

    async def _births(self, number: int, timeline: Timeline) -> None:
        roster, uplink = self._roster, self._uplinks[number]
        shown_us = time.time_ns() // 1_000 if timeline.shift_us else timeline.start_us
        for at, device in enumerate(self._devices.get(number, ())):
            for topic, text in announcements_of(roster, device):
                uplink.announce(topic, text.encode())
            if not self._lives:
                await _breathe(uplink, at)
                continue
            version = None if self._version is None else self._version(device)
            payload = birth(
                roster, device, shown_us=shown_us, boot=timeline.boot, scale=self._scale, version=version
            )
            uplink.announce(lifecycle_topic(roster, device, "birth"), payload)
            if version is None:  # else it would take the place of what the broker keeps for the device
                uplink.announce(
                    lifecycle_topic(roster, device, "cfg"), configuration(roster, device, scale=self._scale)
                )
            await _breathe(uplink, at)

    async def _end(self) -> None:
        if not self._lives:
            return
        for number, uplink in enumerate(self._uplinks):
            for at, device in enumerate(self._devices.get(number, ())):
                payload = death(self._roster, device, ENDED)
                uplink.announce(lifecycle_topic(self._roster, device, "death"), payload, retain=False)
                await _breathe(uplink, at)


async def _breathe(uplink: Uplink, at: int) -> None:
    """Let others run now and then, and a full socket drain."""
    if at % _SLICE == _SLICE - 1:
        await asyncio.sleep(0)
    while uplink.congested:
        await uplink.until_room()
