"""Conditions on a run's figures: ``lost==0``, ``e2e_p99<250ms``, ``rate>=1990``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from iotcache.errors import UsageError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le,
    ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_UNITS: dict[str, dict[str, float]] = {
    "count": {},
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "rate": {"/s": 1.0},
    "share": {"%": 0.01},
}
_MEASURED_IN = {"ms": " ms", "rate": "/s"}
_FORM = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(==|!=|<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|/s|%)?\s*")


class Condition(Struct, frozen=True):
    """One condition. Durations are compared in milliseconds, shares as parts of 1."""

    text: str
    name: str
    sign: str
    limit: float
    measured_in: str = ""

    def holds(self, figures: Mapping[str, float | None]) -> bool:
        """Whether it held; a figure that was not measured holds nothing."""
        value = figures.get(self.name)
        return value is not None and _OPERATORS[self.sign](value, self.limit)

    def describe(self, figures: Mapping[str, float | None]) -> str:
        """``e2e_p99<250ms: it was 312.5 ms``."""
        value = figures.get(self.name)
        if value is None:
            return f"{self.text}: it was not measured"
        return f"{self.text}: it was {value:.12g}{self.measured_in}"


def parse_condition(text: str, names: Mapping[str, str]) -> Condition:
    """A condition on one of ``names`` (name to kind: ``count``, ``ms``, ``rate`` or ``share``).

    Raises `UsageError`.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--require {text!r}: it must read like 'lost==0' or 'e2e_p99<250ms'")
    name, sign, number, unit = match[1], match[2], float(match[3]), match[4] or ""
    if name not in names:
        raise UsageError(
            f"--require {text!r}: there is no figure {name!r}; there are {', '.join(sorted(names))}"
        )
    kind = names[name]
    allowed = _UNITS[kind]
    if unit and unit not in allowed:
        raise UsageError(f"--require {text!r}: {name} is not measured in {unit!r}")
    scale = allowed.get(unit, 1.0)
    return Condition(text.strip(), name, sign, number * scale, _MEASURED_IN.get(kind, ""))
