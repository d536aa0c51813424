"""The simulation finds faults that are planted in the client: a check that cannot fail checks nothing."""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.seeds import draw
from iotcache_simulator.clustersim.world import simulate

from .mutations import MUTATIONS

FOUND_BY = {
    "skip_the_fence": 9,
    "skip_the_lease_wait": 9,
    "ignore_the_barrier": 53,
    "do_not_settle": 11,
    "let_readers_vote": 19,
    "forget_the_floor_of_failover_nodes": 3_494,
    "write_past_a_returning_node": 23,
    "overlook_claims": 26,
    "never_lose_a_lease": 61,
    "forget_old_connections": 1_278,
    "set_instead_of_swap": 16,
    "let_fences_be_evicted": 34,
    "look_at_the_owner_alone": 586,
    "let_the_kernel_send_on": 2_562,
    "confirm_what_timed_out": 9,
    "use_marked_nodes": 9,
    "trust_returning_nodes": 7,
}
"""The first seed of `iotcache-tui verify cluster` that shows each."""


def test_every_planted_fault_is_looked_for() -> None:
    assert set(FOUND_BY) == set(MUTATIONS)


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw(FOUND_BY[fault])
    assert simulate(plan).violations == ()
    MUTATIONS[fault](monkeypatch)
    assert simulate(plan).violations
