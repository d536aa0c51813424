"""Reconnect storms: all connections gone at one moment, and back with jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from iotcache.tasks import beside
from iotcache_simulator.wire.uplink import Uplink


@asynccontextmanager
async def storms(
    uplinks: Sequence[Uplink], began: float, at_s: Sequence[float], within_s: float
) -> AsyncIterator[None]:
    """Drop all connections ``at_s`` seconds after ``began``; each is back after at most ``within_s``.

    The jitter is real chance: no part of the stream hangs on it.
    """

    async def run() -> None:
        for moment in sorted(at_s):
            await asyncio.sleep(max(0.0, began + moment - monotonic()))
            for uplink in uplinks:
                uplink.drop(random.uniform(0.0, within_s))

    async with beside(run()):
        yield
