"""The interval of a series, learnt from the times of its readings."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from iotcache.cache.intervals import Intervals
from iotcache.model import Series


def feed(intervals: Intervals, gaps_s: list[float], start_us: int = 10**15) -> float:
    at_us, found = start_us, intervals.note("d", "s", start_us)
    for gap_s in gaps_s:
        at_us += round(gap_s * 1e6)
        found = intervals.note("d", "s", at_us)
    return found


def test_nothing_is_known_of_the_first_reading() -> None:
    assert feed(Intervals(), []) == 0.0


def test_jitter_is_smoothed() -> None:
    rng = Random(3)
    assert feed(Intervals(), [10 * rng.uniform(0.9, 1.1) for _ in range(50)]) == pytest.approx(10, rel=0.08)


def test_an_outage_does_not_pass_for_an_interval() -> None:
    assert feed(Intervals(), [10.0] * 10 + [3_600.0]) == 10
    assert feed(Intervals(), [10.0] * 10 + [3_600.0, 10.0, 3_600.0]) == 10


def test_a_first_gap_that_was_a_pause_is_soon_forgotten() -> None:
    assert feed(Intervals(), [3_600.0] + [10.0] * 2) == 10


def test_a_new_interval_is_learnt() -> None:
    assert feed(Intervals(), [10.0] * 10 + [60.0] * 3) == 60


def test_a_greeting_or_an_extra_reading_does_not_pass_for_an_interval() -> None:
    assert feed(Intervals(), [0.3]) == 0
    assert feed(Intervals(), [0.3, 10.0]) == 10
    assert feed(Intervals(), [10.0] * 4 + [4.0, 6.0]) == 10


def test_late_and_repeated_readings_teach_nothing() -> None:
    intervals = Intervals()
    assert feed(intervals, [10.0, 10.0, 10.0, -25.0, 0.0]) == 10.0


def test_the_series_silent_longest_is_forgotten_first() -> None:
    intervals = Intervals(bound=2)
    for name in ("a", "b", "a", "c"):
        intervals.note(name, "s", 10**15)
    assert len(intervals) == 2
    intervals.note("a", "s", 10**15 + 5_000_000)
    assert intervals.note("a", "s", 10**15 + 10_000_000) == 5.0
    assert intervals.note("b", "s", 10**15 + 5_000_000) == 0.0


def test_what_a_store_remembers_serves_from_the_first_reading_on() -> None:
    intervals = Intervals()
    intervals.recall([(Series("d", "s"), 30.0), (Series("e", "s"), 0.0)])
    assert feed(intervals, []) == 30.0
    assert feed(intervals, [30.0] * 3) == 30.0


def test_long_names_take_no_more_memory_than_the_limit() -> None:
    limit = 1_000_000
    intervals = Intervals(limit_bytes=limit)
    tracemalloc.start()
    for n in range(3_000):
        intervals.note(f"{n}" + "d" * 250, "s" * 250 + f"{n}", 1_000_000)
    intervals.recall((Series(f"r{n}" + "d" * 250, "s"), 5.0) for n in range(3_000))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 500 < len(intervals) < 1_500
    assert used <= limit
