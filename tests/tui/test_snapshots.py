"""What the screens look like, held as SVG: few, over a clock that stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from iotcache.clock import ManualClock
from iotcache.config.schema import DashboardSettings
from iotcache.model import NodeHealth, NodeState
from iotcache_tui.app import IotCacheApp
from iotcache_tui.state.updates import Part
from tests.tui import test_flow as test_flow_screen
from tests.tui import test_lab_screen
from tests.tui import test_nodes as test_nodes_screen
from tests.tui.scripted import NODES, ScriptedFeed, fill

WALL_S = 1_750_000_000.0


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def make(devices: int = 60, **settings: Any) -> IotCacheApp:
    app = IotCacheApp(ScriptedFeed(), DashboardSettings(**settings), clock=ManualClock(WALL_S))
    if devices:
        fill(app.state, devices, now_s=app.clock.monotonic(), wall_s=app.clock.now())
    return app


def pressing(*keys: str) -> Callable[[Pilot[None]], object]:
    async def act(pilot: Pilot[None]) -> None:
        pilot.app.frame()  # type: ignore[attr-defined]
        await pilot.press(*keys)
        pilot.app.frame()  # type: ignore[attr-defined]
        await pilot.pause()

    return act


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_fleet(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(make(), terminal_size=size, run_before=pressing("down", "down"))


def test_light_theme_sorted_and_filtered(snap_compare: Callable[..., bool]) -> None:
    app = make(theme="iotcache-light")
    assert snap_compare(
        app, terminal_size=(100, 30), run_before=pressing("s", "s", "s", "r", "slash", *"power", "enter")
    )


def test_ascii_only(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(make(ascii=True), terminal_size=(100, 30), run_before=pressing())


def test_help(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(make(), terminal_size=(100, 36), run_before=pressing("question_mark"))


def test_starting_and_troubled(snap_compare: Callable[..., bool]) -> None:
    app = make(devices=0)
    app.state.parts = (
        Part("broker", "up", "embedded"),
        Part("nodes", "starting", "1 of 3 answer"),
        Part("store", "down", "the database is away"),
    )
    app.state.nodes = (NodeHealth(NODES[0], NodeState.UP), NodeHealth(NODES[1], NodeState.DOWN, "refused"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=pressing())


def test_nodes(snap_compare: Callable[..., bool]) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await test_nodes_screen.show(pilot.app, pilot)  # type: ignore[arg-type]

    assert snap_compare(make(), terminal_size=(120, 40), run_before=act)


def test_flow(snap_compare: Callable[..., bool]) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await test_flow_screen.show(pilot.app, pilot)  # type: ignore[arg-type]

    assert snap_compare(make(reduced_motion=True), terminal_size=(120, 40), run_before=act)


def test_events(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(make(), terminal_size=(100, 30), run_before=pressing("7", "home"))


def test_anatomy(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(make(), terminal_size=(100, 36), run_before=pressing("a"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_lesson(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("6")
        for _ in range(3):
            test_lab_screen.show(pilot.app, test_lab_screen.view(1))  # type: ignore[arg-type]
            await pilot.pause()

    assert snap_compare(make(theme="iotcache-light"), terminal_size=size, run_before=act)
