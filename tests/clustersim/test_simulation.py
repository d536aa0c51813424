"""The cluster client in a simulated world: no read is stale, whatever befalls nodes, network and clients.

The seeds named here fail on the client as it was before each was mended.
"""

from __future__ import annotations

import pytest

from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.seeds import draw
from iotcache_simulator.clustersim.shrink import shrink
from iotcache_simulator.clustersim.world import simulate

REGRESSIONS = {
    "the only node restarted": 5,
    "a start that is cancelled": 14,
    "a node drained, rejoined and drained again within 0.3 s, and nothing else": 21,
    "a reader that loses a node": 27,
    "one answer of a batch lost": 76,
    "one answer of a batch doubled": 88,
    "what a closed connection has not sent": 137,
    "a fence evicted": 197,
    "a node drained and rejoined while batches are written": 327,
    "two nodes out at overlapping times": 398,
    "a node drained while another is out": 586,
}


@pytest.mark.parametrize("fault", REGRESSIONS)
def test_what_was_once_found_stays_mended(fault: str) -> None:
    result = simulate(draw(REGRESSIONS[fault]))
    assert result.violations == ()
    assert result.writes_confirmed and result.hits


@pytest.mark.parametrize("first", [0, 30])
def test_no_seed_shows_a_stale_read(first: int) -> None:
    """Sixty worlds; continuous integration runs two thousand of them."""
    failed = {seed: simulate(draw(seed)).violations[:1] for seed in range(first, first + 30)}
    assert {seed: found for seed, found in failed.items() if found} == {}


def test_a_seed_gives_the_same_history_every_time() -> None:
    for seed in (21, 327, 586):
        lines: list[str] = []
        again: list[str] = []
        first, second = simulate(draw(seed), lines.append), simulate(draw(seed), again.append)
        assert lines == again
        assert (first, len(lines) > 50) == (second, True)


def test_a_failing_plan_is_shortened_to_the_steps_that_matter() -> None:
    plan = draw(398)
    wanted = [step for step in plan.steps if step.verb in ("hang", "resume")][:2]

    def fails(one: object) -> bool:
        steps: tuple[SimulationStep, ...] = one.steps  # type: ignore[attr-defined]
        return all(step in steps for step in wanted)

    assert shrink(plan, fails, most_runs=2_000).steps == tuple(wanted)


def test_what_readers_suffer_stays_their_own() -> None:
    """In these plans faults befall readers alone; a writer that loses a node is a violation."""
    seeds = [seed for seed in range(90) if draw(seed).readers_only]
    assert len(seeds) > 3
    assert [simulate(draw(seed)).violations for seed in seeds] == [()] * len(seeds)
