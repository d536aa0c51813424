"""What a user does on the fleet screen: groups, columns, marks, watching, warming, invalidating."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from iotcache.config.schema import DashboardSettings
from iotcache_tui.app import IotCacheApp
from iotcache_tui.preferences import PreferencesFile, UiPreferences
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.fleet.screen import FleetScreen
from iotcache_tui.state.requests import ActionProgress, InvalidateSeries, WarmSeries
from iotcache_tui.widgets.fleet.fleet_columns import DEFAULT_COLUMNS
from iotcache_tui.widgets.fleet.fleet_table import FleetTable
from tests.tui.conftest import RunApp, screen_lines, screen_text
from tests.tui.scripted import ScriptedFeed


async def test_a_filter_with_a_mistake_says_so_and_offers_completions(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("slash", *"si")
        await pilot.pause()
        assert "tab: site:" in screen_text(app)
        await pilot.press("tab")
        await pilot.pause()
        await pilot.press(*"warehouse-e", "right")
        await pilot.pause()
        table = app.screen.query_one(FleetTable)
        assert {app.state.fleet.site[row] for row in table.view.order} == {"warehouse-east"}
        app.screen.query_one("#filter-text", Input).value += " ttl<x"
        await pilot.pause()
        assert "✗ ttl is compared with a number" in screen_text(app)
        assert len(table.view.order) == 20


async def test_grouping_folding_and_opening_a_group(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("G")
        await pilot.pause()
        assert "▾ office-hq" in screen_text(app)
        assert "20 series" in screen_text(app)
        await pilot.press("z")
        await pilot.pause()
        assert [line for line in screen_lines(app) if "▸" in line][1:2][0].strip().startswith("▸ plant-north")
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        table = app.screen.query_one(FleetTable)
        assert {app.state.fleet.site[row] for row in table.view.order} == {"plant-north"}
        assert table.view.group == ""


async def test_columns_are_chosen_ordered_and_kept(run_app: RunApp, tmp_path: Path) -> None:
    file = PreferencesFile(tmp_path / "sub" / "kept.json")
    async with run_app(preferences_file=file) as (app, pilot):
        await pilot.press("c", "down", "down", "down", "space", "K", "escape")
        await pilot.pause()
        assert "Site" not in screen_text(app)
        await pilot.press("s", "s")
        await app.workers.wait_for_complete()
    kept = file.load()
    assert kept.columns == tuple(key for key in DEFAULT_COLUMNS if key != "site")
    assert kept.sort == "value"
    async with run_app(preferences_file=file) as (app, _):
        assert "Site" not in screen_text(app)
        assert "Value▲" in screen_text(app)


@pytest.mark.parametrize(("named", "theme"), [(False, "iotcache-light"), (True, "iotcache-dark")])
async def test_a_theme_that_a_flag_names_wins_over_the_kept_one(
    tmp_path: Path, named: bool, theme: str
) -> None:
    file = PreferencesFile(tmp_path / "kept.json")
    file.save(UiPreferences(theme="iotcache-light"))
    app = IotCacheApp(ScriptedFeed(), DashboardSettings(), preferences_file=file, theme_named=named)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme == theme
        await pilot.pause()
        assert file.load().theme == "iotcache-light"
        for other in ("iotcache-contrast", "iotcache-dark"):
            app.theme = other
            await pilot.pause()
            await app.workers.wait_for_complete()
            assert file.load().theme == other


async def test_a_broken_or_forbidden_kept_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"\x00{")
    assert PreferencesFile(path).load() == UiPreferences()
    PreferencesFile(path / "below-a-file").save(UiPreferences(theme="x"))
    PreferencesFile(path).save(UiPreferences(theme="x"))
    assert PreferencesFile(path).load().theme == "x"
    assert [one.name for one in tmp_path.iterdir()] == ["kept.json"]


async def test_marked_rows_are_warmed_with_a_word_on_how_it_went(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("down", "m", "m", "w")
        await pilot.pause()
        series = app.state.fleet.series
        (request,) = app.feed.asked
        assert request == WarmSeries((series[0], series[5]))
        assert sum("✓●" in line for line in screen_lines(app)) == 2
        app.feed.answer(ActionProgress(2, 2, 1, 1, "the store is away"), done=False)
        app.feed.answer()
        app.frame()
        await pilot.pause()
        assert "1 of 2 put back, 1 not: the store" in screen_text(app)
        await pilot.press("escape")
        assert not app.state.fleet.marked


async def test_invalidating_asks_first(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("down", "i")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert "cold-room-0001:temperature" in screen_text(app)
        await pilot.press("enter")  # the button with the focus says no
        await pilot.pause()
        assert not app.feed.asked
        await pilot.press("i", "y")
        await pilot.pause()
        assert app.feed.asked == [InvalidateSeries((app.state.fleet.series[0],))]


async def test_read_only_puts_acts_out_of_reach(run_app: RunApp) -> None:
    async with run_app(read_only=True) as (app, pilot):
        await pilot.press("down", "i", "w")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen)
        assert not app.feed.asked
        assert "read-only" in screen_text(app)


async def test_watched_rows_are_read_wherever_the_screen_is(run_app: RunApp) -> None:
    async with run_app(devices=200) as (app, pilot):
        await pilot.press("down", "v", "end")
        await pilot.pause()
        app.frame()
        row = next(iter(app.state.fleet.watched))
        assert row in app.feed.watched
        assert row not in app.screen.query_one(FleetTable).visible_rows()
        await pilot.press("home", "v")
        assert not app.state.fleet.watched


async def test_a_changed_value_glows_unless_motion_is_reduced(run_app: RunApp) -> None:
    from iotcache.model import Read, Source
    from iotcache_tui.state.updates import RowUpdate

    for reduced in (False, True):
        async with run_app(reduced_motion=reduced) as (app, pilot):
            table = app.screen.query_one(FleetTable)
            read = Read(*app.state.fleet.series[0], value=-3.25, source=Source.CACHE, ts_us=1, ttl_s=9.0)
            app.feed.mailbox.put_reads([RowUpdate(0, read, app.clock.monotonic(), 9, 9)], [])
            app.state.fleet.measured_at[0] = 0
            app.frame()
            await pilot.pause()
            glow = table.part_style("table--flash").bgcolor
            line = table.render_line(1)
            seen = any(segment.style and segment.style.bgcolor == glow for segment in line)
            read = Read(*app.state.fleet.series[0], value=-3.5, source=Source.CACHE, ttl_s=9.0,
                        ts_us=int(app.clock.now() * 1e6))  # fmt: skip
            app.feed.mailbox.put_reads([RowUpdate(0, read, app.clock.monotonic(), 9, 9)], [])
            app.frame()
            await pilot.pause()
            seen = any(segment.style and segment.style.bgcolor == glow for segment in table.render_line(1))
            assert seen is not reduced
            app.clock.advance(2.0)
            app.frame()
            await pilot.pause()
            assert not any(
                segment.style and segment.style.bgcolor == glow for segment in table.render_line(1)
            )


def fleet_screen(app: IotCacheApp) -> FleetScreen:
    screen = app.view("fleet")
    assert isinstance(screen, FleetScreen)
    return screen


async def test_plots_on_a_small_screen_leave_room_for_the_fleet_and_are_not_kept(
    run_app: RunApp, tmp_path: Path
) -> None:
    file = PreferencesFile(tmp_path / "kept.json")
    async with run_app((80, 24), preferences_file=file) as (app, pilot):
        await pilot.press("g")
        app.frame()
        await pilot.pause()
        assert fleet_screen(app).plots.display
        assert len(app.screen.query_one(FleetTable).visible_rows()) >= 3
        await app.workers.wait_for_complete()
        assert file.load().plots is None
    file.save(UiPreferences(plots=True))
    async with run_app((80, 24), preferences_file=file) as (app, _):
        assert not fleet_screen(app).plots.display


async def test_tab_goes_through_the_completions_and_round(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("slash", *"src:")
        box = fleet_screen(app).filter_box.input
        seen = []
        for _ in range(4):
            await pilot.press("tab")
            seen.append(box.value)
        assert seen == ["src:cache", "src:none", "src:store", "src:cache"]
        box.value, seen = "si", []
        for _ in range(3):
            await pilot.press("tab")
            seen.append(box.value)
        assert seen == ["site:", "site:office-hq", "site:plant-north"], "the only one leads on to its values"


@pytest.mark.parametrize("before", [(), ("down", "down")], ids=["nothing chosen", "a row chosen before"])
async def test_a_mark_on_a_folded_group_says_what_it_needs(run_app: RunApp, before: tuple[str, ...]) -> None:
    async with run_app() as (app, pilot):
        await pilot.press(*before, "z")
        assert fleet_screen(app).fleet_view.acted_on() == ()
        await pilot.press("down", "m")
        await pilot.pause()
        assert not app.state.fleet.marked
        assert "a group is no row: z unfolds it" in screen_text(app)
