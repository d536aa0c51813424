"""Many simulations: a range of seeds over all cores, and what came of them."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from enum import StrEnum
from itertools import count, islice
from multiprocessing import get_context
from typing import Final

from msgspec import Struct

from iotcache_simulator.clustersim.plan import SimulationPlan
from iotcache_simulator.clustersim.seeds import draw, draw_hot, draw_resize
from iotcache_simulator.clustersim.world import SimulationResult, simulate

_CHUNK: Final = 16


class Worlds(StrEnum):
    """Which worlds are simulated."""

    ANY = "any"
    RESIZE = "resize"
    """Only such in which the ring changes."""
    HOT = "hot"
    """Only such in which hot keys have copies."""


def draw_of(worlds: Worlds) -> Callable[[int], SimulationPlan]:
    """What makes a plan of a seed."""
    return {Worlds.ANY: draw, Worlds.RESIZE: draw_resize, Worlds.HOT: draw_hot}[worlds]


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


def outcomes(
    seeds: Iterator[int], processes: int, *, worlds: Worlds = Worlds.ANY
) -> Generator[SimulationResult, None, None]:
    """The outcomes of ``seeds``, in their order."""
    if processes <= 1:
        while chunk := list(islice(seeds, _CHUNK)):
            yield from _simulate_chunk(chunk, worlds)
        return
    # Not forked: a child must not inherit what this process may have open.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool:
        waiting: deque[Future[list[SimulationResult]]] = deque()
        try:
            while True:
                while len(waiting) < 2 * processes and (chunk := list(islice(seeds, _CHUNK))):
                    waiting.append(pool.submit(_simulate_chunk, chunk, worlds))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """In a process of the pool: what is loaded by now stays, and need not be looked at again."""
    gc.collect()
    gc.freeze()


def _simulate_chunk(seeds: list[int], worlds: Worlds) -> list[SimulationResult]:
    """Run some seeds. A world is full of cycles and soon over: they are collected once, at the end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return [simulate(draw_of(worlds)(seed)) for seed in seeds]
    finally:
        gc.collect()
        if collects:
            gc.enable()


def verify(
    first: int,
    *,
    seeds: int = 0,
    steps: int = 0,
    processes: int = 0,
    worlds: Worlds = Worlds.ANY,
    progress: Callable[[SimulationTotals], None] | None = None,
) -> SimulationTotals:
    """Run ``seeds`` simulations, or as many as it takes for ``steps`` steps.

    ``processes`` 0: one for each core. A step is one decision of the scheduler: a turn of a client's loop, an
    arrival of bytes, a fault, an operation.
    """
    totals = SimulationTotals(failed=[])
    endless = count(first)
    with closing(
        outcomes(
            islice(endless, seeds) if seeds else endless, processes or os.cpu_count() or 1, worlds=worlds
        )
    ) as found:
        for outcome in found:
            totals.add(outcome)
            if progress is not None:
                progress(totals)
            if not seeds and totals.steps >= steps:
                break
    return totals
