"""The simulation finds faults that are planted in the client: a check that cannot fail checks nothing.

Six of the sixteen faults of `mutations` are not named here: some two hundred worlds did not show them.
"""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.seeds import draw
from iotcache_simulator.clustersim.world import simulate

from .mutations import MUTATIONS

FOUND_BY = {
    "skip_the_fence": 54,
    "skip_the_lease_wait": 19,
    "ignore_the_barrier": 400,
    "do_not_settle": 220,
    "let_readers_vote": 6,
    "write_past_a_returning_node": 30,
    "set_instead_of_swap": 5,
    "look_at_the_owner_alone": 19,
    "use_marked_nodes": 101,
    "trust_returning_nodes": 101,
}


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw(FOUND_BY[fault])
    assert simulate(plan).violations == ()
    MUTATIONS[fault](monkeypatch)
    assert simulate(plan).violations
