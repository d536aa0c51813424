"""All rules together: what is wrong at a moment, the gravest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from iotcache_tui.state.problems import node_lists, pipeline, refusals, servers
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem

Rule = Callable[[Facts], Iterator[Problem]]

CAUSES: Final[tuple[Rule, ...]] = (
    servers.broker,
    servers.store,
    servers.nodes,
    servers.other_parts,
    pipeline.contested,
    pipeline.waiting_workers,
    pipeline.silent_workers,
    pipeline.no_worker,
    pipeline.placement,
    refusals.refused,
    node_lists.node_list,
    servers.unsteady,
    pipeline.clocks,
    servers.emptied,
    servers.memory,
)
"""What goes wrong by itself; of two that are as grave the one named first stands first."""
EFFECTS: Final[tuple[Rule, ...]] = (
    pipeline.lagging,
    pipeline.piling_up,
    pipeline.late,
    pipeline.silent_devices,
    pipeline.falling_through,
    pipeline.behind,
    pipeline.faulty,
)
"""What else follows from a part that is down: told only while none is."""
ALWAYS: Final[tuple[Rule, ...]] = (pipeline.standing_alerts,)
_EMPTYING: Final = ("flushed", "restarted", "full")
"""They make reads miss."""


def find_problems(facts: Facts) -> tuple[Problem, ...]:
    """Everything that is wrong, the gravest first."""
    found = [problem for rule in CAUSES for problem in rule(facts)]
    if not any(problem.gravity is Gravity.DOWN for problem in found):
        emptying = any((problem.kind or problem.label) in _EMPTYING for problem in found)
        found += [
            problem
            for rule in EFFECTS
            for problem in rule(facts)
            if not (emptying and problem.label == "missed")
        ]
    found += [problem for rule in ALWAYS for problem in rule(facts)]
    return tuple(sorted(found, key=lambda problem: -problem.gravity))  # a stable sort: rules keep their order
