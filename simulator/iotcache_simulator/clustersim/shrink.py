"""A failing plan made short: steps are left out as long as it goes on failing."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep
from iotcache_simulator.clustersim.world import simulate


def shrink(
    plan: SimulationPlan, fails: Callable[[SimulationPlan], bool] | None = None, *, most_runs: int = 400
) -> SimulationPlan:
    """The shortest plan found that still fails, by leaving out ever smaller parts (delta debugging).

    ``fails`` decides what counts; by default any violation does. At most ``most_runs`` simulations are run.
    """
    failing = fails or (lambda one: bool(simulate(one).violations))
    steps = list(plan.steps)
    runs = 0
    size = max(len(steps) // 2, 1)
    while size and runs < most_runs:
        start, shorter = 0, False
        while start < len(steps) and runs < most_runs:
            left: list[SimulationStep] = steps[:start] + steps[start + size :]
            runs += 1
            if failing(replace(plan, steps=tuple(left))):
                steps, shorter = left, True
            else:
                start += size
        if not shorter or size == 1:
            size //= 2
    return replace(plan, steps=tuple(steps))
