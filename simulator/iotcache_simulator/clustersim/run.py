"""Many simulations: a range of seeds over all cores, and what came of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from msgspec import Struct

from iotcache_simulator.clustersim.plan import draw
from iotcache_simulator.clustersim.world import SimulationResult, simulate

_CHUNK: Final = 8


class SimulationTotals(Struct):
    """What many simulations have come to."""

    seeds: int = 0
    steps: int = 0
    reads: int = 0
    hits: int = 0
    writes: int = 0
    writes_confirmed: int = 0
    failed: list[SimulationResult] = []

    def add(self, outcome: SimulationResult) -> None:
        """Count one more."""
        self.seeds += 1
        self.steps += outcome.steps
        self.reads += outcome.reads
        self.hits += outcome.hits
        self.writes += outcome.writes
        self.writes_confirmed += outcome.writes_confirmed
        if outcome.violations:
            self.failed.append(outcome)


def simulate_seed(seed: int) -> SimulationResult:
    """Run the plan of one seed."""
    return simulate(draw(seed))


def outcomes(first: int, count: int, processes: int) -> Iterator[SimulationResult]:
    """The outcomes of ``count`` seeds from ``first`` on, in order."""
    seeds = range(first, first + count)
    if processes <= 1:
        yield from map(simulate_seed, seeds)
        return
    # Not forked: a child must not inherit what this process may have open.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(simulate_seed, seeds, chunksize=_CHUNK)


def verify(
    first: int,
    *,
    seeds: int = 0,
    steps: int = 0,
    processes: int = 0,
    progress: Callable[[SimulationTotals], None] | None = None,
) -> SimulationTotals:
    """Run ``seeds`` simulations, or as many as it takes for ``steps`` steps.

    ``processes`` 0: one for each core. A step is one decision of the scheduler: a turn of a client's loop, an
    arrival of bytes, a fault, an operation.
    """
    totals = SimulationTotals(failed=[])
    processes = processes or os.cpu_count() or 1
    at = first
    while totals.seeds < seeds or totals.steps < steps:
        count = min(seeds - totals.seeds, 256) if seeds else 64
        for outcome in outcomes(at, count, processes):
            totals.add(outcome)
            if progress is not None:
                progress(totals)
            if not seeds and totals.steps >= steps:
                return totals
        at += count
    return totals
