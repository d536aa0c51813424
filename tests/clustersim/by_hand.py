"""Plans whose steps a test writes itself, instead of drawing them by a seed."""

from __future__ import annotations

from collections.abc import Iterable

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep


def by_hand(
    steps: Iterable[SimulationStep],
    *,
    nodes: int,
    keys: int,
    end_s: float,
    spares: int = 0,
    writers: int = 1,
    readers: int = 1,
    seed: int = 1,
    open_min_s: float = 0.1,
    busy: bool = False,
) -> SimulationPlan:
    """One track, nothing shuffled, the steps in any order."""
    return SimulationPlan(
        seed=seed, nodes=nodes, spares=spares, writers=writers, readers=readers, tracks=1, keys=keys,
        shuffle=0.0, open_min_s=open_min_s, open_max_s=2 * open_min_s, timeout_s=0.25, end_s=end_s, busy=busy,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
    )  # fmt: skip
