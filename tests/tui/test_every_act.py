"""The acts that no other test presses a key for."""

from __future__ import annotations

from array import array
from math import nan

import pytest
from textual.widgets import Button, OptionList

from iotcache.clock import ManualClock
from iotcache.model import Severity
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.events import EventsScreen
from iotcache_tui.screens.fleet.choose_columns import ChooseColumns
from iotcache_tui.screens.fleet.screen import FleetScreen
from iotcache_tui.state.updates import Latest
from iotcache_tui.widgets.fleet.fleet_columns import DEFAULT_COLUMNS
from tests.tui.conftest import RunApp, screen_text


async def test_enter_opens_the_first_row_while_none_is_chosen(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        await pilot.press("enter")
        await pilot.pause()
        assert app.selected_row == screen.fleet_view.order[0]
        assert app.screen is app.view("device")


async def test_all_rows_that_pass_the_filter_are_marked_and_unmarked(run_app: RunApp) -> None:
    async with run_app(devices=60) as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        screen.filter_by("pump")
        await pilot.press("M")
        wanted = set(screen.fleet_view.order)
        assert 0 < len(wanted) < 60
        assert app.state.fleet.marked == wanted
        await pilot.press("M")
        assert app.state.fleet.marked == set()


async def test_the_log_of_fallbacks_goes_and_comes_back(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        shown = screen.log_view.display
        for _ in range(2):
            shown = not shown
            await pilot.press("l")
            assert screen.log_view.display is shown
            app.frame()
            await pilot.pause()
            assert ("Fallback Key" in screen_text(app)) is shown


async def test_columns_go_back_to_what_they_were_at_first(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        await pilot.press("c")
        assert isinstance(app.screen, ChooseColumns)
        await pilot.press("down", "down", "down", "space")
        assert screen.table.columns != DEFAULT_COLUMNS
        await pilot.press("r")
        assert screen.table.columns == DEFAULT_COLUMNS
        assert app.screen.query_one(OptionList).highlighted == 0
        await pilot.press("escape")


async def test_arrows_go_from_no_to_yes_and_enter_presses(run_app: RunApp) -> None:
    answers: list[bool | None] = []
    async with run_app() as (app, pilot):
        app.push_screen(ConfirmScreen("flush [node]", "All is gone."), answers.append)
        await pilot.pause()
        assert isinstance(app.focused, Button)
        assert app.focused.id == "no"
        await pilot.press("left")
        assert isinstance(app.focused, Button)
        assert app.focused.id == "yes"
        await pilot.press("enter")
        await pilot.pause()
    assert answers == [True]


async def test_pages_and_ends_of_a_table(run_app: RunApp) -> None:
    async with run_app(devices=200) as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        view, page = screen.fleet_view, screen.table.body_height - 1
        await pilot.press("home", "pagedown")
        assert view.selected == view.order[page]
        await pilot.press("pagedown", "pageup")
        assert view.selected == view.order[page]
        await pilot.press("end")
        assert view.selected == view.order[-1]
        await pilot.press("pageup")
        assert view.selected == view.order[-1 - page]


async def test_tab_goes_round_and_down_leaves_the_filter(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        screen = app.view("fleet")
        assert isinstance(screen, FleetScreen)
        assert app.focused is screen.table
        await pilot.press("tab")
        assert app.focused is not screen.table
        await pilot.press("shift+tab")
        assert app.focused is screen.table
        await pilot.press("slash")
        assert app.focused is not None
        assert app.focused.id == "filter-text"
        await pilot.press("p", "u", "m", "down")
        assert app.focused.id == "fleet"
        assert screen.filter_box.input.value == "pum"


async def test_events_page_and_go_to_the_first(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        for number in range(100):
            app.state.log.add(
                1_750_000_000.0 + number, "node", Severity.WARNING, f"node-{number}", "went away"
            )
        await pilot.press("7")
        app.frame()
        await pilot.pause()
        screen = app.view("events")
        assert isinstance(screen, EventsScreen)
        log = screen.query_one("EventLogView")
        await pilot.press("home")
        assert log.selected_entry is not None  # type: ignore[attr-defined]
        first = log.selected_entry.number  # type: ignore[attr-defined]
        await pilot.press("pagedown")
        page = log.selected_entry.number - first  # type: ignore[attr-defined]
        assert page == log.body_height - 1  # type: ignore[attr-defined]
        await pilot.press("pageup")
        assert log.selected_entry.number == first  # type: ignore[attr-defined]


async def test_q_and_ctrl_c_end_it(run_app: RunApp) -> None:
    for key in ("q", "ctrl+c"):
        async with run_app() as (app, pilot):
            await pilot.press(key)
            await pilot.pause()
            assert app._exit
            assert app.return_code == 0


@pytest.mark.long
async def test_every_theme_of_the_palette_draws(run_app: RunApp) -> None:
    async with run_app((80, 24)) as (app, pilot):
        assert len(app.available_themes) > 15
        assert "ansi-dark" not in app.available_themes
        for number, name in enumerate(app.available_themes):
            app.theme = name
            await pilot.press(str(number % 7 + 1))
            app.frame()
            await pilot.pause()
            assert "Fleet" in screen_text(app)


async def test_a_screen_that_is_come_back_to_is_not_shown_as_it_was_left(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("7")
        app.frame()
        await pilot.pause()
        await pilot.press("1")
        app.frame()
        await pilot.pause()
        top = app.view("events").top
        left = top.render_line(0).text
        assert isinstance(app.clock, ManualClock)
        app.clock.advance(3_600.0)
        app.action_show("events")
        # Before the frame clock's next turn.
        assert top.render_line(0).text != left


async def test_the_rate_of_frames_is_changed_live_and_a_still_screen_rests(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotcache_tui.frame_clock.REST_AFTER_S", 0.2)
    async with run_app() as (app, pilot):
        assert app.frame_clock.hz == 4
        for keys, hz in ((")", 6), (")", 8), ("(((((((", 1), (")" * 9, 10)):
            await pilot.press(*("right_parenthesis" if key == ")" else "left_parenthesis" for key in keys))
            assert app.frame_clock.hz == hz
        assert isinstance(app.clock, ManualClock)
        app.clock.advance(60.0)  # nothing glows any more
        app.state.fleet.ttl_end_at[:] = array("d", [nan] * len(app.state.fleet))
        while not app.frame_clock.resting:
            await pilot.pause(0.1)
        # A key, and news, end the rest.
        await pilot.press("down")
        assert not app.frame_clock.resting
        while not app.frame_clock.resting:
            await pilot.pause(0.1)
        app.feed.mailbox.put_latest(Latest(nodes=()))
        while app.state.nodes:
            await pilot.pause(0.1)
        assert not app.frame_clock.resting
