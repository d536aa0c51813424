"""Record the README's animation: a cache node of a live fleet dies and heals, drawn by the program itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from terminal_svg import Line, picture_of, svg

from iotcache.config import load
from iotcache_tui.app import IotCacheApp
from iotcache_tui.feed.live import LiveFeed
from iotcache_tui.state.requests import Answer, SwitchPart

SIZE = (100, 24)
FRAME_S = 1.0
BEFORE_S, DEAD_S, AFTER_S = 2.0, 6.0, 6.0
WARM_UP_S = 20.0
ABOUT = "A cache node dies: its readings come from the store, with the reason, until it is back"
TARGET = Path(__file__).with_name("node.svg")


async def record() -> list[list[Line]]:
    """Each frame's lines."""
    settings = load({"simulator.devices": "40", "cache.ttl.jitter": "0.3"}, environ={}).settings
    feed = LiveFeed(settings)
    app = IotCacheApp(feed, settings.dashboard)
    frames: list[list[Line]] = []

    def switch(what: str) -> None:
        def answered(answer: Answer) -> None:
            return None

        app.ask(SwitchPart(f"node {app.state.nodes[1].name}", what), answered)

    async def frames_for(seconds: float) -> None:
        for _ in range(round(seconds / FRAME_S)):
            await asyncio.sleep(FRAME_S)
            frames.append(picture_of(app))

    try:
        async with app.run_test(size=SIZE) as pilot:
            await asyncio.sleep(WARM_UP_S)
            await pilot.pause()
            await frames_for(BEFORE_S)
            switch("kill")
            await frames_for(DEAD_S)
            switch("restart")
            await frames_for(AFTER_S)
    finally:
        await asyncio.to_thread(feed.stop)
    return frames


def main() -> None:
    TARGET.write_text(svg(asyncio.run(record()), ABOUT, FRAME_S), "utf-8")
    print(TARGET, f"{TARGET.stat().st_size // 1_000} kB")


if __name__ == "__main__":
    sys.exit(main())
