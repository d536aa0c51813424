"""What a step expects: ``METRIC OP VALUE [for SECONDS] [within SECONDS]``, judged second by second.

``then`` before it: it is judged once all those before it are green, and its seconds count from there.
It is green once the condition has held for so many seconds in a row (1 unless said), and red when that has
not happened within so many seconds of the step's beginning (15 unless said).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Final

from msgspec import Struct

from iotcache.errors import ConfigError
from iotcache_simulator.lab.definition.metrics import (
    METRICS,
    amount,
    label_of,
    metric_name,
    metric_of,
    unit_of,
)

WITHIN_S: Final = 15.0
WITHIN_MOST_S: Final = 120.0
_FORM: Final = re.compile(
    r"([a-z0-9_.-]+)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)((?:\s+(?:for|within)\s+\d+(?:\.\d+)?)*)"
)
_OPS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lt, "<=": le, ">": gt, ">=": ge,
    "==": lambda a, b: abs(a - b) < 1e-9, "!=": lambda a, b: abs(a - b) >= 1e-9,
}  # fmt: skip


_SHOWN: Final = {"==": "="}
THEN: Final = "then "
"""Before an expectation: it is judged only once all those before it are green."""


class CheckState(StrEnum):
    PENDING = "pending"
    GREEN = "green"
    RED = "red"


class Expectation(Struct, frozen=True):
    """A parsed condition."""

    text: str
    metric: str
    """With its side, where it has one."""
    op: str
    value: float
    for_s: float
    within_s: float
    then: bool = False
    """Whether it waits for those before it."""

    @property
    def words(self) -> str:
        """As people read it: ``Hit ratio > 90 % for 3 s``."""
        lasting = f" for {self.for_s:g} s" if self.for_s > 1 else ""
        bound = amount(self.value, unit_of(self.metric))
        op = _SHOWN.get(self.op, self.op)
        return f"{THEN if self.then else ''}{label_of(self.metric)} {op} {bound}{lasting}"

    def holds(self, figures: Mapping[str, float | None]) -> bool | None:
        """Whether the condition is met just now; ``None`` while nothing is measured."""
        value = figures.get(self.metric)
        return None if value is None else _OPS[self.op](value, self.value)


def parse_expectation(text: str, arms: tuple[str, ...]) -> Expectation:
    """Raises `ConfigError` with one sentence (without file and line)."""
    bare = text.strip()
    match = _FORM.fullmatch(bare.removeprefix(THEN))
    if match is None:
        raise ConfigError(
            f"{text!r} is no expectation: write METRIC OP VALUE, then 'for SECONDS' and 'within SECONDS' "
            "if need be, for instance 'hit_percent > 90 within 10'"
        )
    metric, op, value, rest = match.groups()
    name, arm = metric_name(metric)
    if metric_of(name) is None and not name.startswith("misses."):
        raise ConfigError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}, misses.REASON")
    if arm not in ("", *arms):
        raise ConfigError(f"{metric!r}: the scenario has no side {arm!r}")
    known = metric_of(name)
    if known is not None and arms and known.of_side and not arm:
        raise ConfigError(
            f"{metric!r}: each side has its own: write {' or '.join(f'{one}.{name}' for one in arms)}"
        )
    if known is not None and arm and not known.of_side:
        raise ConfigError(f"{metric!r}: both sides have it together: write {name}")
    times = dict(re.findall(r"(for|within)\s+(\d+(?:\.\d+)?)", rest))
    within_s = float(times.get("within", WITHIN_S))
    for_s = float(times.get("for", 1))
    if within_s > WITHIN_MOST_S or for_s > within_s:
        raise ConfigError(f"{text!r}: 'within' is at most {WITHIN_MOST_S:g} s, and 'for' no longer than it")
    return Expectation(bare, metric, op, float(value), for_s, within_s, bare.startswith(THEN))


class Check:
    """One expectation under way."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self.state = CheckState.PENDING
        self.value: float | None = None
        """What the metric was at the last update."""
        self.settled_s: float | None = None
        """Seconds after the step's beginning at which it turned green or red."""
        self._held_since_s: float | None = None

    def update(self, figures: Mapping[str, float | None], since_s: float, begun_s: float = 0.0) -> None:
        """One second's figures, ``since_s`` after the step's beginning; its time counts from ``begun_s``."""
        if self.state is not CheckState.PENDING:
            return
        expectation = self.expectation
        self.value = figures.get(expectation.metric)
        if expectation.holds(figures):
            if self._held_since_s is None:
                self._held_since_s = since_s
            if since_s - self._held_since_s >= expectation.for_s - 1.0:
                self.state, self.settled_s = CheckState.GREEN, since_s
                return
        else:
            self._held_since_s = None
        if since_s - begun_s >= expectation.within_s:
            self.state, self.settled_s = CheckState.RED, since_s

    def give_up(self, since_s: float) -> None:
        """Red, as what it waited for did not come."""
        if self.state is CheckState.PENDING:
            self.state, self.settled_s = CheckState.RED, since_s

    def describe(self) -> str:
        """Why it is red."""
        measured = "nothing was measured" if self.value is None else f"it was {self.value:.4g}"
        return f"{self.expectation.text}: {measured} after {self.settled_s or 0:.0f} s"


class StepChecks:
    """The expectations of one step, in their order."""

    def __init__(self, expectations: Sequence[Expectation]) -> None:
        self.checks = tuple(Check(expectation) for expectation in expectations)

    @property
    def settled(self) -> bool:
        return all(check.state is not CheckState.PENDING for check in self.checks)

    def update(self, figures: Mapping[str, float | None], since_s: float) -> None:
        """One second's figures, ``since_s`` after the step's acts were done."""
        begun_s, open_before, red_before = 0.0, False, False
        for check in self.checks:
            if not check.expectation.then:
                check.update(figures, since_s)
            elif red_before:
                check.give_up(since_s)
            elif not open_before and since_s > begun_s:
                # Not the figures that turned the one before it green: what follows comes after.
                check.update(figures, since_s, begun_s)
            open_before |= check.state is CheckState.PENDING
            red_before |= check.state is CheckState.RED
            begun_s = max(begun_s, check.settled_s or 0.0)
