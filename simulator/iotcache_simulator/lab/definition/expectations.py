"""What a step expects: ``METRIC OP VALUE [for SECONDS] [within SECONDS]``, judged second by second.

``VALUE`` is a number, or a share: ``50% of METRIC`` of another figure of the same second, ``50% of before``
of what it was before the step. A share holds on a slow machine as on a quick one.

``then`` before it: it is judged once all those before it are green, and its seconds count from there.
It is green once the condition has held for so many seconds in a row (1 unless said), and red when that has
not happened within so many seconds of the step's beginning (15 unless said).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from operator import ge, gt, le, lt
from types import MappingProxyType
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
    r"([a-z0-9_.-]+)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)(?:\s*%\s+of\s+([a-z0-9_.-]+))?"
    r"((?:\s+(?:for|within)\s+\d+(?:\.\d+)?)*)"
)
_OPS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lt, "<=": le, ">": gt, ">=": ge,
    "==": lambda a, b: abs(a - b) < 1e-9, "!=": lambda a, b: abs(a - b) >= 1e-9,
}  # fmt: skip


_SHOWN: Final = {"==": "="}
BEFORE: Final = "before"
"""As what a share is of: the same metric's mean over the seconds before the step."""
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
    of: str = ""
    """What ``value`` is so many percent of: a metric, or `BEFORE`; empty where it is the bound itself."""

    @property
    def words(self) -> str:
        """As people read it: ``Hit ratio > 90 % for 3 s``."""
        lasting = f" for {self.for_s:g} s" if self.for_s > 1 else ""
        bound = amount(self.value, "%" if self.of else unit_of(self.metric))
        if self.of:
            bound += f" of {self.of if self.of == BEFORE else label_of(self.of)}"
        op = _SHOWN.get(self.op, self.op)
        return f"{THEN if self.then else ''}{label_of(self.metric)} {op} {bound}{lasting}"

    def reference(
        self, figures: Mapping[str, float | None], before: Mapping[str, float | None]
    ) -> float | None:
        """What the bound is a share of just now; ``None`` where it is none, or nothing to compare with."""
        if not self.of:
            return None
        return (before.get(self.metric) if self.of == BEFORE else figures.get(self.of)) or None

    def holds(
        self, figures: Mapping[str, float | None], before: Mapping[str, float | None] = MappingProxyType({})
    ) -> bool | None:
        """Whether the condition is met just now; ``None`` while nothing is measured.

        A share of nothing says nothing: where nobody reads, few misses are no merit.
        """
        value, bound = figures.get(self.metric), self.value
        if self.of:
            reference = self.reference(figures, before)
            if reference is None:
                return None
            bound *= reference / 100.0
        return None if value is None else _OPS[self.op](value, bound)


def parse_expectation(text: str, arms: tuple[str, ...]) -> Expectation:
    """Raises `ConfigError` with one sentence (without file and line)."""
    bare = text.strip()
    match = _FORM.fullmatch(bare.removeprefix(THEN))
    if match is None:
        raise ConfigError(
            f"{text!r} is no expectation: write METRIC OP VALUE, then 'for SECONDS' and 'within SECONDS' "
            "if need be, for instance 'hit_percent > 90 within 10'; VALUE may be '50% of METRIC'"
        )
    metric, op, value, of, rest = match.groups()
    for one in (metric, of or BEFORE):
        if one != BEFORE:
            _refuse_unknown(one, arms)
    times = dict(re.findall(r"(for|within)\s+(\d+(?:\.\d+)?)", rest))
    within_s = float(times.get("within", WITHIN_S))
    for_s = float(times.get("for", 1))
    if within_s > WITHIN_MOST_S or for_s > within_s:
        raise ConfigError(f"{text!r}: 'within' is at most {WITHIN_MOST_S:g} s, and 'for' no longer than it")
    return Expectation(bare, metric, op, float(value), for_s, within_s, bare.startswith(THEN), of or "")


def _refuse_unknown(metric: str, arms: tuple[str, ...]) -> None:
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


class Check:
    """One expectation under way."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self.state = CheckState.PENDING
        self.value: float | None = None
        """What the metric was at the last update."""
        self.reference: float | None = None
        """What its bound was a share of then."""
        self.settled_s: float | None = None
        """Seconds after the step's beginning at which it turned green or red."""
        self._held_since_s: float | None = None
        self._seen_s = 0.0

    def update(
        self,
        figures: Mapping[str, float | None],
        since_s: float,
        begun_s: float = 0.0,
        before: Mapping[str, float | None] = MappingProxyType({}),
    ) -> None:
        """One second's figures, ``since_s`` after the step's beginning; its time counts from ``begun_s``."""
        if self.state is not CheckState.PENDING:
            return
        expectation = self.expectation
        self.value = figures.get(expectation.metric)
        self.reference = expectation.reference(figures, before)
        holds = expectation.holds(figures, before)
        seen_s, self._seen_s = self._seen_s, since_s
        if holds is None:
            # A second without a figure, as when a busy node answers late, proves nothing and refutes nothing.
            if self._held_since_s is not None:
                self._held_since_s += since_s - seen_s
        elif holds:
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

    def __init__(
        self,
        expectations: Sequence[Expectation],
        before: Mapping[str, float | None] = MappingProxyType({}),
    ) -> None:
        """``before``: the figures as they were before the step."""
        self.before = before
        self.checks = tuple(Check(expectation) for expectation in expectations)

    @property
    def settled(self) -> bool:
        return all(check.state is not CheckState.PENDING for check in self.checks)

    def update(self, figures: Mapping[str, float | None], since_s: float) -> None:
        """One second's figures, ``since_s`` after the step's acts were done."""
        begun_s, open_before, red_before = 0.0, False, False
        for check in self.checks:
            if not check.expectation.then:
                check.update(figures, since_s, before=self.before)
            elif red_before:
                check.give_up(since_s)
            elif not open_before and since_s > begun_s:
                # Not the figures that turned the one before it green: what follows comes after.
                check.update(figures, since_s, begun_s, self.before)
            open_before |= check.state is CheckState.PENDING
            red_before |= check.state is CheckState.RED
            begun_s = max(begun_s, check.settled_s or 0.0)
