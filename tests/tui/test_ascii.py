"""With `dashboard.ascii` nothing but ASCII is drawn, on every screen; Textual's own parts included."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from iotcache_tui.app import IotCacheApp
from iotcache_tui.ascii_only import GLYPHS
from iotcache_tui.format import sparkline
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.screens.fleet.screen import FleetScreen
from iotcache_tui.widgets.common.area import area
from tests.tui.conftest import RunApp, screen_lines, screen_text

SIZES = [(80, 24), pytest.param((120, 40), marks=pytest.mark.long)]


def with_ascii_units(app: IotCacheApp) -> None:
    """The scripted devices measure in °C; those marks are theirs, and stay."""
    fleet = app.state.fleet
    fleet.unit[:] = ["C" if unit == "°C" else unit for unit in fleet.unit]
    assert all(unit.isascii() for unit in fleet.unit)


async def shown(app: IotCacheApp, pilot: Pilot[Any]) -> str:
    app.clock.advance(1.1)  # type: ignore[attr-defined]
    app.frame()
    await pilot.pause()
    text = screen_text(app)
    odd = sorted({mark for mark in text if not mark.isascii()})
    assert not odd, f"{odd} on\n{text}"
    return text


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
async def test_every_screen_its_help_and_the_anatomy_are_ascii(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    async with run_app(size, ascii=True) as (app, pilot):
        with_ascii_units(app)
        await app.workers.wait_for_complete()
        app.selected_row = 2
        for entry in SCREENS:
            app.action_show(entry.name)
            while "q Quit" not in screen_text(app):  # the footer comes after the panels
                await pilot.pause()
            await shown(app, pilot)
            app.action_help()
            assert "Help" in await shown(app, pilot)
            app.pop_screen()
        app.action_show("fleet")
        fleet = app.view("fleet")
        assert isinstance(fleet, FleetScreen)
        fleet.action_anatomy()
        assert "Miss anatomy" in await shown(app, pilot)
        app.pop_screen()
        fleet.action_jump()
        await shown(app, pilot)
        app.pop_screen()
        fleet.filter_by("nothing")
        assert "no series matches" in await shown(app, pilot)
        app.tell("something", "error")
        await pilot.pause()
        assert "something" in await shown(app, pilot)


async def test_what_comes_from_devices_stays_as_it_came(run_app: RunApp) -> None:
    async with run_app(ascii=True) as (app, _):
        assert any("°C" in line for line in screen_lines(app))


def test_every_mark_takes_one_cell_and_curves_still_have_a_shape() -> None:
    assert all(len(plain) == 1 and plain.isascii() for plain in GLYPHS.values())
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8, True) == "_.:-=+*#"
    assert area([0.0, 20.0, 50.0, 100.0, None], 1, 0.0, 100.0, True) == ["..=# "]
    assert len({*"▁▂▃▄▅▆▇█".translate(GLYPHS)}) >= 7
