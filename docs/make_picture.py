"""Take a picture of every screen: the real dashboard over a live embedded fleet, by the program itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from terminal_svg import picture_of, svg

from iotcache.config import load
from iotcache_tui.app import IotCacheApp
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.screens.catalog import SCREENS

SIZE = (120, 36)
WARM_UP_S = 45.0
LOOK_S = 6.0
"""How long a screen is open before its picture is taken."""
FOLDER = Path(__file__).with_name("screens")


async def take() -> None:
    settings = load({"simulator.devices": "60"}, environ={}).settings
    feed = LiveFeed(settings)
    app = IotCacheApp(feed, settings.dashboard)
    FOLDER.mkdir(exist_ok=True)
    try:
        async with app.run_test(size=SIZE) as pilot:
            await asyncio.sleep(WARM_UP_S)
            await pilot.press("down", "down", "down")
            for entry in SCREENS:
                await pilot.press(entry.key)
                await asyncio.sleep(LOOK_S)
                file = FOLDER / f"{entry.name}.svg"
                file.write_text(svg([picture_of(app)], f"The screen {entry.title}"), "utf-8")
                print(file, f"{file.stat().st_size // 1_000} kB")
    finally:
        await asyncio.to_thread(feed.stop)


if __name__ == "__main__":
    sys.exit(asyncio.run(take()))
