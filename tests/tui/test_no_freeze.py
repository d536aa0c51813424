"""Nothing that goes wrong outside holds a frame up: frames go on while a node hangs, a broker is dead, a
store is locked."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import screen_text
from tests.tui.test_live import Site, site, until
from tui.app import IotCacheApp

__all__ = ["site"]
pytestmark = [pytest.mark.real("memcached", "mosquitto"), pytest.mark.timeout(120)]
GAP_S = 0.25
TRIES = 3
"""The machine may be busy with other tests: what blocks the loop does so each time."""
Outage = Callable[[IotCacheApp, Pilot[None]], Awaitable[None]]


async def without_a_freeze(app: IotCacheApp, pilot: Pilot[None], outage: Outage) -> None:
    """Let ``outage`` come and go; the best of some tries has no gap of `GAP_S` between two frames."""
    gaps: list[float] = []
    for _ in range(TRIES):
        app.worst_frame_gap_s = 0.0
        await outage(app, pilot)
        gaps.append(app.worst_frame_gap_s)
        if gaps[-1] < GAP_S:
            return
    raise AssertionError(f"frames stood still for {gaps} s")


async def test_frames_go_on_whatever_fails_outside(site: Site) -> None:
    site.flags["dashboard.frame_hz"] = "10"

    async def hung_node(app: IotCacheApp, pilot: Pilot[None]) -> None:
        site.nodes[0].signal(signal.SIGSTOP)
        try:
            await until(pilot, lambda: "1/2 up" in screen_text(app))
        finally:
            site.nodes[0].signal(signal.SIGCONT)
        await until(pilot, lambda: "2/2 up" in screen_text(app))

    async def dead_broker(app: IotCacheApp, pilot: Pilot[None]) -> None:
        await asyncio.to_thread(site.broker.kill)
        await until(pilot, lambda: "broker down" in screen_text(app))
        await asyncio.to_thread(site.broker.start)
        await until(pilot, lambda: "broker down" not in screen_text(app))

    async def locked_store(app: IotCacheApp, pilot: Pilot[None]) -> None:
        def waits() -> bool:
            return any(worker.counters.get("state") == "waiting" for worker in app.state.workers.values())

        other = sqlite3.connect(site.folder / "readings.db", isolation_level=None, check_same_thread=False)
        try:
            await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
            await asyncio.to_thread(site.publish, "dev-1", "temperature", time.time() % 100)
            # The fallbacks go to the store that is locked.
            await asyncio.to_thread(site.delete, "dev-1:temperature:latest")
            await until(pilot, waits)
        finally:
            other.close()
        await until(pilot, lambda: not waits())

    async with site.dashboard() as (app, pilot):
        for number in range(6):
            await asyncio.to_thread(site.publish, f"dev-{number}", "temperature", 20 + number)
        await until(pilot, lambda: "2/2 up" in screen_text(app) and "dev-5" in screen_text(app))
        for outage in (hung_node, dead_broker, locked_store):
            await without_a_freeze(app, pilot, outage)
