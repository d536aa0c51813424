"""The simulation finds faults that are planted in the client: a check that cannot fail checks nothing."""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep
from iotcache_simulator.clustersim.seeds import draw
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

from .mutations import MUTATIONS

FOUND_BY = {
    "skip_the_fence": 9,
    "skip_the_lease_wait": 9,
    "ignore_the_barrier": 53,
    "do_not_settle": 11,
    "let_readers_vote": 19,
    "write_past_a_returning_node": 23,
    "overlook_claims": 26,
    "never_lose_a_lease": 61,
    "forget_old_connections": 1_278,
    "set_instead_of_swap": 16,
    "let_fences_be_evicted": 34,
    "look_at_the_owner_alone": 586,
    "let_the_kernel_send_on": 3_517,
    "confirm_what_timed_out": 9,
    "use_marked_nodes": 9,
    "trust_returning_nodes": 7,
}
"""The first seed of `iotcache-tui verify cluster` that shows each."""


KEYS = tuple(range(8))


def out_twice() -> SimulationPlan:
    """A node hangs, returns and hangs again; in its second outage one of its keys is written at first.

    What its stand-in has of the others is of the first outage, and older than what they had in between.
    """
    steps = [
        SimulationStep(0.2, "hang", node=0),
        SimulationStep(1.4, "resume", node=0),
        SimulationStep(2.8, "hang", node=0),
        SimulationStep(4.0, "resume", node=0),
        *(SimulationStep(0.05 + 0.1 * at, "set", 0, keys=KEYS) for at in range(26)),
        *(SimulationStep(2.85 + 0.1 * at, "set", 0, keys=KEYS[:1]) for at in range(10)),
        *(SimulationStep(3.0 + 0.05 * at, "get", 1, keys=KEYS) for at in range(19)),
    ]
    return by_hand(steps, nodes=2, keys=len(KEYS), end_s=4.1)


COURSES = {"forget_the_floor_of_failover_nodes": out_twice()}


def test_every_planted_fault_is_looked_for() -> None:
    assert {*FOUND_BY, *COURSES} == set(MUTATIONS)


@pytest.mark.parametrize("fault", [*FOUND_BY, *COURSES])
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = COURSES[fault] if fault in COURSES else draw(FOUND_BY[fault])
    assert simulate(plan).violations == ()
    MUTATIONS[fault](monkeypatch)
    assert simulate(plan).violations
