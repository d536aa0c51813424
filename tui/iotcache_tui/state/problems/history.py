"""Since when each problem stands, and what of it is an event."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from iotcache.model import Severity
from iotcache_tui.format import duration
from iotcache_tui.state.problems.problem import SEVERITIES, Gravity, Problem

STEADY_S = 2.0
"""What is no outage is an event only once it has stood so long: figures near a limit come and go."""

Key = tuple[str, str, str]


class Change(Struct, frozen=True):
    """A problem that began, or is over."""

    part: str
    severity: Severity
    subject: str
    text: str
    """Without the subject."""
    at_s: float
    """Monotonic time: when it began, or when it was over."""


class _Standing(Struct):
    problem: Problem
    since_s: float
    is_logged: bool


class ProblemHistory:
    """Given the list again and again, it knows what is new in it."""

    def __init__(self) -> None:
        self._standing: dict[Key, _Standing] = {}

    def update(
        self, found: Sequence[Problem], now_s: float, *, quietly: bool = False
    ) -> tuple[tuple[Problem, ...], list[Change]]:
        """The same list with the time since when each stands, and what began or ended since the last call.

        ``quietly``: nothing of it is news.
        """
        changes: list[Change] = []
        dated: list[Problem] = []
        before, self._standing = self._standing, {}
        for each in found:
            known = before.pop(each.key, None)
            since_s = each.since_s or (known.since_s if known else now_s)
            if known is not None and each.gravity >= Gravity.BLIND:
                # A node is out from its failure on, however often it is tried meanwhile.
                since_s = min(since_s, known.since_s)
            problem = structs.replace(each, since_s=since_s)
            dated.append(problem)
            is_logged = quietly or (known is not None and known.is_logged)
            if not is_logged and (problem.gravity >= Gravity.BLIND or now_s - since_s >= STEADY_S):
                is_logged = True
                if not problem.has_events:
                    changes.append(_began(problem, since_s))
            elif (
                known
                and is_logged
                and not quietly
                and known.problem.label != problem.label
                and not problem.has_events
            ):
                changes.append(_began(problem, now_s))  # what is known of it now is another thing
            self._standing[problem.key] = _Standing(problem, since_s, is_logged)
        changes += [
            _ended(old.problem, old.since_s, now_s)
            for old in before.values()
            if old.is_logged and not old.problem.has_events and not quietly
        ]
        return tuple(dated), changes


def _began(problem: Problem, at_s: float) -> Change:
    text = " · ".join(part for part in (problem.label, problem.cause, problem.effect) if part)
    return Change(problem.part, SEVERITIES[problem.gravity], problem.what, text, at_s)


def _ended(problem: Problem, since_s: float, now_s: float) -> Change:
    text = f"over after {duration(now_s - since_s)}: {problem.label}"
    return Change(problem.part, Severity.INFO, problem.what, text, now_s)
