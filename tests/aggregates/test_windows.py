"""Windows and old buckets as readings fill them: told the time."""

from __future__ import annotations

from iotcache.aggregates.buckets import BUCKETS_LIMIT, REPEAT_AFTER_S, OutdatedBuckets
from iotcache.aggregates.windows import AHEAD_US, PAIRS_LIMIT, Windows
from iotcache.cache.aggregates.values import window_of
from iotcache.model import Reading, Series

S = 1_000_000
T0 = 1_795_348_800 * S  # a full minute


def reading(value: object, at_s: float, device: str = "d1", sensor: str = "t", site: str = "n") -> Reading:
    return Reading(device, sensor, value, T0 + round(at_s * S), site=site)  # type: ignore[arg-type]


def windows(late_s: float = 30.0, since_s: float = -600.0) -> Windows:
    return Windows(late_s, T0 + round(since_s * S))


def at(seconds: float) -> int:
    return T0 + round(seconds * S)


def counts(windows_: Windows, site: str = "n", sensor: str = "t") -> tuple[int, ...]:
    newest = windows_.newest((site, sensor))
    assert newest is not None
    return tuple(window.count for window in newest if window is not None)


def test_readings_fall_into_windows_by_their_own_time_of_all_devices_of_a_site() -> None:
    windows_ = windows()
    windows_.follow([reading(1, 0), reading(3, 59, device="d2"), reading(True, 60), reading("x", 61)], at(65))
    windows_.follow([reading(9, 5, site="m"), reading(9, 5, sensor="u")], at(65))
    assert counts(windows_) == (1, 2)
    last, before = windows_.newest(("n", "t")) or (None, None)
    assert before is not None
    assert last is not None
    assert (before.start, before.min, before.max, before.mean, before.exact) == (T0, 1.0, 3.0, 2.0, True)
    assert (last.start, last.min) == (at(60), 1.0)
    assert counts(windows_, "m") == (1,)
    assert sorted(windows_.take_changed(10)) == [("m", "t"), ("n", "t"), ("n", "u")]
    assert windows_.take_changed(10) == []


def test_late_readings_count_up_to_the_bound_and_no_clock_far_ahead_does() -> None:
    windows_ = windows(late_s=30.0)
    windows_.follow([reading(1, 10)], at(89.9))
    assert windows_.outside == 0
    windows_.follow([reading(1, 11), reading(1, 90 + AHEAD_US / S + 0.5)], at(90.0))
    assert windows_.outside == 2
    assert counts(windows_) == (1,)
    windows_.follow([reading(1, 94)], at(90.0))
    assert counts(windows_) == (1, 1)


def test_a_window_that_is_over_is_closed_and_still_shown_beside_the_next() -> None:
    windows_ = windows()
    windows_.follow([reading(1, 10)], at(20))
    assert list(windows_.ended(at(89.9))) == []
    ((pair, window),) = windows_.ended(at(90))
    windows_.close(pair, window_of(window.start, 60, window.sketch))
    assert counts(windows_) == (1,)
    windows_.follow([reading(2, 91), reading(2, 92)], at(93))
    assert counts(windows_) == (2, 1)
    windows_.forget(at(100))
    assert len(windows_) == 1
    ((pair, window),) = windows_.ended(at(150))
    windows_.close(pair, window_of(window.start, 60, window.sketch))
    windows_.forget(at(400))
    assert len(windows_) == 0


def test_what_cannot_be_vouched_for_is_in_doubt() -> None:
    windows_ = windows(since_s=10.0)
    windows_.follow([reading(1, 20), reading(1, 65)], at(66))
    last, before = windows_.newest(("n", "t")) or (None, None)
    assert before is not None
    assert last is not None
    assert (before.exact, last.exact) == (False, True)
    windows_.follow([reading(1, 66)], at(67), doubtful=True)
    assert [window.doubtful for window in windows_.open_of(("n", "t"))] == [True, True]
    windows_.follow([reading(1, 125)], at(126))
    windows_.doubt(at(130))
    windows_.follow([reading(1, 186)], at(187))
    assert [window.doubtful for window in windows_.open_of(("n", "t"))][-2:] == [True, False]


def test_pairs_are_bounded_and_devices_without_a_site_have_none() -> None:
    windows_ = windows()
    windows_.follow([reading(1, 5, sensor=f"s{n}") for n in range(PAIRS_LIMIT + 3)], at(6))
    windows_.follow([reading(1, 5, site="")], at(6))
    assert (len(windows_), windows_.left_out) == (PAIRS_LIMIT, 4)


def test_buckets_made_old_by_late_readings_are_deleted_twice() -> None:
    old = OutdatedBuckets(60)
    old.follow([reading(1, 0), reading(1, 59), reading(1, 60, device="d2"), reading(1, 100)], at(150))
    assert old.due(0.0, 100) == [
        (Series("d1", "t"), T0),
        (Series("d2", "t"), at(60)),
        (Series("d1", "t"), at(60)),
    ]
    assert old.due(REPEAT_AFTER_S - 0.1, 100) == []
    assert len(old.due(REPEAT_AFTER_S, 100)) == 3
    assert old.due(100.0, 100) == []
    old.follow([reading(1, 60)], at(149.9))
    assert old.due(200.0, 100) == [], "its time is not long enough over"


def test_old_buckets_are_bounded() -> None:
    old = OutdatedBuckets(60)
    old.follow([reading(1, -60 * n) for n in range(1, BUCKETS_LIMIT + 6)], at(600))
    assert old.unswept == 5
    assert len(old.due(0.0, 1_000)) == 1_000
