"""A change of the ring that begins while those who should hear of it can hear nothing."""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep
from iotcache_simulator.clustersim.world import simulate

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
    plan = SimulationPlan(
        seed=1, nodes=1, spares=1, writers=1, readers=1, tracks=1, keys=len(KEYS), shuffle=0.0,
        open_min_s=0.1, open_max_s=0.2, timeout_s=0.25, end_s=5.0,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
    )  # fmt: skip
    result = simulate(plan)
    assert result.violations == ()
    assert result.writes_confirmed > len(KEYS) and result.hits
