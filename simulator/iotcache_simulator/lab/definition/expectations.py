"""What a step expects: ``METRIC OP VALUE [for SECONDS] [within SECONDS]``, judged second by second.

It is green once the condition has held for so many seconds in a row (1 unless said), and red when that has
not happened within so many seconds of the step's beginning (15 unless said).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Final

from msgspec import Struct

from iotcache.errors import ConfigError
from iotcache_simulator.lab.definition.metrics import METRICS, metric_name

WITHIN_S: Final = 15.0
WITHIN_MOST_S: Final = 120.0
_FORM: Final = re.compile(
    r"([a-z0-9_.-]+)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)((?:\s+(?:for|within)\s+\d+(?:\.\d+)?)*)"
)
_OPS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lt, "<=": le, ">": gt, ">=": ge,
    "==": lambda a, b: abs(a - b) < 1e-9, "!=": lambda a, b: abs(a - b) >= 1e-9,
}  # fmt: skip


class CheckState(StrEnum):
    PENDING = "pending"
    GREEN = "green"
    RED = "red"


class Expectation(Struct, frozen=True):
    """A parsed condition."""

    text: str
    metric: str
    op: str
    value: float
    for_s: float
    within_s: float


def parse_expectation(text: str, arms: tuple[str, ...]) -> Expectation:
    """Raises `ConfigError` with one sentence (without file and line)."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"{text!r} is no expectation: write METRIC OP VALUE, then 'for SECONDS' and 'within SECONDS' "
            "if need be, for instance 'hit_percent > 90 within 10'"
        )
    metric, op, value, rest = match.groups()
    name, arm = metric_name(metric)
    if name not in METRICS and not name.startswith("misses."):
        raise ConfigError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}, misses.REASON")
    if arm not in ("", *arms):
        raise ConfigError(f"{metric!r}: the scenario has no side {arm!r}")
    times = dict(re.findall(r"(for|within)\s+(\d+(?:\.\d+)?)", rest))
    within_s = float(times.get("within", WITHIN_S))
    for_s = float(times.get("for", 1))
    if within_s > WITHIN_MOST_S or for_s > within_s:
        raise ConfigError(f"{text!r}: 'within' is at most {WITHIN_MOST_S:g} s, and 'for' no longer than it")
    return Expectation(text.strip(), metric, op, float(value), for_s, within_s)


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

    def update(self, figures: Mapping[str, float | None], since_s: float) -> None:
        """One second's figures, ``since_s`` after the step's beginning."""
        if self.state is not CheckState.PENDING:
            return
        expectation = self.expectation
        self.value = figures.get(expectation.metric)
        if self.value is not None and _OPS[expectation.op](self.value, expectation.value):
            if self._held_since_s is None:
                self._held_since_s = since_s
            if since_s - self._held_since_s >= expectation.for_s - 1.0:
                self.state, self.settled_s = CheckState.GREEN, since_s
                return
        else:
            self._held_since_s = None
        if since_s >= expectation.within_s:
            self.state, self.settled_s = CheckState.RED, since_s

    def describe(self) -> str:
        """Why it is red."""
        measured = "nothing was measured" if self.value is None else f"it was {self.value:.4g}"
        return f"{self.expectation.text}: {measured} after {self.settled_s or 0:.0f} s"
