"""The ring grows and shrinks under load; `make resize-proof` looks at the whole minute after each change."""

from __future__ import annotations

import pytest

from tests.long.resize_proof import faults, prove

SECONDS = 10.0


@pytest.mark.long
@pytest.mark.real("memcached")
async def test_a_ring_that_grows_and_shrinks_under_load_costs_the_store_next_to_nothing() -> None:
    assert faults(await prove(SECONDS)) == []


@pytest.mark.long
@pytest.mark.real("memcached")
async def test_without_a_hand_over_the_same_change_costs_it_much() -> None:
    """Otherwise the first test would show nothing."""
    told = await prove(SECONDS, without=True)
    assert all(one["percent"] > 2 for one in told)
