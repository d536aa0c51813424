"""The real app over real servers: a value changes, a TTL falls, a key deleted behind its back falls back."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client
from textual.pilot import Pilot

from iotcache.config import load
from iotcache_tui.app import IotCacheApp
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.screens.fleet.screen import FleetScreen
from tests.conftest import Server
from tests.tui.conftest import screen_lines, screen_text

pytestmark = pytest.mark.real("memcached", "mosquitto")


class Site:
    """A broker, two cache nodes, a database and an ingest worker that are not the dashboard's own."""

    def __init__(self, broker: Server, nodes: list[Server], folder: Path) -> None:
        self.broker, self.nodes, self.folder = broker, nodes, folder
        self.flags = {
            "broker.url": f"mqtt://{broker.address}",
            "cache.nodes": ",".join(node.address for node in nodes),
            "store.url": f"sqlite:///{folder}/readings.db",
        }
        sets = [part for key, value in self.flags.items() for part in ("--set", f"{key}={value}")]
        self.ingest = subprocess.Popen(
            [sys.executable, "-P", "-m", "iotcache_tui", "ingest", *sets], cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def publish(self, device: str, sensor: str, value: object, **more: object) -> None:
        subprocess.run(
            ["mosquitto_pub", "-p", str(self.broker.port), "-q", "1", "-r",
             "-t", f"iot/plant-north/{device}/{sensor}",
             "-m", json.dumps({"value": value, "unit": "°C", "ts": time.time(), **more})],
            check=True, timeout=10,
        )  # fmt: skip

    def delete(self, key: str) -> bool:
        """Delete a key on whichever node has it, as somebody else would."""
        gone = False
        for node in self.nodes:
            client = Client(("127.0.0.1", node.port), connect_timeout=5, timeout=5, default_noreply=False)
            gone = bool(client.delete(key)) or gone
            client.close()
        return gone

    @asynccontextmanager
    async def dashboard(
        self, size: tuple[int, int] = (120, 40), **flags: object
    ) -> AsyncIterator[tuple[IotCacheApp, Pilot[None]]]:
        settings = load({**self.flags, **flags}, environ={}).settings
        feed = LiveFeed(settings)
        app = IotCacheApp(feed, settings.dashboard)
        try:
            async with app.run_test(size=size) as pilot:
                yield app, pilot
        finally:
            feed.stop()


@pytest.fixture
def site(
    mosquitto: Server,
    memcached_factory: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    one = Site(mosquitto, [memcached_factory(), memcached_factory()], tmp_path)
    yield one
    one.ingest.terminate()
    one.ingest.wait(20)


async def until(pilot: Pilot[None], seen: Callable[[], bool], seconds: float = 20.0) -> None:
    """Let frames go by until ``seen``; fail with the screen when it never is."""
    deadline = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > deadline:
            raise AssertionError(f"never seen on:\n{screen_text(pilot.app)}")  # type: ignore[arg-type]
        await pilot.pause(0.05)


def row_of(app: IotCacheApp, device: str) -> str:
    return next((line for line in screen_lines(app) if line.lstrip("●○ ").startswith(device)), "")


async def test_attached_dashboard_shows_values_ttls_and_fallbacks(site: Site) -> None:
    flags: dict[str, Any] = {"dashboard.observe": False}
    async with site.dashboard(**flags) as (app, pilot):
        await asyncio.to_thread(site.publish, "dev-1", "temperature", 21.5)
        await until(pilot, lambda: "21.5" in row_of(app, "dev-1") and " cache " in row_of(app, "dev-1"))
        await asyncio.to_thread(site.publish, "dev-1", "temperature", 22.75)
        await until(pilot, lambda: "22.75" in row_of(app, "dev-1"))

        def ttl() -> int:
            found = re.search(r" (\d+)(s|m) +(?:cache|store) ", row_of(app, "dev-1"))
            return int(found[1]) * (60 if found[2] == "m" else 1) if found else 0

        fleet = app.view("fleet")
        assert isinstance(fleet, FleetScreen)
        fleet.action_filter()
        fleet.action_clear_filter()
        left = app.state.fleet.ttl_left_s(0, app.clock.monotonic())
        await until(pilot, lambda: 0 < app.state.fleet.ttl_left_s(0, app.clock.monotonic()) < left - 2)
        assert ttl() > 0

        assert await asyncio.to_thread(site.delete, "dev-1:temperature:latest")
        await until(
            pilot,
            lambda: bool(
                re.search(r"dev-1:temperature:latest +invalidated +:\d+ +[\d.]+ ms +\d+", screen_text(app))
            ),
        )
        # The fallback put it back: the next read comes from the cache again.
        await until(pilot, lambda: " cache " in row_of(app, "dev-1"))
        assert app.state.fallbacks_total >= 1
        assert app.state.hit_percent() is not None


async def test_a_dashboard_that_only_looks_shows_what_an_application_would_have_had(site: Site) -> None:
    async with site.dashboard() as (app, pilot):
        await asyncio.to_thread(site.publish, "dev-1", "temperature", 21.5)
        await until(pilot, lambda: "21.5" in row_of(app, "dev-1") and " cache " in row_of(app, "dev-1"))
        assert await asyncio.to_thread(site.delete, "dev-1:temperature:latest")
        await until(pilot, lambda: app.state.fallbacks_total >= 3)
        assert " store " in row_of(app, "dev-1")
        assert not await asyncio.to_thread(site.delete, "dev-1:temperature:latest")  # nobody put it back
        await asyncio.to_thread(site.publish, "dev-1", "temperature", 22.5)
        await until(pilot, lambda: "22.5" in row_of(app, "dev-1") and " cache " in row_of(app, "dev-1"))


async def test_a_dead_node_and_a_dead_broker_are_on_screen_and_heal(site: Site) -> None:
    async with site.dashboard() as (app, pilot):
        for number in range(8):
            await asyncio.to_thread(site.publish, f"dev-{number}", "temperature", 20 + number)
        await until(pilot, lambda: all(row_of(app, f"dev-{number}") for number in range(8)))
        await until(pilot, lambda: "2/2 up" in screen_text(app))
        site.nodes[0].kill()
        await until(pilot, lambda: "1/2 up" in screen_text(app))
        assert "nodes down" in screen_lines(app)[0]
        site.nodes[0].start()
        await until(pilot, lambda: "2/2 up" in screen_text(app), 40.0)
        site.broker.kill()
        await until(pilot, lambda: "broker down" in screen_lines(app)[0])
        # The cache is read on all the same.
        reads = sum(second.reads for second in app.state.seconds)
        await until(pilot, lambda: sum(second.reads for second in app.state.seconds) > reads + 8)
        site.broker.start()
        await until(pilot, lambda: "broker mqtt://" in screen_lines(app)[0], 40.0)
        await asyncio.to_thread(site.publish, "dev-3", "temperature", 99.5)
        await until(pilot, lambda: "99.5" in row_of(app, "dev-3"), 40.0)
