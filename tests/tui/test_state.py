"""The state behind the screens: rows, TTLs, order, and the bounded mailbox."""

from __future__ import annotations

from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.keys import Keys
from iotcache.model import MissReason, Read, Series, Source
from iotcache.store.base import SeriesInfo
from iotcache_tui.feed.pace import ReadingPace
from iotcache_tui.feed.read_stats import ReadStats
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.fallbacks import FOLD_GAP_S, FallbackLines
from iotcache_tui.state.fleet.devices import LATE, ON_TIME, UNREPORTED, DeviceCounts
from iotcache_tui.state.fleet.fleet_state import FROM_CACHE, TREND_POINTS, FleetState
from iotcache_tui.state.fleet.view import SORTS, FleetView
from iotcache_tui.state.updates import (
    FALLBACKS_MAX,
    Drained,
    FallbackRead,
    Mailbox,
    Processes,
    RowUpdate,
    Second,
    TtlUpdate,
)


def info(number: int, device: str = "", sensor: str = "t") -> SeriesInfo:
    return SeriesInfo(Series(device or f"d-{number:03d}", sensor), "site", "u", 10.0, number)


def read(value: object, ts_s: float, ttl_s: float | None = 30.0, source: Source = Source.CACHE) -> Read:
    return Read("d", "t", value, source, ts_us=int(ts_s * 1e6), ttl_s=ttl_s)  # type: ignore[arg-type]


def fleet_of(count: int) -> FleetState:
    fleet = FleetState()
    for number in range(count):
        fleet.join(info(number))
    return fleet


def test_ttl_counts_down_between_answers_and_keeps_the_finer_estimate() -> None:
    fleet = fleet_of(1)
    fleet.apply_read(RowUpdate(0, read(1.0, 100.0, ttl_s=30.0), at_s=1000.0, reads=1, hits=1))
    assert fleet.ttl_left_s(0, 1000.4) == pytest.approx(29.6)
    # The server rounds to whole seconds: an answer within one second is no news.
    fleet.apply_ttl(TtlUpdate(0, 1000.4, 29.0))
    assert fleet.ttl_left_s(0, 1000.4) == pytest.approx(29.6)
    fleet.apply_ttl(TtlUpdate(0, 1001.0, 60.0))
    assert fleet.ttl_left_s(0, 1001.0) == pytest.approx(60.0)
    assert fleet.ttl_span_s[0] == 60.0
    fleet.apply_ttl(TtlUpdate(0, 1002.0, None))
    assert isnan(fleet.ttl_left_s(0, 1002.0))
    fleet.apply_ttl(TtlUpdate(0, 1003.0, inf))
    assert fleet.ttl_left_s(0, 1e9) == inf


def test_a_ttl_never_reads_below_zero() -> None:
    fleet = fleet_of(1)
    fleet.apply_read(RowUpdate(0, read(1.0, 100.0, ttl_s=5.0), 1000.0, 1, 1))
    assert fleet.ttl_left_s(0, 1099.0) == 0.0


def test_a_series_that_sent_whole_numbers_for_long_may_still_show_decimals() -> None:
    fleet = fleet_of(1)
    for step in range(200):
        fleet.apply_read(RowUpdate(0, read(float(step), 100.0 + step), 1000.0, 1, 1))
    assert fleet.decimals(0) <= 1
    fleet.apply_read(RowUpdate(0, read(99.75, 400.0), 1000.0, 1, 1))
    assert fleet.decimals(0) == 2


def test_trend_takes_each_measurement_once_and_keeps_the_newest() -> None:
    fleet = fleet_of(1)
    for step in range(TREND_POINTS + 5):
        for _ in range(3):
            fleet.apply_read(RowUpdate(0, read(float(step), 100.0 + step), 1000.0, 1, 1))
    assert list(fleet.trend(0)) == [float(step) for step in range(5, TREND_POINTS + 5)]


def test_stale_is_three_of_the_series_own_intervals_at_the_time_of_the_read() -> None:
    fleet = fleet_of(1)
    fleet.wall_less_monotonic_s = -871.0
    fleet.apply_read(RowUpdate(0, read(1.0, 100.0), 1000.0, 1, 1))  # read at wall 129
    assert not fleet.is_stale(0)
    assert (fleet.devices.live, fleet.devices.stale) == (1, 0)
    # Not read since: nothing new is known of the device.
    fleet.wall_less_monotonic_s = -800.0
    assert not fleet.is_stale(0)
    fleet.apply_read(RowUpdate(0, read(1.0, 100.0), 1002.0, 2, 2))  # read at wall 202
    assert fleet.is_stale(0)
    assert (fleet.devices.live, fleet.devices.stale) == (0, 1)


def test_a_device_that_sends_faster_than_it_is_looked_at_is_not_late_between_two_looks() -> None:
    fleet = FleetState()
    fleet.wall_less_monotonic_s = 0.0
    fleet.join(SeriesInfo(Series("d", "t"), "site", "u", 0.25, 0))
    for at_s, late in ((102.5, False), (104.0, True)):
        fleet.apply_read(RowUpdate(0, read(1.0, 100.0), at_s, 1, 1))
        assert fleet.is_stale(0) is late


def test_a_device_is_live_with_one_series_on_time_and_stale_with_late_ones_only() -> None:
    fleet = FleetState()
    fleet.wall_less_monotonic_s = 0.0
    for number, sensor in enumerate(("a", "b", "c")):
        fleet.join(info(number, "one", sensor))
    fleet.join(info(3, "two"))
    message = []
    for row, value, ts_s in (
        (0, 1.0, 995.0), (1, 1.0, 900.0), (3, 1.0, 900.0), (0, None, 0.0), (3, 2.0, 999.0), (3, None, 0.0),
        (1, 2.0, 998.0),
    ):  # fmt: skip
        fleet.apply_reads([RowUpdate(row, read(value, ts_s), 1000.0, 1, 1)])
        message.append((fleet.devices.live, fleet.devices.stale))
    assert message == [(1, 0), (1, 0), (1, 1), (0, 2), (1, 1), (0, 1), (1, 0)]


def test_what_is_read_and_not_looked_at_waits_and_the_newest_counts() -> None:
    fleet = fleet_of(3)
    for step in range(5):
        fleet.apply_reads(
            [
                RowUpdate(row, read(float(step), 100.0 + step), 1000.0 + step, step + 1, step)
                for row in range(3)
            ]
        )
    assert list(fleet.value) == [4.0] * 3 and list(fleet.trend(2)) == [0.0, 1.0, 2.0, 3.0, 4.0]
    fleet.settle((1,))
    assert (fleet.reads[1], fleet.hits[1], fleet.read_at[1], fleet.source[1]) == (5, 4, 1004.0, FROM_CACHE)
    assert fleet.reads[0] == 0
    # A probe that came after the read is the newer one, whenever the read is settled.
    fleet.apply_ttl(TtlUpdate(0, 1005.0, None))
    fleet.settle()
    assert list(fleet.reads) == [5, 5, 5] and isnan(fleet.ttl_left_s(0, 1005.0))
    assert fleet.ttl_left_s(2, 1004.0) == pytest.approx(30.0)
    version = fleet.version[2]
    fleet.settle()
    assert fleet.version[2] == version


@pytest.mark.parametrize("column", SORTS)
def test_every_sort_is_stable_and_reversible(column: str) -> None:
    fleet = fleet_of(40)
    for row in range(0, 40, 2):
        value = "text" if row % 8 == 0 else row % 3
        fleet.apply_read(RowUpdate(row, read(value, 100.0 + row % 5), 1000.0, 4, row % 4))
    view = FleetView(fleet)
    view.set_sort(column)
    first = list(view.order)
    assert sorted(first) == list(range(40))
    view.rebuild()
    assert view.order == first
    view.set_sort(column, reverse=True)
    assert sorted(view.order) == list(range(40))


def test_selection_is_a_device_whatever_the_order() -> None:
    fleet = fleet_of(10)
    view = FleetView(fleet)
    view.rebuild()
    view.move_to(3)
    chosen = view.selected
    view.set_sort("device", reverse=True)
    assert view.selected == chosen
    assert view.order[view.cursor] == chosen
    fleet.join(info(99, device="a-first"))
    view.append_joined()
    assert view.order[view.cursor] == chosen
    view.rebuild()
    assert view.order[view.cursor] == chosen


def test_filter_words_must_all_match_and_may_exclude() -> None:
    fleet = FleetState()
    for device, sensor in (("pump-1", "pressure"), ("pump-2", "flow"), ("hvac-1", "co2")):
        fleet.join(SeriesInfo(Series(device, sensor), "plant", "", 1.0, 0))
    view = FleetView(fleet)
    view.set_filter("PUMP pres")
    assert [fleet.sensor[row] for row in view.order] == ["pressure"]
    view.set_filter("plant !pump")
    assert [fleet.device[row] for row in view.order] == ["hvac-1"]
    fleet.join(SeriesInfo(Series("pump-9", "x"), "plant", "", 1.0, 0))
    fleet.join(SeriesInfo(Series("hvac-9", "x"), "plant", "", 1.0, 0))
    view.append_joined()
    assert [fleet.device[row] for row in view.order] == ["hvac-1", "hvac-9"]


def test_mailbox_is_bounded_by_the_fleet_and_says_what_it_dropped() -> None:
    mailbox = Mailbox()
    fallback = FallbackRead(1.0, 0, "k", MissReason.EXPIRED, "n", 1.0, 1.0)
    for turn in range(100):
        mailbox.put_reads(
            [RowUpdate(row, read(turn, turn), 1.0, turn, turn) for row in range(50)], [fallback] * 50
        )
    assert mailbox.behind == 5000
    drained = mailbox.drain()
    assert len(drained.rows) == 50
    assert {update.read.value for update in drained.rows} == {99}
    assert len(drained.fallbacks) == FALLBACKS_MAX
    assert drained.fallbacks_dropped == 100 * 50 - FALLBACKS_MAX
    assert mailbox.behind == 0
    assert not mailbox.drain().rows


def test_who_waits_for_the_first_reads_is_told_of_them_once() -> None:
    told: list[int] = []
    mailbox = Mailbox()
    mailbox.on_first_reads = lambda: told.append(len(mailbox.drain().rows))
    mailbox.put_reads([], [])
    for number in (1, 2):
        mailbox.put_reads([RowUpdate(0, read(1.0, 100.0), at_s=1000.0, reads=number, hits=1)], [])
    assert told == [1]


def test_hit_percent_is_over_reads_not_over_seconds() -> None:
    state = DashboardState()
    state.apply(Drained(seconds=[Second(1.0, 1000, 1000), Second(2.0, 10, 0), Second(3.0, 0, 0)]))
    assert state.hit_percent() == pytest.approx(100 * 1000 / 1010)
    assert DashboardState().hit_percent() is None


def test_account_counts_hits_misses_and_latency_by_second() -> None:
    account = ReadStats(Keys())
    account.grow(2)
    hit = Read("a", "t", 1.0, Source.CACHE, latency_ms=1.0)
    miss = Read("b", "t", 1.0, Source.STORE, latency_ms=9.0, store_ms=8.0, miss_reason=MissReason.EVICTED)
    account.add([0, 1], [hit, miss], 1.0, 2.0)
    updates, fallbacks = account.add([0, 1], [hit, hit], 1.0, 2.0)
    assert [(u.reads, u.hits) for u in updates] == [(2, 2), (2, 1)]
    assert not fallbacks
    second = account.close_second(3.0, 7, Processes(), (5.0, None), None)
    assert (second.reads, second.hits, second.fallbacks) == (4, 3, 1)
    assert second.misses == {"evicted": 1}
    assert second.p99_ms == pytest.approx(9.0, rel=0.04)
    assert (second.writes, second.ingest_per_s) == (7, 5.0)
    later = account.close_second(4.0, 9, Processes(), (None, None), 3.0)
    assert (later.reads, later.writes, later.served_per_s) == (0, 2, 3.0)


def test_a_read_past_a_node_that_is_down_is_counted_and_told_for_that_node() -> None:
    account = ReadStats(Keys(), owner=lambda key: "down:1")
    account.grow(1)
    past = Read(
        "a", "t", 1.0, Source.STORE, node="stand-in:1", store_ms=0.7, miss_reason=MissReason.NODE_DOWN
    )
    _, (fallback,) = account.add([0], [past], 1.0, 2.0)
    assert fallback.node == "down:1"
    assert {name: totals.unreached for name, totals in account.by_node.items()} == {"down:1": 1}


def test_only_what_was_looked_at_a_moment_ago_tells_that_readings_come_in() -> None:
    account = ReadStats(Keys())
    account.grow(2)

    def at(now_s: float, ts_us: int) -> int:
        account.add([0], [Read("a", "t", 1.0, Source.CACHE, ts_us=ts_us)], now_s, 2.0)
        return account.close_second(now_s, 0, Processes(), (None, None), None).fresh

    assert at(1.0, 5) == 0, "the first look knows nothing of before"
    assert at(2.0, 6) == 1
    assert at(3.0, 6) == 0
    assert at(30.0, 9) == 0, "it may have come in long ago"


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([UNREPORTED, ON_TIME, LATE])), max_size=60))
def test_live_stale_and_unread_devices_make_up_all(turns: list[tuple[int, int]]) -> None:
    counts, standing = DeviceCounts(), dict.fromkeys(range(10), UNREPORTED)
    for row in range(10):
        counts.join(f"d{row // 2}")
    for row, stands in turns:
        counts.turn(f"d{row // 2}", standing[row], stands)
        standing[row] = stands
        devices = [{standing[2 * number], standing[2 * number + 1]} for number in range(5)]
        live = sum(ON_TIME in device for device in devices)
        stale = sum(ON_TIME not in device and LATE in device for device in devices)
        assert (counts.total, counts.live, counts.stale, counts.unread) == (5, live, stale, 5 - live - stale)


def test_pace_reads_the_watched_first_and_spreads_the_rest_within_the_budget() -> None:
    pace = ReadingPace(reads_per_s=100, interval_s=1.0)
    pace.grow(1000)
    pace.watched = range(500, 520)
    counts = [0] * 1000
    largest = 0
    for tick in range(100):
        due = pace.due(tick * 0.1)
        largest = max(largest, len(due))
        for row in due:
            counts[row] += 1
    assert largest <= 30
    assert 900 <= sum(counts) <= 1100
    assert all(8 <= counts[row] <= 11 for row in range(500, 520))
    assert max(counts[:500]) <= 2


def test_pace_reads_the_first_rows_all_at_once() -> None:
    pace = ReadingPace(reads_per_s=100, interval_s=1.0)
    assert pace.due(0.0) == []
    pace.grow(25)
    assert pace.due(0.5) == [*range(25)]


def test_pace_reads_a_small_fleet_once_an_interval() -> None:
    pace = ReadingPace(reads_per_s=2000, interval_s=1.0)
    pace.grow(30)
    counts = [0] * 30
    for tick in range(101):
        for row in pace.due(tick * 0.1):
            counts[row] += 1
    assert all(9 <= count <= 11 for count in counts)


def test_fallbacks_of_one_reason_and_node_fold_into_one_line_that_counts() -> None:
    state = DashboardState()

    def fall(at_s: float, key: str, node: str, reason: MissReason = MissReason.NODE_DOWN) -> FallbackRead:
        return FallbackRead(at_s, -1, key, reason, node, 0.7, None)

    state.apply(Drained(fallbacks=[fall(float(n), f"k{n % 5}", "n:1") for n in range(37)]))
    state.apply(Drained(fallbacks=[fall(20.0, "k", "n:2"), fall(21.0, "k", "n:2", MissReason.EXPIRED)]))
    first, *others = state.log.everything()
    assert (first.subject, first.times, first.text) == ("keys of n:1", 37, "node down ×37, store 0.7 ms, n:1")
    assert [entry.subject for entry in others] == ["k", "k"]
    # One key again and again stays named, and what comes much later is a line of its own.
    state.apply(Drained(fallbacks=[fall(22.0, "k", "n:2", MissReason.EXPIRED), fall(99.0, "k", "n:2")]))
    lines = [(entry.subject, entry.text) for entry in state.log.everything()[1:]]
    assert lines == [
        ("k", "node down, store 0.7 ms, n:2"),
        ("k", "expired ×2, store 0.7 ms, n:2"),
        ("k", "node down, store 0.7 ms, n:2"),
    ]


def test_fallbacks_for_one_reason_on_one_node_are_one_line_that_counts() -> None:
    lines = FallbackLines()

    def read(
        at_s: float, key: str, node: str = "a:1", reason: MissReason = MissReason.NODE_DOWN
    ) -> FallbackRead:
        return FallbackRead(at_s, 0, key, reason, node, 1.0, None)

    lines.add([read(0.0, "k"), read(1.0, "k"), read(2.0, "k", "b:1"), read(3.0, "l")])
    assert [(one.first_s, one.times, one.same_key, one.last.key) for one in lines.lines] == [
        (0.0, 3, False, "l"), (2.0, 1, True, "k"),
    ]  # fmt: skip
    lines.add([read(3.0 + FOLD_GAP_S + 1, "k"), read(19.0, "k", reason=MissReason.EXPIRED)])
    assert [one.times for one in lines.lines] == [3, 1, 1, 1]
    assert len({one.number for one in lines.lines}) == 4
