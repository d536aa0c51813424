"""A change of the ring that begins while those who should hear of it can hear nothing."""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

KEYS = tuple(range(8))


@pytest.mark.parametrize(
    "ring", [((0, 1), (1, 1)), ((1, 1),)], ids=["a node joins", "another node takes its place"]
)
def test_the_only_node_hangs_as_its_ring_changes_and_nothing_old_is_read_when_it_goes_on(
    ring: tuple[tuple[int, int], ...],
) -> None:
    """As found by hunting: the change went on over the node that joined, which nobody else looked at, and who
    had not heard of it read the old node by the old ring as soon as it answered."""
    steps = [
        SimulationStep(0.1, "set", 0, keys=KEYS),
        SimulationStep(0.5, "hang", node=0),
        SimulationStep(0.501, "resize", 0, ring=ring),
        SimulationStep(3.6, "resume", node=0),
        *(SimulationStep(1.0 + 0.1 * at, "set", 0, keys=KEYS) for at in range(35)),
        *(SimulationStep(3.5 + 0.02 * at, "get", 1, track=1, keys=KEYS) for at in range(60)),
    ]
    plan = by_hand(steps, nodes=1, keys=len(KEYS), end_s=5.0, spares=1)
    result = simulate(plan)
    assert result.violations == ()
    assert result.writes_confirmed > len(KEYS) and result.hits
