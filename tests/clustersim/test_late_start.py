"""A client that starts when a node has left the ring again, and never knew it."""

from __future__ import annotations

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

KEYS = tuple(range(8))


def test_who_starts_after_a_node_has_left_reads_nothing_that_was_left_from_before_it_came() -> None:
    """The remembered rings name a node to which it has no connection, and bound what counts all the same."""
    steps = [
        SimulationStep(0.1, "set", 0, keys=KEYS),
        SimulationStep(0.3, "resize", 0, ring=((0, 1), (1, 1))),
        SimulationStep(4.0, "delete", 0, keys=KEYS),
        SimulationStep(4.2, "resize", 0, ring=((0, 1),)),
        *(SimulationStep(7.6, "end", client, value=1.0) for client in (0, 1)),
        *(SimulationStep(8.0, "start", client) for client in (0, 1)),
        *(SimulationStep(8.5 + 0.2 * at, "get", 1, track=1, keys=KEYS) for at in range(8)),
    ]
    plan = by_hand(steps, nodes=1, keys=len(KEYS), end_s=10.1, spares=1)
    result = simulate(plan)
    assert result.violations == ()
    assert result.reads
