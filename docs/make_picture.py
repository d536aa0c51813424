"""Take the README's picture: the real dashboard over a live embedded fleet, drawn by the program itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from iotcache.config import load
from iotcache_tui.app import IotCacheApp
from iotcache_tui.feed.live import LiveFeed

SIZE = (120, 40)
WARM_UP_S = 75.0
TARGET = Path(__file__).with_name("dashboard.svg")


async def take() -> None:
    settings = load({"simulator.devices": "60"}, environ={}).settings
    feed = LiveFeed(settings)
    app = IotCacheApp(feed, settings.dashboard)
    try:
        async with app.run_test(size=SIZE) as pilot:
            await asyncio.sleep(WARM_UP_S)
            await pilot.press("down", "down", "down")
            await pilot.pause(0.5)
            svg = app.export_screenshot(title="iotcache-tui")
    finally:
        feed.stop()
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", "utf-8")
    print(TARGET)


if __name__ == "__main__":
    sys.exit(asyncio.run(take()))
