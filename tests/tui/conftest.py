"""The real app over a scripted feed, at the sizes that matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import pytest
from textual.pilot import Pilot

from iotcache.clock import ManualClock
from iotcache.config.schema import DashboardSettings
from iotcache_tui.app import IotCacheApp
from iotcache_tui.preferences import PreferencesFile
from tests.tui.scripted import ScriptedFeed, fill

WALL_S = 1_750_000_000.0


class ScriptedApp(IotCacheApp):
    """For the type checker: the app over a feed and a clock that the test drives.

    Never instantiated, as Textual looks for a class's style sheet beside its module.
    """

    feed: ScriptedFeed
    clock: ManualClock


RunApp = Callable[..., AbstractAsyncContextManager[tuple[ScriptedApp, Pilot[None]]]]


@pytest.fixture(autouse=True)
def all_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are of a terminal with all colours, whatever the tests run in."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def run_app(monkeypatch: pytest.MonkeyPatch) -> RunApp:
    """``run_app(size, devices)``: the app with a filled state and a clock that stands still."""
    monkeypatch.setenv("TZ", "UTC")

    @asynccontextmanager
    async def run(
        size: tuple[int, int] = (120, 40),
        devices: int = 60,
        *,
        read_only: bool = False,
        preferences_file: PreferencesFile | None = None,
        **settings: Any,
    ) -> AsyncIterator[tuple[ScriptedApp, Pilot[None]]]:
        made = IotCacheApp(
            ScriptedFeed(),
            DashboardSettings(**settings),
            clock=ManualClock(WALL_S),
            read_only=read_only,
            preferences_file=preferences_file,
        )
        app = cast("ScriptedApp", made)
        app.clock.advance(1000.0)
        if devices:
            fill(app.state, devices, now_s=app.clock.monotonic(), wall_s=app.clock.now())
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            app.frame()
            await pilot.pause()
            yield app, pilot

    return run


async def until_shown(app: IotCacheApp, pilot: Pilot[Any], *texts: str) -> str:
    """The screen's text once all of ``texts`` are on it: a footer comes after its screen, and on a busy
    machine by more than one turn."""
    async with asyncio.timeout(30):
        while not all(text in (shown := screen_text(app)) for text in texts):
            app.frame()
            await pilot.pause()
    return shown


def screen_lines(app: IotCacheApp) -> list[str]:
    """The text of the whole screen as a person reads it."""
    _width, height = app.size
    return [
        "".join(segment.text for segment in strip).rstrip()
        for strip in app.screen._compositor.render_strips()[:height]
    ]


def screen_text(app: IotCacheApp) -> str:
    return "\n".join(screen_lines(app))
