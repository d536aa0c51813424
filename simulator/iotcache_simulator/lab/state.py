"""How a run stands: plain values, for a screen, a recording and the report."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class CheckResult(Struct, frozen=True, rename={"state": "light"}):
    """One expectation as a screen shows it."""

    text: str
    state: str
    """``pending``, ``green`` or ``red``."""
    value: float | None
    unit: str
    after_s: float | None = None
    """Seconds after the step's beginning at which it was settled."""
    words: str = ""
    """The condition as people read it."""
    now: float | None = None
    """What the metric has become since, where that is not what a green light says any more."""
    metric: str = ""
    """What it is about, with its side."""
    reference: float | None = None
    """What the bound is a share of, at the same moment as ``value``; ``None`` where it is no share."""

    @property
    def measured(self) -> str:
        """As the end of a sentence that says why it is red."""
        if self.value is None:
            return "nothing was measured"
        return f"it was {self.value:.4g}" + ("" if self.reference is None else f" of {self.reference:.4g}")


class Mark(Struct, frozen=True):
    """Something was done."""

    at_s: float
    """Seconds since the readers began."""
    text: str
    note: bool = False
    """Whether it is a presenter's remark."""


class StepResult(Struct, frozen=True, rename={"checks": "lights"}):
    """What became of one step."""

    title: str
    checks: tuple[CheckResult, ...]
    did: tuple[str, ...]
    began_s: float
    lasted_s: float = 0.0
    skipped: bool = False
    answered: int = 0
    """The answer chosen, counted from 1; 0 for none. The first one counts."""
    revealed: bool = False
    """Whether the right answer was shown without one being given."""
    before: Mapping[str, float | None] = {}
    """The figures just before the step's acts."""


class LabState(Struct, frozen=True):
    """All that a screen needs."""

    status: str
    """starting, running, done or failed."""
    step: int = 0
    """The step that goes on, counted from 0."""
    shown: int = 0
    """The step looked at: an earlier one after `Run.back`."""
    settled: bool = False
    """Whether every check of the step is green or red."""
    elapsed_s: float = 0.0
    figures: Mapping[str, float | None] = {}
    marks: tuple[Mark, ...] = ()
    steps: tuple[StepResult, ...] = ()
    """One for each step begun."""
    asked: bool = False
    """Whether the step's question stands there: after a look at what happened."""
    seen: tuple[str, ...] = ()
    """Names, without sides, of what was measured in this run; a reason of misses once there was one."""
    message: str = ""
    """While starting: what is being done; when failed: why."""
    limited: str = ""
    """What this machine gives of the reads that the scenario asks for, where that is too little."""

    @property
    def passed(self) -> bool:
        """Whether the scenario is through and every expectation held."""
        return self.status == "done" and all(
            check.state == "green" for step in self.steps for check in step.checks
        )
