"""The Device screen: what it shows, asks and does; and the curve behind its plot."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from rich.cells import cell_len

from iotcache.keys import escape
from iotcache.model import Event, MissReason, Read, Series, Severity, Source
from iotcache.store.base import SeriesInfo
from iotcache_tui.screens.device.screen import DeviceScreen
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.state.device.model import (
    STATES_MOST,
    AlertView,
    Curve,
    DeviceAlerts,
    DeviceDocuments,
    DeviceKeys,
    DocumentView,
    History,
    InspectDevice,
    KeyFacts,
    ReadAlerts,
    ReadDocuments,
    ReadHistory,
    ReadNow,
)
from iotcache_tui.state.keys.model import CachedValue, FetchValue
from iotcache_tui.state.requests import ActionProgress, InvalidateSeries, Request, WarmSeries
from iotcache_tui.state.updates import Drained, FallbackRead, Latest, Part, RowUpdate
from iotcache_tui.widgets.common.braille import BrailleCanvas, curve, round_limits
from tests.tui.conftest import RunApp, screen_lines, screen_text
from tests.tui.scripted import NODES

SIZES = [(80, 24), (120, 40), (200, 60)]
DEVICE = "boiler[b]\x1b-7"
SHOWN = "boiler[b]\\x1b-7"
SENSORS = ("door", "level", "temp")


def join(app: Any) -> None:
    """One more device, with a name that means no good."""
    state, now_s, wall_s = app.state, app.clock.monotonic(), app.clock.now()
    first = len(state.fleet)
    state.apply(
        Drained(
            joined=[
                SeriesInfo(Series(DEVICE, one), "north", "", 10.0, first + at)
                for at, one in enumerate(SENSORS)
            ]
        )
    )
    values = (True, 40, 21.5)
    reads = [
        Read(DEVICE, one, values[at], Source.CACHE, "°C" if one == "temp" else "", int((wall_s - 2) * 1e6),
             NODES[at], 20.0 if at else None, interval_s=10.0)
        for at, one in enumerate(SENSORS)
    ]  # fmt: skip
    state.apply(Drained(rows=[RowUpdate(first + at, read, now_s, 10, 9) for at, read in enumerate(reads)]))
    state.apply(
        Drained(
            fallbacks=[
                FallbackRead(wall_s - 60, first + 2, "k:temp:latest", MissReason.EVICTED, NODES[0], 2.0, 20.0)
            ],
            events=[
                Event(wall_s - 50, "alert", Severity.WARNING, f"{escape(DEVICE)}:temp", "too hot"),
                Event(wall_s - 50, "alert", Severity.WARNING, "another", "is fine"),
            ],
        )
    )
    app.selected_row = first + 2


def newest(app: Any, kind: type[Request]) -> int:
    """The ticket of the newest request of a kind."""
    return max(at + 1 for at, asked in enumerate(app.feed.asked) if isinstance(asked, kind))


def answer_all(app: Any) -> None:
    wall_s = app.clock.now()
    latest = [
        KeyFacts(f"k:{one}:latest", "latest", one, NODES[at], bool(at), 20.0, 1.0, 200 + at, at == 2)
        for at, one in enumerate(SENSORS)
    ]
    rest = [
        KeyFacts("k:temp:20250615T1506Z", "bucket", "temp", NODES[1], False),
        KeyFacts("k:meta", "meta", "", NODES[1], False, failure="timeout"),
        KeyFacts("k:cfg", "cfg", "", NODES[2], True, inf, 3.0, 99, True),
    ]
    app.feed.answer(DeviceKeys(DEVICE, wall_s, (*latest, *rest)), ticket=newest(app, InspectDevice))
    app.feed.answer(
        DeviceDocuments(
            DEVICE,
            DocumentView("meta", 3, ("{", '  "model": "B\u202e7"', "}"), "cache", NODES[0], 3600.0, wall_s),
            DocumentView("cfg", 12, ("{}",), "store", reason="expired"),
        ),
        ticket=newest(app, ReadDocuments),
    )
    app.feed.answer(
        DeviceAlerts(DEVICE, (AlertView("hot", "temp", Severity.ERROR, True, wall_s, "over 80"),)),
        ticket=newest(app, ReadAlerts),
    )
    times = [wall_s - 295 + 5 * at for at in range(58)]
    app.feed.answer(
        History(Series(DEVICE, "temp"), 300.0, wall_s, times, [20.0 + at % 10 for at in range(58)], (), 58,
                True, ((wall_s - 240, wall_s - 180),)),
        ticket=newest(app, ReadHistory),
    )  # fmt: skip
    app.frame()
    app.frame()
    if any(isinstance(asked, FetchValue) for asked in app.feed.asked):
        app.feed.answer(
            CachedValue(b"k:temp:latest", NODES[2], True, wall_s, b'{"value":21.5}', 14, 16, 18.0,
                        b'{"value":21.5}', "JSON", "21.5 °C", ("{", '  "value": 21.5', "}")),
            ticket=newest(app, FetchValue),
        )  # fmt: skip
        app.frame()


async def opened(app: Any, pilot: Any) -> DeviceScreen:
    join(app)
    await pilot.press("2")
    await pilot.pause()
    app.frame()
    answer_all(app)
    await pilot.pause()
    assert isinstance(app.screen, DeviceScreen)
    return app.screen


async def test_every_size_shows_the_device_its_sensors_curve_and_keys(run_app: RunApp) -> None:
    async with run_app(SIZES[-1], devices=3) as (app, pilot):
        await opened(app, pilot)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            app.clock.advance(1.0)
            app.frame()
            await pilot.pause()
            text, lines = screen_text(app), screen_lines(app)
            assert "\x1b" not in text and "\u202e" not in text
            for words in (SHOWN, "2/3 cached", "hit 90.0%", "20 to 29   59 readings", "temp, °C   last 5 min",
                          "▲ 1 alert", "door:latest", "not cached", "timeout", "q Quit"):  # fmt: skip
                assert words in text, (width, words)
            assert any("⡇" in line or "⢸" in line for line in lines)
            assert "▾" in text and "│" in text and "now" in text
            assert all(cell_len(line) <= width for line in lines)
            if width >= 120:
                for words in (
                    '"value": 21.5', "metadata  version 3", "configuration  version 12", "(expired)",
                    "too hot", "evicted", "alert hot of temp: over 80  error since 15:23:20",
                    '"model": "B\\u202e7"',
                ):  # fmt: skip
                    assert words in text, (width, words)
                assert "is fine" not in text
                continue
            for words in ('"value": 21.5', "version 3", "too hot", "cfg"):
                await pilot.press("d")
                await pilot.pause()
                app.frame()
                await pilot.pause()
                assert words in screen_text(app), words


async def test_without_a_device_it_says_how_to_choose_one(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        await pilot.press("2")
        await pilot.pause()
        app.frame()
        await pilot.pause()
        assert "No device has been seen yet" in screen_text(app) and "press n" not in screen_text(app)
        down = (Part("broker", "up"), Part("nodes", "up"), Part("store", "down", "connection refused (h:5)"))
        app.feed.mailbox.put_latest(Latest(parts=down))
        app.frame()
        await pilot.pause()
        assert "store down: connection refused (h:5)" in screen_text(app) and "publish" not in screen_text(
            app
        )
    async with run_app(devices=10) as (app, pilot):
        await pilot.press("2")
        await pilot.pause()
        app.frame()
        await pilot.pause()
        assert "No device is chosen" in screen_text(app) and not app.feed.asked
        await pilot.press("n")
        app.frame()
        await pilot.pause()
        assert "cold-room-0001" in screen_text(app) and app.feed.asked
        await pilot.press("n")
        app.frame()
        await pilot.pause()
        assert app.state.fleet.series[app.selected_row or 0].device == "cold-room-0002"
        await pilot.press("N", "N")
        app.frame()
        assert app.state.fleet.series[app.selected_row or 0].device == "truck-0002"
        await pilot.press("1", "down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)


async def test_it_asks_while_it_is_shown_and_only_then(run_app: RunApp) -> None:
    async with run_app(devices=3) as (app, pilot):
        await opened(app, pilot)
        asked = app.feed.asked
        assert InspectDevice(DEVICE, SENSORS) in asked and ReadDocuments(DEVICE) in asked
        assert FetchValue(b"k:temp:latest", NODES[2]) in asked
        assert [app.state.fleet.series[row].device for row in app.feed.watched] == [DEVICE] * 3
        count = len(asked)
        app.frame()
        assert len(asked) == count
        app.clock.advance(1.5)
        app.frame()
        assert asked[count:] == [InspectDevice(DEVICE, SENSORS)]
        app.clock.advance(30.0)
        app.frame()
        assert set(asked[count + 1 :]) == {
            ReadDocuments(DEVICE),
            ReadAlerts(DEVICE),
            ReadHistory(Series(DEVICE, "temp"), 300.0, 400),
        }
        await pilot.press("1")
        await pilot.pause()
        assert {newest(app, InspectDevice), newest(app, ReadHistory)} <= set(app.feed.cancelled)
        count = len(asked)
        app.clock.advance(60.0)
        app.frame()
        assert len(asked) == count


async def test_a_new_reading_lengthens_the_curve_and_another_sensor_span_or_key_is_asked_for(
    run_app: RunApp,
) -> None:
    async with run_app(devices=3) as (app, pilot):
        screen = await opened(app, pilot)
        before, fetched = len(screen.curve.times), newest(app, FetchValue)
        app.clock.advance(5.0)
        read = Read(DEVICE, "temp", 99.0, Source.CACHE, "°C", int(app.clock.now() * 1e6), NODES[2], 30.0)
        assert app.selected_row is not None
        app.feed.mailbox.put_reads([RowUpdate(app.selected_row, read, app.clock.monotonic(), 11, 10)], [])
        app.frame()
        await pilot.pause()
        assert len(screen.curve.times) == before + 1 and screen.curve.values[-1] == 99.0
        assert newest(app, FetchValue) > fetched
        assert "20 to 99" in screen_text(app)
        await pilot.press("up")
        app.frame()
        await pilot.pause()
        assert app.feed.asked[newest(app, ReadHistory) - 1] == ReadHistory(
            Series(DEVICE, "level"), 300.0, 400
        )
        await pilot.press("h")
        app.frame()
        assert app.feed.asked[newest(app, ReadHistory) - 1] == ReadHistory(
            Series(DEVICE, "level"), 900.0, 400
        )
        app.feed.answer(error="the store is away", ticket=newest(app, ReadHistory))
        app.frame()
        app.clock.advance(1.0)
        app.frame()
        await pilot.pause()
        await pilot.press("d", "end")
        app.frame()
        assert screen.keys.has_focus
        assert app.feed.asked[newest(app, FetchValue) - 1] == FetchValue(b"k:cfg", NODES[2])
        await pilot.press("up")
        app.frame()
        await pilot.pause()
        assert "k:meta" in screen_text(app)


async def test_read_warm_invalidate_and_pin_unless_it_is_read_only(run_app: RunApp) -> None:
    async with run_app(devices=3) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("r")
        assert app.feed.asked[newest(app, ReadNow) - 1] == ReadNow(Series(DEVICE, "temp"))
        app.feed.answer(
            Read(DEVICE, "temp", 21.25, Source.STORE, "°C", 1, NODES[0], 30.0, MissReason.EXPIRED, 3.25),
            ticket=newest(app, ReadNow),
        )
        await pilot.press("w")
        everything = tuple(Series(DEVICE, one) for one in SENSORS)
        ticket = newest(app, WarmSeries)
        assert app.feed.asked[ticket - 1] == WarmSeries(everything)
        app.feed.answer(ActionProgress(3, 3, 2, 1, "the store is away"), done=False, ticket=ticket)
        app.feed.answer(ticket=ticket)
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "21.25 °C from the store (expired)" in text and "2 of 3 put back, 1 not" in text
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen) and f"Invalidate {SHOWN}:temp?" in screen_text(app)
        await pilot.press("y", "I")
        await pilot.pause()
        assert f"all 3 series of {SHOWN}" in screen_text(app)
        await pilot.press("y")
        await pilot.pause()
        acts = [asked for asked in app.feed.asked if isinstance(asked, InvalidateSeries)]
        assert acts == [InvalidateSeries((Series(DEVICE, "temp"),)), InvalidateSeries(everything)]
        await pilot.press("v")
        app.frame()
        await pilot.pause()
        assert len(app.state.fleet.watched) == 3 and f"◆ {SHOWN}" in screen_text(app)
        await pilot.press("v")
        assert not app.state.fleet.watched
        acted = sum(type(asked).acts for asked in app.feed.asked)
        app.read_only = True
        await pilot.press("w", "i", "I")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen) and "read-only" in screen_text(app)
        assert sum(type(asked).acts for asked in app.feed.asked) == acted


async def test_when_the_feed_cannot_answer_every_panel_says_why(run_app: RunApp) -> None:
    async with run_app(devices=3, ascii=True) as (app, pilot):
        join(app)
        await pilot.press("2")
        await pilot.pause()
        app.frame()
        for kind in (InspectDevice, ReadDocuments, ReadHistory):
            app.feed.answer(error=f"no {kind.__name__}", ticket=newest(app, kind))
        assert app.selected_row is not None
        app.state.fleet.value[app.selected_row] = None
        app.frame()
        await pilot.pause()
        text = screen_text(app)
        assert "no InspectDevice" in text and "no ReadDocuments" in text
        assert all(ord(char) < 0x2800 or ord(char) > 0x28FF for char in text)


# The parts


def test_a_curve_joins_the_stores_readings_with_the_live_ones() -> None:
    line = Curve()
    series = Series("a", "b")
    line.clear(series)
    line.append(12.0, 2.5)
    line.append(14.0, 3)
    line.append(13.0, 9.0)  # came late
    line.append(15.0, "a text among figures")
    line.take(History(series, 300.0, 13.0, [10.0, 11.0, 12.0], [1.0, 2.0, 2.5]))
    assert (line.times, line.values) == ([10.0, 11.0, 12.0, 14.0], [1.0, 2.0, 2.5, 3.0])
    line.take(History(Series("a", "other"), 300.0, 13.0, [1.0], [1.0]))
    assert line.times[-1] == 14.0
    line.append(20.0, 10**400)
    assert line.values[-1] == 1e200


def test_texts_become_steps_and_too_many_of_them_are_left_out() -> None:
    line = Curve()
    line.clear(Series("a", "b"))
    line.append(1.0, "idle")
    line.append(2.0, True)
    line.take(History(Series("a", "b"), 300.0, 1.5, [0.0, 1.0], [1.0, 0.0], ("idle", "run")))
    assert line.states == ("idle", "run", "on") and line.values == [1.0, 0.0, 2.0]
    for at in range(30):
        line.append(10.0 + at, f"text {at}")
    assert len(line.states) == STATES_MOST


def test_a_curve_is_drawn_with_gaps_and_within_its_limits() -> None:
    canvas = BrailleCanvas(10, 2)
    curve(
        canvas,
        [(-5.0, 0.0), (0.0, 0.0), (4.0, 1.0), (10.0, 1.0), (12.0, 5.0)],
        (0.0, 10.0),
        (0.0, 1.0),
        gap=5.0,
    )
    top, bottom = canvas.rows()
    assert len(top) == len(bottom) == 10
    assert bottom[0] != " " and top[4] != " " and top[9] != " "
    assert top[5:9].strip() == "" and bottom[5:].strip() == ""
    plain = BrailleCanvas(4, 1, ascii_only=True)
    curve(plain, [(0.0, 1.0), (3.0, 1.0)], (0.0, 3.0), (1.0, 1.0), gap=9.0)
    assert plain.rows() == ["****"]


@pytest.mark.parametrize(
    ("values", "limits"),
    [([84.0, 85.0], (84.0, 85.0, 0.2)), ([20.0, 29.0], (20.0, 29.0, 1.0)), ([5.0], (4.5, 5.5, 0.2))],
)
def test_scales_are_round(values: list[float], limits: tuple[float, float, float]) -> None:
    low, high, step = round_limits(values)
    assert (round(low, 9), round(high, 9)) == pytest.approx(limits[:2], abs=0.2)
    assert step == pytest.approx(limits[2])
    for extreme in ([0.0], [-1e200, 1e200], [1e-300, 2e-300], [1e15, 1e15 + 1]):
        low, high, _ = round_limits(extreme)
        assert low <= min(extreme) and max(extreme) <= high and low < high
