"""Percentiles from log buckets stay within the error they claim."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iotcache.histogram import DurationHistogram


@given(st.lists(st.floats(0, 4_000_000), min_size=1, max_size=200), st.floats(0, 100))
def test_percentile_is_at_most_a_32nd_above_the_true_one(values: list[float], share: float) -> None:
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    ranked = sorted(values)
    true = ranked[max(1, int(-(-len(values) * share // 100))) - 1]
    got = histogram.percentile(share)
    assert true - 0.001 <= got <= true * (1 + 1 / 32) + 0.002


def test_merge_equals_adding_everything_to_one() -> None:
    parts = [DurationHistogram(), DurationHistogram()]
    whole = DurationHistogram()
    for index in range(1000):
        parts[index % 2].add(index * 0.37)
        whole.add(index * 0.37)
    merged = DurationHistogram().merge(parts)
    assert [merged.percentile(p) for p in (1, 50, 99, 100)] == [whole.percentile(p) for p in (1, 50, 99, 100)]
    assert (merged.count, merged.max_ms) == (whole.count, whole.max_ms)


def test_empty_and_cleared_histograms_say_zero() -> None:
    histogram = DurationHistogram()
    assert histogram.percentile(99) == 0.0
    histogram.add(5.0)
    histogram.clear()
    assert (histogram.count, histogram.percentile(99), histogram.max_ms) == (0, 0.0, 0.0)
