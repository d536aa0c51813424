"""Why reads missed, drawn and counted; and what is served against how long it may live."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from iotcache.model import MissReason, Read, Series, Source
from iotcache.store.base import SeriesInfo
from iotcache_tui.screens.fleet.anatomy import AnatomyScreen, times_text
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.miss_anatomy import freshness_by_class, misses, stacked
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.state.updates import RowUpdate, Second
from tests.tui.conftest import RunApp, screen_lines, screen_text


def second(at_s: float, **counts: int) -> Second:
    by_reason = {MissReason(name): count for name, count in counts.items()}
    return Second(at_s, 100, 100 - sum(counts.values()), by_reason)


def test_columns_stack_reasons_and_the_newest_is_at_the_right() -> None:
    seconds = [second(1.0, expired=4), second(2.0), second(3.0, expired=2, evicted=2)]
    lines, top = stacked(seconds, 5, 4)
    assert top == 4.0
    assert lines == ["  x v", "  x v", "  x x", "  x x"]


def test_many_seconds_share_a_column_and_the_rarest_reason_is_seen() -> None:
    lines, top = stacked([second(float(at), expired=100, corrupt=1) for at in range(60)], 6, 10)
    assert top == pytest.approx(101.0)
    assert {len(line) for line in lines} == {6}
    assert lines[-1] == "xxxxxx"
    assert stacked([], 10, 4) == ([], 0.0)
    assert stacked([second(1.0)], 3, 2) == (["   ", "   "], 0.0)


async def test_the_screen_says_counts_shares_costs_and_ages(run_app: RunApp) -> None:
    for size in ((60, 15), (80, 24), (120, 40), (200, 60)):
        async with run_app(size) as (app, pilot):
            await pilot.press("a")
            assert isinstance(app.screen, AnatomyScreen)
            app.screen.update_panels()
            await pilot.pause()
            text = screen_text(app)
            for words in ("Misses by reason", "x expired", "100.0%", "TTL lens", " Missed"):
                assert words in text, size
            assert "cold-room" in text or size == (60, 15), "the lowest screen has room for two classes"
            assert all(cell_len(line) <= size[0] for line in screen_lines(app))
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen is app.view("fleet")


async def test_without_a_miss_it_says_so(run_app: RunApp) -> None:
    async with run_app(devices=0) as (app, pilot):
        app.state.ready = True
        await pilot.press("a")
        assert isinstance(app.screen, AnatomyScreen)
        app.screen.update_panels()
        await pilot.pause()
        assert "no read missed the cache in the last 5m" in screen_text(app)
        assert "nothing has been read yet" in screen_text(app)


@pytest.mark.parametrize(
    ("share", "text"), [(None, "–"), (0.5, "50%"), (9.99, "999%"), (13.79, "14×"), (5e6, "999×")]
)
def test_a_part_of_the_ttl_keeps_its_column(share: float | None, text: str) -> None:
    assert times_text(share) == text
    assert len(times_text(share)) <= 4


async def test_figures_by_hand(run_app: RunApp) -> None:
    async with run_app() as (app, _):
        found = {lens.kind: lens for lens in freshness_by_class(app.state)}
        assert found["truck"].interval_s == 2.0
        assert found["cold-room"].series == 12
        (miss,) = misses(app.state, 300)
        assert (miss.reason, miss.share) == ("expired", 1.0)
        assert misses(DashboardState(), 300) == []


def test_a_class_of_quick_and_slow_sensors_is_not_called_overdue() -> None:
    state = DashboardState()
    state.fleet.wall_less_monotonic_s = 0.0
    for number, (interval_s, ttl_s, age_s) in enumerate([(1.0, 3.0, 1.0)] * 9 + [(60.0, 180.0, 60.0)]):
        row = state.fleet.join(SeriesInfo(Series(f"meter-{number:04d}", "t"), "s", "u", interval_s, number))
        read = Read(
            f"meter-{number:04d}", "t", 1.0, Source.CACHE, ts_us=int((1000 - age_s) * 1e6), ttl_s=ttl_s
        )
        state.fleet.apply_read(RowUpdate(row, read, 1000.0, 1, 1))
    (lens,) = freshness_by_class(state)
    assert (lens.ttl_s, lens.age_p95_s) == (3.0, 60.0)
    assert lens.spent_p95 == pytest.approx(1 / 3)


def test_every_reason_has_a_form_of_its_own() -> None:
    assert set(REASONS) == set(MissReason)
    assert len({form.symbol for form in REASONS.values()}) == len(REASONS)
    assert all(len(form.symbol) == 1 and len(form.label) <= 11 for form in REASONS.values())
