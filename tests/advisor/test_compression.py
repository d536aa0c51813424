"""What packing values would save, in whole chunks."""

from __future__ import annotations

import pytest

from iotcache.advisor.compression import VALUES_LEAST, PackedValue, compression
from iotcache.advisor.item_size import DEFAULT_CHUNKS, item_bytes


def test_the_largest_threshold_that_saves_nearly_all_is_named() -> None:
    small, large = PackedValue(20, 150, 140), PackedValue(20, 2_000, 500)
    found = compression([small, large] * 20)
    assert found is not None
    assert found.min_bytes == 1_000, "the small ones save next to nothing"
    chunks = [DEFAULT_CHUNKS.chunk(item_bytes(20, size, flags=True)) for size in (150, 2_000, 500)]
    assert found.share == pytest.approx(1 - (chunks[0] + chunks[2]) / (chunks[0] + chunks[1]))


def test_a_byte_less_within_a_chunk_saves_nothing_and_few_values_say_nothing() -> None:
    found = compression([PackedValue(20, 200, 199)] * VALUES_LEAST)
    assert found is not None and found.share == 0.0
    assert compression([PackedValue(20, 2_000, 100)] * (VALUES_LEAST - 1)) is None
