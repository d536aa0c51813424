"""The simulation finds faults that are planted in how hot keys are copied."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

from .hot_mutations import HOT_MUTATIONS

KEYS = tuple(range(8))
SOME, OTHERS = KEYS[:4], KEYS[4:]


def hot(at_s: float, keys: tuple[int, ...], client: int = 0) -> SimulationStep:
    """A client has copies of ``keys`` made, and of no others."""
    return SimulationStep(at_s, "hot", client, keys=keys, value=2.0)


def every(
    pause_s: float, verb: str, begin_s: float, end_s: float, keys: tuple[int, ...] = KEYS
) -> Iterable[SimulationStep]:
    """The writer sets or the reader gets ``keys`` again and again."""
    client = 0 if verb == "set" else 1
    for at in range(int((end_s - begin_s) / pause_s)):
        yield SimulationStep(begin_s + at * pause_s, verb, client, track=client, keys=keys)


def read_all_the_time(
    begin_s: float,
    end_s: float,
    *steps: SimulationStep,
    client: int = 0,
    set_s: float = 0.05,
    spares: int = 0,
) -> SimulationPlan:
    """A writer and a reader of two nodes: all keys are hot, written now and then, and read all the time."""
    first = [SimulationStep(0.1, "set", 0, keys=KEYS), hot(0.2, KEYS, client)]
    work = [*every(set_s, "set", begin_s, end_s), *every(0.02, "get", begin_s, end_s)]
    return by_hand([*first, *work, *steps], nodes=2, keys=len(KEYS), end_s=end_s, spares=spares)


def cut_off() -> SimulationPlan:
    """The writer cannot reach the node with the copy of a key, which the reader can."""
    steps = [SimulationStep(0.1, "set", 0, keys=KEYS), hot(0.2, KEYS)]
    steps += [SimulationStep(2.8, "block", 0, node=0), SimulationStep(3.9, "unblock", 0, node=0)]
    steps += [*every(0.1, "set", 2.4, 4.0, (1,)), *every(0.02, "get", 2.4, 4.0, (1,))]
    return by_hand(steps, nodes=2, keys=len(KEYS), end_s=4.0)


def hot_again() -> SimulationPlan:
    """Keys have copies, then none, are written, and have copies again."""
    steps = [SimulationStep(0.1, "set", 0, keys=KEYS), hot(0.2, KEYS)]
    steps += [SimulationStep(2.3 + at / 10, "get", 1, keys=KEYS) for at in range(4)]
    steps += [hot(2.8, ()), SimulationStep(4.9, "set", 0, keys=KEYS), hot(5.0, KEYS)]
    steps += [SimulationStep(7.2 + at / 10, "get", 1, keys=KEYS) for at in range(4)]
    return by_hand(steps, nodes=2, keys=len(KEYS), end_s=7.7)


def evicted() -> SimulationPlan:
    """Copies are evicted all the time, and the reader stands still while it brings them."""
    begin_s, end_s = 2.4, 2.8
    steps = [SimulationStep(0.1, "set", 0, keys=KEYS), hot(0.2, KEYS)]
    steps += [*every(0.003, "set", begin_s, end_s), *every(0.002, "get", begin_s, end_s)]
    for at in range(56):
        steps.append(SimulationStep(begin_s + 0.0071 * at, "evict", node=at % 2, value=2.0))
    for at in range(30):
        steps.append(SimulationStep(begin_s + 0.0133 * at, "stall", 1, value=0.006))
    return by_hand(steps, nodes=2, keys=len(KEYS), end_s=end_s, seed=2)


PLANS = {
    "write_to_the_owner_only": read_all_the_time(2.4, 2.8),
    "confirm_what_a_copy_did_not_take": cut_off(),
    "let_copies_survive_deletes": read_all_the_time(
        2.4, 2.8, SimulationStep(2.5, "delete", 0, keys=KEYS), set_s=0.39
    ),
    "write_past_copies_at_once": cut_off(),
    "bring_over_anything": evicted(),
    "put_no_floors_for_copies": hot_again(),
    "forget_leaving_keys_at_once": read_all_the_time(2.4, 3.2, hot(2.7, ())),
    "read_copies_at_once": read_all_the_time(0.2, 1.0, client=1, set_s=0.01),
    "read_copies_while_the_ring_changes": read_all_the_time(
        2.4, 5.0, SimulationStep(2.5, "resize", 0, ring=((0, 1), (1, 1), (2, 1))), spares=1
    ),
}


@pytest.mark.parametrize("fault", PLANS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulate(PLANS[fault]).violations == ()
    HOT_MUTATIONS[fault](monkeypatch)
    assert simulate(PLANS[fault]).violations


def test_every_planted_fault_is_looked_for() -> None:
    assert set(PLANS) == set(HOT_MUTATIONS)
