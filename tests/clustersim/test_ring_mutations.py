"""The simulation finds faults that are planted in how the ring changes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep
from iotcache_simulator.clustersim.seeds import draw_resize
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

from .ring_mutations import RING_MUTATIONS

FOUND_BY = {
    "write_new_only_while_handing_over": 1_000,
    "never_ask_the_old_owner": 1_009,
    "skip_announcing": 1_010,
    "skip_the_phase_lease": 1_013,
    "take_over_from_the_living": 1_008,
    "hand_over_over_anything": 1_045,
}
"""Seeds of `iotcache-tui verify cluster --resize` that show them."""
KEYS = tuple(range(8))
ONE, TWO = ((0, 1),), ((0, 1), (1, 1))


def moved_twice(read_s: float, *more: SimulationStep) -> SimulationPlan:
    """Some keys go to a node that joins, are deleted there, and come back when it leaves.

    What their first node has of them from before counts for nobody, also after ``more``. They are not read
    before ``read_s``: what is found and does not count is removed.
    """
    steps = [
        SimulationStep(0.1, "set", 0, keys=KEYS),
        SimulationStep(0.3, "resize", 0, ring=TWO),
        SimulationStep(4.0, "delete", 0, keys=KEYS),
        SimulationStep(4.2, "resize", 0, ring=ONE),
        *more,
        *(SimulationStep(read_s + 0.2 * at, "get", 1, track=1, keys=KEYS) for at in range(8)),
    ]
    return two_clients(steps, read_s + 1.6)


def written_once() -> SimulationPlan:
    """Keys that are set before a node joins, and never again, are all there when it has joined."""
    steps = [
        SimulationStep(0.1, "set", 0, keys=KEYS),
        SimulationStep(0.3, "resize", 0, ring=TWO),
        SimulationStep(4.0, "get", 1, keys=KEYS),
    ]
    return replace(two_clients(steps, 4.1), whole=True)


def two_clients(steps: list[SimulationStep], end_s: float) -> SimulationPlan:
    """A writer and a reader of one node and of another that may join."""
    return by_hand(steps, nodes=1, keys=len(KEYS), end_s=end_s, spares=1)


FLOORS = {
    "put_no_floors": moved_twice(5.8),
    "forget_floors_of_past_rings": written_once(),
    "let_floors_be_evicted": moved_twice(
        8.5,
        *(SimulationStep(7.6, "end", client, value=1.0) for client in (0, 1)),
        SimulationStep(7.9, "evict", node=0, value=4.0),
        *(SimulationStep(8.0, "start", client) for client in (0, 1)),
    ),
}


@pytest.mark.parametrize("fault", [*FOUND_BY, *FLOORS])
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = FLOORS[fault] if fault in FLOORS else draw_resize(FOUND_BY[fault])
    assert simulate(plan).violations == ()
    RING_MUTATIONS[fault](monkeypatch)
    assert simulate(plan).violations


def test_every_planted_fault_is_looked_for() -> None:
    assert {*FOUND_BY, *FLOORS} == set(RING_MUTATIONS)
