"""What the Fleet screen shows, and what its keys do, at every size."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from textual.geometry import Region

from iotcache.clock import ManualClock
from iotcache.model import MissReason, NodeHealth, NodeState, Read, Series, Source, Value
from iotcache.store.base import SeriesInfo
from iotcache_tui.format import clock_text
from iotcache_tui.screens.fleet.screen import FleetScreen
from iotcache_tui.state.updates import FallbackRead, Latest, Part, RowUpdate, TtlUpdate
from iotcache_tui.widgets.fleet.fallback_log import FallbackLog
from iotcache_tui.widgets.fleet.fleet_table import FleetTable
from tests.tui.conftest import RunApp, screen_lines, screen_text, until_shown
from tests.tui.scripted import NODES

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_shows_figures_rows_fallbacks_and_keys(
    run_app: RunApp, size: tuple[int, int]
) -> None:
    async with run_app(size) as (app, _):
        text = screen_text(app)
        for words in ("Hit ratio", "Fallbacks", "Ingest", "Read p99", "Devices", "99.2%", "240 msg/s"):
            assert words in text
        row = next(line for line in screen_lines(app) if "-0001" in line and "temperature" in line)
        for part in ("●", "°C", "30s", "cache", "%", ":21001"):
            assert part in row
        assert re.search(r"\d\d:\d\d:\d\d power-meter-0002:power:latest +corrupt +:21002 +8.20 ms +15s", text)
        assert "q Quit" in text
        assert "/ Filter" in text
        assert all(cell_len(line) <= size[0] for line in screen_lines(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_columns_line_up(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size) as (app, _):
        rows = [
            line for line in screen_lines(app) if "-00" in line and " temperature" in line and "°C" in line
        ]
        assert len(rows) >= 8
        assert len({line.index("°C") for line in rows}) == 1
        points = {line.rindex(".", 0, line.index("°C")) for line in rows if "." in line[: line.index("°C")]}
        assert len(points) == 1


async def test_plots_show_where_there_is_room_and_on_demand_elsewhere(run_app: RunApp) -> None:
    async with run_app((120, 40)) as (app, _):
        assert "Read hit ratio, %" in screen_text(app)
        assert "-5m" in screen_text(app)
    async with run_app((80, 24)) as (app, pilot):
        assert "Read hit ratio, %" not in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert "Read hit ratio, %" in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert "Read hit ratio, %" not in screen_text(app)


async def test_a_new_read_changes_the_value_the_ttl_falls_and_a_fallback_appears(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        series = app.state.fleet.series[0]
        read = Read(
            *series, 99.25, Source.STORE, "°C", int((app.clock.now() - 1) * 1e6), NODES[0], 30.0,
            MissReason.INVALIDATED, 3.2, 2.7,
        )  # fmt: skip
        now = app.clock.monotonic()
        app.feed.mailbox.put_reads(
            [RowUpdate(0, read, now, 41, 40)],
            [FallbackRead(app.clock.now(), 0, "cold-room-0001:temperature:latest", MissReason.INVALIDATED,
                      NODES[0], 2.7, 30.0)],
        )  # fmt: skip
        app.frame()
        await pilot.pause()
        row = next(line for line in screen_lines(app) if line.lstrip("●○ ").startswith("cold-room-0001"))
        assert "99.25" in row
        assert " store " in row
        assert " 30s " in row
        assert re.search(
            r"cold-room-0001:temperature:latest,? .*invalidated +:21001 +2.70 ms +30s", screen_text(app)
        )
        for left in ("29s", "28s", "27s"):
            app.clock.advance(1.0)
            app.frame()
            await pilot.pause()
            row = next(line for line in screen_lines(app) if line.lstrip("●○ ").startswith("cold-room-0001"))
            assert f" {left} " in row
        app.feed.mailbox.put_ttls([TtlUpdate(0, app.clock.monotonic(), None)])
        app.frame()
        await pilot.pause()
        assert "not cached" in next(line for line in screen_lines(app) if "cold-room-0001" in line)


async def test_filter_as_you_type_and_clear(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("slash", *"pump 0003")
        await pilot.pause()
        table = app.screen.query_one(FleetTable)
        assert [app.state.fleet.device[row] for row in table.view.order] == ["pump-0003"]
        keys = screen_text(app).splitlines()[-1]
        assert "Tab Complete" in keys and "Esc Clear" in keys, "only keys that do something while one types"
        assert "/ Filter" not in keys
        await pilot.press("escape")
        await pilot.pause()
        assert len(table.view.order) == 60
        assert app.focused is table
        await pilot.press("slash", *"nothing")
        await pilot.pause()
        assert "no series matches “nothing”" in screen_text(app)


async def test_sort_by_key_and_by_click_keeps_the_selected_device(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        table = app.screen.query_one(FleetTable)
        await pilot.press("down", "down", "down")
        chosen = table.view.selected
        assert chosen is not None
        await pilot.press("s")
        assert table.view.sort == "sensor"
        assert table.view.selected == chosen
        await pilot.press("r")
        assert table.view.reverse
        assert table.view.selected == chosen
        await pilot.click(FleetTable, offset=(5, 0))
        await pilot.pause()
        assert (table.view.sort, table.view.reverse) == ("device", False)
        await pilot.click(FleetTable, offset=(5, 0))
        await pilot.pause()
        assert table.view.reverse
        assert "Device▼" in screen_text(app)
        assert table.view.selected == chosen


async def test_pause_freezes_the_view_and_not_the_intake(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("space")
        before = list(screen_lines(app)[1:])
        series = app.state.fleet.series[0]
        read = Read(*series, 77.0, Source.CACHE, "°C", int(app.clock.now() * 1e6), NODES[0], 30.0)
        app.clock.advance(2.0)
        app.feed.mailbox.put_reads([RowUpdate(0, read, app.clock.monotonic(), 42, 41)], [])
        app.frame()
        await pilot.pause()
        assert screen_lines(app)[1:] == before
        assert "PAUSED 1 behind" in screen_lines(app)[0]
        await pilot.press("space")
        await pilot.pause()
        assert "LIVE" in screen_lines(app)[0]
        assert "77" in next(line for line in screen_lines(app) if "cold-room-0001" in line)


async def test_help_lists_the_keys_that_work(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        text = screen_text(app)
        for words in ("Filter", "Sort", "Pause", "Plots", "Log", "Quit", "Row down", "Hit ratio"):
            assert words in text
        await pilot.press("escape")
        await pilot.pause()
        assert "Legend" not in screen_text(app)
        assert app.screen is app.view("fleet")


async def test_palette_finds_our_commands(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("ctrl+p")
        await pilot.press(*"sort by ttl")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        fleet = app.view("fleet")
        assert isinstance(fleet, FleetScreen)
        assert fleet.fleet_view.sort == "ttl"


async def test_hostile_names_and_values_are_harmless_text(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        names = [
            "evil\x1b[31mred", "new\nline", "[bold]markup[/bold]", "rtl\u202eflip", "zero\u200bwidth",
            "n" * 300, "emoji😀😀😀", "漢字漢字漢字漢字漢字漢字漢字", "plain",
        ]  # fmt: skip
        mailbox = app.feed.mailbox
        mailbox.put_joined(
            [
                SeriesInfo(Series(name, "se\x1bnsor"), "si\x07te", "°\x1bC", 10.0, n)
                for n, name in enumerate(names)
            ]
        )
        now, now_us = app.clock.monotonic(), int(app.clock.now() * 1e6)
        values: list[Value] = [
            float("nan"),
            "bad\x1b]0;title\x07",
            "[red]x[/red]",
            True,
            1e300,
            -0.0,
            12,
            "s" * 10_000,
            5.5,
        ]
        mailbox.put_reads(
            [
                RowUpdate(
                    row,
                    Read(name, "s", values[row], Source.CACHE, "u", now_us, "\x1bn", 30.0),
                    now, 1, 1,
                )
                for row, name in enumerate(names)
            ],
            [FallbackRead(app.clock.now(), 0, "k", MissReason.TIMEOUT, "n", 1.0, None, "went\\x1b wrong")],
        )  # fmt: skip
        mailbox.put_latest(Latest(ready=True, nodes=(NodeHealth("a\x1b:1", NodeState.DOWN, "why\x1b"),)))
        app.frame()
        await pilot.pause()
        lines = screen_lines(app)
        text = "\n".join(lines)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\u200b" not in text
        assert "[bold]ma" in text
        assert "p[/bold]" in text
        assert all(cell_len(line) <= 120 for line in lines)
        rows = [line for line in lines if " 30s " in line]
        assert len(rows) == len(names)
        cells_before_ttl = {cell_len(line[: line.index(" 30s ")]) for line in rows}
        assert len(cells_before_ttl) == 1


async def test_starting_down_and_empty_states_are_said_in_words(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        mailbox = app.feed.mailbox
        mailbox.put_latest(
            Latest(parts=(Part("broker", "up", "embedded"), Part("nodes", "starting", "1 of 3 answer")))
        )
        app.frame()
        await pilot.pause()
        assert re.search(r"nodes +starting +1 of 3 answer", screen_text(app))
        mailbox.put_latest(Latest(ready=True, parts=(Part("store", "down", "the database is away"),)))
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "store down the database is away" in text
        assert "waiting for the first readings" in text
        assert "what is not in the cache cannot be read" in text
        assert "no read has fallen back" in text
        mailbox.put_latest(Latest(parts=(Part("broker", "down", "it refused [bold]the login"),)))
        app.frame()
        await pilot.pause()
        assert "broker down: it refused [bold]the login" in screen_text(app)
        mailbox.put_latest(
            Latest(nodes=(NodeHealth(NODES[0], NodeState.UP), NodeHealth(NODES[1], NodeState.DOWN)))
        )
        app.frame()
        await pilot.pause()
        assert "1/2 up" in screen_text(app)
        assert ":21002 down" in screen_text(app)


async def test_the_log_follows_its_end_until_somebody_scrolls_up(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        log = app.screen.query_one(FallbackLog)

        async def burst(first: int) -> None:
            app.feed.mailbox.put_reads(
                [],
                [
                    FallbackRead(
                        app.clock.now(), 0, f"burst-{number}", MissReason.EXPIRED, f"n:{number}", 1.0, 5.0
                    )
                    for number in range(first, first + 50)
                ],
            )
            for _ in range(3):
                app.frame()
                await pilot.pause()

        await burst(0)
        assert "burst-49 " in screen_text(app)
        await burst(50)
        assert "burst-99 " in screen_text(app)
        log.focus()
        await pilot.press("up", "up", "up")
        await pilot.pause()
        await burst(100)
        assert "burst-149 " not in screen_text(app)
        assert not log.following
        await pilot.press("end")
        await pilot.pause()
        await burst(150)
        assert "burst-199 " in screen_text(app)


async def test_a_feed_that_fails_ends_the_program_with_its_sentence(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        app.feed.mailbox.put_latest(Latest(failure="no free port on 127.0.0.1"))
        app.frame()
        await pilot.pause()
        assert app.return_code == 1


async def test_ten_thousand_devices_draw_only_what_is_on_screen(run_app: RunApp) -> None:
    async with run_app(devices=500) as (app, pilot):
        table = app.screen.query_one(FleetTable)
        drawn: list[int] = []
        real = table.draw_line

        def counting(line: int, width: int) -> object:
            drawn.append(line)
            return real(line, width)

        table.draw_line = counting  # type: ignore[method-assign,assignment]
        await pilot.press("end")
        await pilot.pause()
        assert table.view.cursor == 499
        assert set(drawn) <= set(range(499 - 60, 500))
        drawn.clear()
        app.frame()
        await pilot.pause()
        assert drawn == []
        read = Read(*app.state.fleet.series[table.view.order[498]], 1.0, Source.CACHE, ttl_s=20.0, ts_us=1)
        app.feed.mailbox.put_reads([RowUpdate(table.view.order[498], read, app.clock.monotonic(), 9, 9)], [])
        app.frame()
        await pilot.pause()
        assert set(drawn) == {498}


async def test_palette_finds_devices_and_opens_them(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        names = ["pump-0001", "[bold]truck-7", "hvac-3"]
        app.feed.mailbox.put_joined(
            [SeriesInfo(Series(name, "s"), "x", "", 1.0, n) for n, name in enumerate(names)]
        )
        app.feed.mailbox.put_latest(Latest(ready=True))
        app.frame()
        await pilot.press("ctrl+p")
        await pilot.press(*"truck")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "[bold]truck-7" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.selected_row == 1
        assert app.screen is app.view("device")


async def test_at_60_cells_nothing_is_cut_in_the_middle_of_a_word(run_app: RunApp) -> None:
    async with run_app((60, 15)) as (app, pilot):
        names = ("broker", "nodes", "store", "ingest", "simulator", "fleet")
        app.feed.mailbox.put_latest(Latest(parts=tuple(Part(name, "up", "embedded") for name in names)))
        app.frame()
        await until_shown(app, pilot, "● 6 up", "? Help", "q Quit")
        lines = screen_lines(app)
        assert lines[0].startswith(" iotcache  ● 6 up ")
        assert "…" not in "".join(lines[:4])
        assert "? Help" in lines[-1]
        assert lines[-1].endswith("q Quit")
        app.feed.mailbox.put_latest(
            Latest(parts=(*(Part(name, "up") for name in names[:5]), Part("fleet", "down")))
        )
        app.frame()
        await pilot.pause()
        assert screen_lines(app)[0].startswith(" iotcache  ✗ fleet down  ● 5 up ")
        await pilot.resize_terminal(120, 40)
        await until_shown(app, pilot, "^p Palette")
        assert "^p Palette" in screen_lines(app)[-1]


async def test_jump_mode_puts_a_letter_on_each_panel_and_goes_there(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("J")
        await pilot.pause()
        text = screen_text(app)
        assert "[a]" in text
        assert "[s]" in text
        assert "Press a letter" in screen_lines(app)[-1]
        assert "Esc stays" in screen_lines(app)[-1]
        for heading in ("Device▲", "Sensor", "Fallback Key", "New TTL"):
            assert heading in text
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.focused, FallbackLog)
        await pilot.press("J", "escape")
        assert app.screen is app.view("fleet")
        assert isinstance(app.focused, FallbackLog)


async def test_the_clock_alone_is_drawn_anew_and_whole(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app() as (app, _):
        top = app.view("fleet").top
        dirty: list[Region] = []
        monkeypatch.setattr(top, "refresh", lambda *regions, **_: dirty.extend(regions))
        assert isinstance(app.clock, ManualClock)
        app.clock.advance(7.0)
        app.frame()
        (clock,) = dirty
        text = top.render_line(0).text
        assert clock.right == len(text) == top.content_size.width
        assert text[clock.x : clock.right] == clock_text(app.clock.now())
