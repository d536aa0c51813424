"""The simulation finds faults that are planted in how the ring changes."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from iotcache_simulator.clustersim.plan import SimulationPlan
from iotcache_simulator.clustersim.seeds import draw, draw_change
from iotcache_simulator.clustersim.world import simulate

from .ring_mutations import RING_MUTATIONS

FOUND_BY = {
    "write_new_only_while_handing_over": 1_000,
    "never_ask_the_old_owner": 1_009,
}


def change(seed: int) -> SimulationPlan:
    """A world whose ring changes, whatever the seed would draw else."""
    plain = replace(
        draw(seed), steps=(), readers_only=False, adds=False, storm=False, strict=False, failover=True
    )
    return draw_change(seed, plain, Random(seed))


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = change(FOUND_BY[fault])
    assert simulate(plan).violations == ()
    RING_MUTATIONS[fault](monkeypatch)
    assert simulate(plan).violations
