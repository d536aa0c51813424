"""A node that was out itself while another one returned keeps that one's outage marker, for a while.

Nobody who uses the other one looks for it there, where there are more nodes than witnesses.
"""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

KEYS = tuple(range(24))
OWNER, STAND_IN = 1, 0
READER = 2


@pytest.mark.parametrize(
    ("seed", "back_s", "then"),
    [
        (1, 2.0, ()),
        (
            1,
            2.15,
            (SimulationStep(2.8, "drain", READER, OWNER), SimulationStep(3.8, "rejoin", READER, OWNER)),
        ),
        (3, 2.0, (SimulationStep(2.8, "kill", node=OWNER), SimulationStep(3.05, "restart", node=OWNER))),
    ],
    ids=["a reader that is late", "a reader that drains a node", "a node that dies after its return"],
)
def test_a_marker_that_was_left_lets_nobody_read_past_a_node_that_others_use(
    seed: int, back_s: float, then: tuple[SimulationStep, ...]
) -> None:
    """Both hang, the stand-in a little longer; it has what was written to both while the other settled."""
    end_s = then[-1].at_s if then else 2.7
    steps = [
        SimulationStep(0.3, "hang", node=OWNER),
        SimulationStep(1.2, "hang", node=STAND_IN),
        SimulationStep(1.8, "resume", node=OWNER),
        SimulationStep(back_s, "resume", node=STAND_IN),
        *then,
    ]
    for writer in (0, 1):
        own = tuple(key for key in KEYS if key % 2 == writer)
        steps += [
            SimulationStep(0.05 + 0.04 * at, "set", writer, keys=own) for at in range(int(end_s / 0.04))
        ]
    steps += [
        SimulationStep(2.2 + 0.05 * at, "get", READER, keys=KEYS) for at in range(int((end_s - 2.2) / 0.05))
    ]
    # Between the moments at which the reader sees the marker of the next outage on one node and on another.
    steps += [
        SimulationStep(2.85 + 0.004 * at, "get", READER, keys=KEYS) for at in range(20) if 3 < end_s < 3.1
    ]
    plan = by_hand(steps, nodes=5, keys=len(KEYS), end_s=end_s, writers=2, seed=seed, open_min_s=0.05)
    result = simulate(plan)
    assert result.violations == ()
    assert result.hits and result.writes_confirmed
