"""One run of a scenario: its own stack, its readers, its steps and checks, and their outcome.

Everything happens on servers that the run starts for itself; leaving it ends all of them. A person drives
it with `ScenarioRun.next`, `ScenarioRun.back` and `ScenarioRun.answer`; by itself (``auto``) it goes on as
soon as a step's checks are settled.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Self

from msgspec import structs

from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError
from iotcache.tasks import end
from iotcache_simulator.lab.definition.actions import AnyAction, Policy
from iotcache_simulator.lab.definition.expectations import CheckState, StepChecks
from iotcache_simulator.lab.definition.metrics import metric_name, unit_of
from iotcache_simulator.lab.definition.scenario import Scenario
from iotcache_simulator.lab.lesson_stack import LessonStack
from iotcache_simulator.lab.pace import Pace
from iotcache_simulator.lab.plan import ScenarioPlan
from iotcache_simulator.lab.state import CheckResult, LabState, Mark, StepResult

HISTORY_S: Final = 900
LOOK_S: Final = 6.0
"""A person sees what a step did for so long before its question stands there."""
BEFORE_S: Final = 3
"""What a step changed is shown against the mean of so many seconds before it."""
_ONCE_THERE: Final = {"errors_per_s", "store_waiting"}
_WHERE_TOLD_OF: Final = {"node_gets_per_s", "nodes_per_request", "store_reads_peak"}
"""Figures that are shown once they are not 0, and those that only some scenarios are about."""


class ScenarioRun:
    """An async context manager; `play` goes through the steps. Raises `StackError` without its servers."""

    def __init__(
        self,
        scenario: Scenario,
        settings: Settings | None = None,
        *,
        auto: bool = False,
        at_reading_pace: bool = False,
        on_change: Callable[[LabState], None] = lambda state: None,
        forced: Policy | None = None,
    ) -> None:
        """Of ``settings`` only which program embedded nodes are is used.

        With ``at_reading_pace`` a run by itself stays at each step until it can be read, and answers the
        questions; without it goes on as soon as the checks are settled.
        ``forced`` overrules every policy of the scenario: for showing that it fails when what it teaches is
        broken.
        """
        self.scenario = scenario
        self.auto = auto
        self.history: deque[tuple[float, Mapping[str, float | None]]] = deque(maxlen=HISTORY_S)
        """(seconds since the readers began, figures), one a second."""
        self._on_change = on_change
        self._state = LabState("starting")
        self.stack = LessonStack(ScenarioPlan(scenario, settings or Settings(), forced), self._report_start)
        """The servers and readers of its own."""
        self._checks = StepChecks(())
        self._judging = False
        self._continue: asyncio.Event = asyncio.Event()
        self._skipping = False
        self._read = at_reading_pace
        self._began_s = 0.0
        self.metrics = dict.fromkeys(
            [*scenario.plot]
            + [one.metric for number in range(len(scenario.step)) for one in scenario.expectations(number)]
        )
        """The metrics that the scenario tells of."""

    @property
    def state(self) -> LabState:
        return self._state

    @property
    def servers(self) -> Settings | None:
        """Settings for looking at this run's servers as its readers do; ``None`` while it has none."""
        return self.stack.settings if self._begun else None

    @property
    def _begun(self) -> bool:
        return bool(self._began_s) and self._state.status != "starting"

    async def improvise(self, action: AnyAction) -> None:
        """Do what no step does, as a presenter likes, with its mark. Raises `IotCacheError`."""
        if not self._begun:
            raise IotCacheError("the scenario's servers are still being started")
        self._update(marks=(*self._state.marks, Mark(self._elapsed(), action.describe())))
        await self.stack.effects.do(action)

    # Start and end

    async def __aenter__(self) -> Self:
        await self.stack.__aenter__()
        self._began_s = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.__aexit__(*_)

    def _report_start(self, text: str) -> None:
        if self._state.status == "starting":
            self._update(message=text)

    def _update(self, **changes: object) -> None:
        self._state = structs.replace(self._state, **changes)
        self._on_change(self._state)

    # Steps

    async def play(self) -> LabState:
        """Go through all steps; returns the last state. Cancel it to end early."""
        watching = asyncio.create_task(self._watch())
        try:
            for number in range(len(self.scenario.step)):
                await self._step(number, watching)
            self._update(status="done", settled=True, shown=len(self.scenario.step))
        except IotCacheError as error:
            self._update(status="failed", message=str(error))
        finally:
            await end(watching)
        return self._state

    def next(self, *, skip: bool = False) -> None:
        """Go on: to the step after, or back to the one that goes on after `back`. ``skip`` does not wait.

        After the last step comes the summary, as a page of its own.
        """
        last = len(self.scenario.step) if self._state.status == "done" else self._state.step
        if self._asks_first() and not skip:
            self._update(asked=True)
            return
        if self._state.shown < last:
            self._update(shown=self._state.shown + 1)
            return
        self._skipping = skip
        self._continue.set()

    def _asks_first(self) -> bool:
        """Whether the step's question is still to come."""
        state = self._state
        here = state.status == "running" and state.shown == state.step
        return (
            here and state.settled and not state.asked and self.scenario.step[state.step].question is not None
        )

    def back(self) -> None:
        """Look at the step before; what was done stays done."""
        if self._state.shown > 0:
            self._update(shown=self._state.shown - 1)

    def note(self, text: str) -> None:
        """A remark of the presenter's, kept among the marks."""
        self._update(marks=(*self._state.marks, Mark(self._elapsed(), text, note=True)))

    def answer(self, number: int) -> None:
        """Answer the question of the step looked at; counted from 1. The first answer stands."""
        steps = list(self._state.steps)
        at = self._state.shown
        asked = at < self._state.step or self._state.asked or self._state.status == "done"
        if at < len(steps) and asked and not steps[at].answered and not steps[at].revealed:
            steps[at] = structs.replace(steps[at], answered=number)
            self._update(steps=tuple(steps))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_s if self._began_s else 0.0

    async def _step(self, number: int, watching: asyncio.Task[None]) -> None:
        step = self.scenario.step[number]
        before = self._recent_means() if number else {}
        self._checks = StepChecks(self.scenario.expectations(number), before)
        self._judging = False
        self._continue.clear()
        self._skipping = False
        began_s = self._elapsed()
        result = StepResult(step.title, self._check_results(), (), began_s, before=before)
        self._update(
            status="running", step=number, shown=number, settled=False, asked=False, message="",
            steps=(*self._state.steps, result),
        )  # fmt: skip
        for action in step.do:
            self._update(marks=(*self._state.marks, Mark(self._elapsed(), action.describe())))
            self._result(did=(*self._state.steps[number].did, action.describe()))
            await self.stack.effects.do(action)
        self._step_began_s = self._elapsed()
        self._judging = True
        pace = Pace.of(step) if self._read else Pace(0.0, 0.0, 0.0)
        ask_s: float | None = None
        while True:
            if watching.done():
                watching.result()  # it ends with an error only, and without it no check ever settles
            settled = self._checks.settled
            if settled != self._state.settled:
                self._update(settled=settled)
            since_s = self._elapsed() - self._step_began_s
            if settled and not self._state.asked and since_s >= (pace.ask_s if self.auto else LOOK_S):
                self._update(asked=True)
            if self.auto and settled and since_s >= max(step.least_s, pace.ask_s):
                ask_s = since_s if ask_s is None else ask_s
                reveal_s = ask_s + pace.reveal_after_s
                if self._read and step.question is not None and since_s >= reveal_s:
                    self._result(revealed=True)
                if since_s >= reveal_s + pace.leave_after_s:
                    break
            if self._continue.is_set() and (settled or self._skipping):
                break
            self._continue.clear()
            try:
                async with asyncio.timeout(0.1):
                    await self._continue.wait()
            except TimeoutError:
                pass
        self._result(
            checks=self._check_results(),
            lasted_s=round(self._elapsed() - began_s, 2),
            skipped=not self._checks.settled,
        )

    def _recent_means(self) -> dict[str, float | None]:
        """The figures as they stood until now: means over the last seconds."""
        recent = list(self.history)[-BEFORE_S:]
        means: dict[str, float | None] = {}
        for name in self.metrics if recent else ():
            known = [value for _, figures in recent if (value := figures.get(name)) is not None]
            means[name] = sum(known) / len(known) if known else None
        return means

    def _result(self, **changes: object) -> None:
        steps = list(self._state.steps)
        steps[-1] = structs.replace(steps[-1], **changes)
        self._update(steps=tuple(steps))

    def _check_results(self) -> tuple[CheckResult, ...]:
        figures = self.history[-1][1] if self.history else {}
        before = self._checks.before
        return tuple(
            CheckResult(
                check.expectation.text,
                check.state.value,
                check.value,
                unit_of(check.expectation.metric),
                None if check.settled_s is None else round(check.settled_s, 1),
                check.expectation.words,
                figures.get(check.expectation.metric)
                if check.state is CheckState.GREEN and check.expectation.holds(figures, before) is False
                else None,
                check.expectation.metric,
                check.reference,
            )
            for check in self._checks.checks
        )

    def describe_failures(self) -> list[str]:
        """Why it did not hold: one sentence for each check that is not green."""
        if self._state.status == "failed":
            return [self._state.message]
        return [
            f"step {number + 1}, {step.title}: {check.text}: "
            + check.measured
            + (f"; {self._state.limited}" if self._state.limited else "")
            for number, step in enumerate(self._state.steps)
            for check in step.checks
            if check.state != CheckState.GREEN
        ]

    async def _watch(self) -> None:
        """Measure and check, once a second."""
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + 1.0, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())
            figures = await self.stack.measure()
            at_s = self._elapsed()
            if self.stack.slow is not None:
                self._update(marks=(*self._state.marks, Mark(at_s, self.stack.slow)), limited=self.stack.slow)
            self.history.append((round(at_s, 2), figures))
            if self._state.status == "running" and self._judging:
                self._checks.update(figures, at_s - self._step_began_s)
                self._result(checks=self._check_results())
            self._update(figures=figures, elapsed_s=round(at_s, 1), seen=self._seen(figures))

    def _seen(self, figures: Mapping[str, float | None]) -> tuple[str, ...]:
        """What was measured by now: its row stays on a screen, though it be nothing for a while."""
        known = dict.fromkeys(self._state.seen)
        for text, value in figures.items():
            name, _ = metric_name(text)
            if name in _WHERE_TOLD_OF and text not in self.metrics:
                continue
            rare = name.startswith("misses.") or name in _ONCE_THERE
            if value is not None and (value or not rare):
                known[name] = None
        return tuple(known)
