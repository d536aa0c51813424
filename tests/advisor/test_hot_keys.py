"""Frequent keys in bounded memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iotcache.advisor.hot_keys import SpaceSaving


@given(st.lists(st.lists(st.integers(0, 40), max_size=60), max_size=8), st.integers(1, 12))
def test_a_count_is_never_too_low_and_too_high_by_its_error_at_most(
    batches: list[list[int]], capacity: int
) -> None:
    counted, exact = SpaceSaving(capacity), Counter[bytes]()
    for batch in batches:
        counts = Counter(str(number).encode() for number in batch)
        counted.add(counts)
        exact += counts
    top = counted.top(capacity)
    assert len(top) == min(capacity, len(exact))
    for one in top:
        assert one.count - one.error <= exact[one.key] <= one.count
    kept = {one.key for one in top}
    assert all(key in kept for key, count in exact.items() if count > counted.total / capacity)


def test_the_top_twenty_of_many_keys_are_found() -> None:
    rng = np.random.default_rng(3)
    numbers = rng.zipf(1.2, 60_000) % 50_000
    counted, exact = SpaceSaving(), Counter[bytes]()
    for start in range(0, len(numbers), 2_000):
        batch = Counter(b"key%d" % number for number in numbers[start : start + 2_000])
        counted.add(batch)
        exact += batch
    true = {key for key, _ in exact.most_common(20)}
    assert len(true & {one.key for one in counted.top(20)}) >= 19
