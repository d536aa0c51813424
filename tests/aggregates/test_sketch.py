"""Figures of numbers in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.quantile_sketch import BUCKETS_LIMIT, RELATIVE_ERROR, VALUE_LIMIT, QuantileSketch

numbers = st.lists(st.floats(-1e15, 1e15).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1, max_size=200)


def sketched(values: Sequence[float]) -> QuantileSketch:
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    return sketch


@given(numbers, st.sampled_from([0.0, 0.05, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_its_error_of_the_value_at_that_rank(values: list[float], share: float) -> None:
    sketch = sketched(values)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert sketch.quantile(share) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001, abs=1e-12)
    assert (sketch.n, sketch.low, sketch.high) == (len(values), min(values), max(values))
    assert sketch.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-6, abs=1.0)
    assert sketch.low <= sketch.mean <= sketch.high


@given(numbers, numbers)
def test_merged_sketches_know_what_one_would(some: list[float], others: list[float]) -> None:
    merged, whole = sketched(some), sketched(some + others)
    merged.merge(sketched(others))
    assert (merged.n, merged.low, merged.high, merged.zeros) == (
        whole.n, whole.low, whole.high, whole.zeros
    )  # fmt: skip
    assert (merged.positive, merged.negative) == (whole.positive, whole.negative)


@given(numbers)
def test_it_travels_as_json(values: list[float]) -> None:
    sketch = sketched(values)
    assert msgspec.json.decode(msgspec.json.encode(sketch), type=QuantileSketch) == sketch
    assert msgspec.json.decode(msgspec.json.encode(QuantileSketch()), type=QuantileSketch) == QuantileSketch()


def test_memory_is_bounded_and_high_quantiles_stay_exact() -> None:
    values = [10.0 ** (n / 40) for n in range(-3_000, 3_000)]
    sketch = sketched([*values, *(-value for value in values)])
    assert len(sketch.positive) == len(sketch.negative) == BUCKETS_LIMIT
    exact = sorted([*values, *(-value for value in values)])[math.ceil(0.99 * 12_000) - 1]
    assert sketch.quantile(0.99) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)
    assert sum(sketch.positive.values()) + sum(sketch.negative.values()) + sketch.zeros == sketch.n


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, VALUE_LIMIT, -VALUE_LIMIT])
def test_what_is_no_number_to_reckon_with_is_left_out(odd: float) -> None:
    assert sketched([odd, 1.0, odd]) == sketched([1.0])


def test_the_largest_numbers_have_a_mean() -> None:
    sketch = sketched([VALUE_LIMIT / 1.001] * 1_000)
    assert math.isfinite(sketch.mean)
    assert sketch.quantile(0.95) == sketch.high


def test_of_nothing_there_are_no_figures() -> None:
    assert (QuantileSketch().mean, QuantileSketch().quantile(0.95)) == (0.0, 0.0)
