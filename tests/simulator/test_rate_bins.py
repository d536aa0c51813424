"""Messages by the second: complete, in bounded memory, the same over several processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iotcache_simulator.report.rate_bins import BINS_MAX, RateBins, RateCounter

MOMENTS = st.lists(st.tuples(st.floats(0, 20_000), st.integers(1, 99)), max_size=60)


def counted(moments: list[tuple[float, int]]) -> RateBins:
    counter = RateCounter()
    for at_s, count in moments:
        counter.add(at_s, count)
    return counter.bins()


@given(MOMENTS)
def test_every_message_is_counted_in_its_stretch(moments: list[tuple[float, int]]) -> None:
    bins = counted(moments)
    assert len(bins.counts) <= BINS_MAX
    for place, count in enumerate(bins.counts):
        begin_s, end_s = place * bins.seconds, (place + 1) * bins.seconds
        assert count == sum(n for at_s, n in moments if begin_s <= at_s < end_s)
    assert sum(bins.counts) == sum(n for _, n in moments)


@given(MOMENTS, MOMENTS)
def test_processes_together_are_as_one(
    first: list[tuple[float, int]], second: list[tuple[float, int]]
) -> None:
    assert RateBins.added([counted(first), counted(second)]) == counted([*first, *second])
