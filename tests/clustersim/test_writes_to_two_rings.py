"""A write goes to the nodes of two rings, and the nodes' states change under it."""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

KEYS = tuple(range(12))
JOINED = 2
OTHER, READER = 1, 2
LOST_S = 1.439
"""Between the moments at which the driver and the other writer begin to read the new ring."""


def test_a_write_that_waits_goes_to_the_owners_of_the_ring_that_is_read_when_it_goes_out() -> None:
    """As found by hunting: it went to those of the ring that was read when it began to wait."""
    steps = [
        SimulationStep(0.05, "set", OTHER, keys=KEYS[1::2]),
        SimulationStep(0.3, "resize", 0, ring=((0, 1), (1, 1), (JOINED, 1))),
        SimulationStep(0.9, "set", OTHER, keys=KEYS[1::2]),
        SimulationStep(LOST_S, "kill", node=JOINED),
        SimulationStep(LOST_S + 0.0006, "set", OTHER, keys=KEYS[1::2]),
        SimulationStep(LOST_S + 1.2, "restart", node=JOINED),
        *(SimulationStep(0.05 + 0.05 * at, "set", 0, keys=KEYS[::2]) for at in range(52)),
        *(SimulationStep(1.0 + 0.02 * at, "get", READER, keys=KEYS) for at in range(80)),
    ]
    plan = by_hand(steps, nodes=1, keys=len(KEYS), end_s=2.6, spares=2, writers=2)
    result = simulate(plan)
    assert result.violations == ()
    assert result.writes_confirmed and result.hits


@pytest.mark.parametrize("seed", [1, 8])
def test_a_node_that_has_settled_while_a_batch_is_sorted_leaves_no_node_without_the_value(seed: int) -> None:
    """As found by hunting: of two looks at the clock the first said that the stand-in is written to as well,
    and the second that it is not; so it was left out as owner on the new ring, as if it had the value.

    The node that leaves hangs and returns, and what belongs to it goes to its stand-in, which is to own it.
    """
    steps = [
        SimulationStep(0.2, "resize", 0, ring=((1, 1), (2, 1))),
        SimulationStep(1.3, "hang", node=0),
        SimulationStep(2.0, "resume", node=0),
        *(SimulationStep(0.05 + 0.05 * at, "set", 0, keys=KEYS) for at in range(55)),
        *(SimulationStep(2.82 + 0.001 * at, "set", 0, keys=KEYS) for at in range(50)),
        *(SimulationStep(2.8205 + 0.001 * at, "get", 1, keys=KEYS) for at in range(50)),
    ]
    plan = by_hand(steps, nodes=3, keys=len(KEYS), end_s=2.87, seed=seed, busy=True, open_min_s=0.05)
    result = simulate(plan)
    assert result.violations == ()
    assert result.writes_confirmed and result.hits
