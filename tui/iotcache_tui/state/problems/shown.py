"""The parts as they are named on screen: a server that others reach is not called down."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from iotcache_tui.state.problems.problem import Gravity, Problem
from iotcache_tui.state.updates import Part

STATE_WORDS = {"empty": "is empty", "unreached": "not reached from here", "refused": "refuses this dashboard"}
"""States that are more than their own word."""

_PART_OF = {"workers": "ingest"}


def shown_parts(parts: Sequence[Part], problems: Sequence[Problem]) -> tuple[Part, ...]:
    """``parts``, those that are away for this dashboard alone with the state "unreached"."""
    alone = {
        problem.part for problem in problems if problem.kind == "down" and problem.gravity is Gravity.BLIND
    }
    return tuple(
        structs.replace(part, state="unreached") if part.state == "down" and part.name in alone else part
        for part in parts
    )


def header_parts(parts: Sequence[Part], problems: Sequence[Problem]) -> tuple[Part, ...]:
    """As `shown_parts`; one that works, and worse than it should, with the state "troubled".

    Workers that are not of this program are no part of it; in trouble they are named all the same.
    """
    troubled = {
        _PART_OF.get(problem.part, problem.part) for problem in problems if problem.gravity > Gravity.NOTE
    }
    named = [
        structs.replace(part, state="troubled") if part.state == "up" and part.name in troubled else part
        for part in shown_parts(parts, problems)
    ]
    if named and "ingest" in troubled and not any(part.name == "ingest" for part in named):
        named.append(Part("workers", "troubled"))
    return tuple(named)


def part_text(name: str, state: str, text: str = "") -> str:
    """``store down connection refused``; what is well is its name and what it is."""
    if state in ("up", "troubled"):
        return f"{name} {text}".rstrip()
    return f"{name} {STATE_WORDS.get(state, state)} {text}".rstrip()
