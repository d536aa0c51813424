"""The cluster client in a simulated world: no read is stale, whatever befalls nodes, network and clients.

The seeds named here failed on the client as it was before it was mended; 354 failed on the way.
"""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.seeds import draw
from iotcache_simulator.clustersim.shrink import shrink
from iotcache_simulator.clustersim.world import simulate

REGRESSIONS = {
    "two nodes out at overlapping times": 5,
    "one answer of a batch doubled": 18,
    "one answer of a batch lost": 344,
    "a start that is cancelled": 65,
    "a node drained and rejoined while batches are written": 101,
    "a client restarted while a node hangs": 220,
    "the only node restarted": 353,
    "two nodes drained in turn by one writer": 354,
    "a fence evicted": 355,
    "a node that hangs again before the first outage is over": 523,
    "a slow node and one that hangs": 578,
    "an outage marker evicted": 586,
}


@pytest.mark.parametrize("fault", REGRESSIONS)
def test_what_was_once_found_stays_mended(fault: str) -> None:
    result = simulate(draw(REGRESSIONS[fault]))
    assert result.violations == ()
    assert result.writes_confirmed and result.hits


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_no_seed_shows_a_stale_read(first: int) -> None:
    """A hundred and twenty worlds, thirty at a time; `make simulate-cluster` runs thousands."""
    failed = {seed: simulate(draw(seed)).violations[:1] for seed in range(first, first + 30)}
    assert {seed: found for seed, found in failed.items() if found} == {}


def test_a_seed_gives_the_same_history_every_time() -> None:
    for seed in (5, 101, 578):
        lines: list[str] = []
        again: list[str] = []
        first, second = simulate(draw(seed), lines.append), simulate(draw(seed), again.append)
        assert lines == again
        assert (first, len(lines) > 100) == (second, True)


def test_a_failing_plan_is_shortened_to_the_steps_that_matter() -> None:
    plan = draw(5)
    wanted = [step for step in plan.steps if step.verb in ("hang", "resume")][:2]

    def fails(one: object) -> bool:
        steps: tuple[SimulationStep, ...] = one.steps  # type: ignore[attr-defined]
        return all(step in steps for step in wanted)

    assert shrink(plan, fails, most_runs=2_000).steps == tuple(wanted)


def test_what_readers_suffer_stays_their_own() -> None:
    """In these plans faults befall readers alone; a writer that loses a node is a violation."""
    seeds = [seed for seed in range(120) if draw(seed).readers_only]
    assert len(seeds) > 3
    assert [simulate(draw(seed)).violations for seed in seeds] == [()] * len(seeds)
