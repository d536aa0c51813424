"""What became of a run: JSON (schema ``iotcache.lab/1``), and cases for JUnit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from iotcache.text import plural
from iotcache_simulator.lab.definition.expectations import CheckState
from iotcache_simulator.lab.definition.metrics import amount, unit_of
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.lab.state import Mark, StepResult
from iotcache_simulator.lab.svg import plot
from iotcache_simulator.report.junit import Case

SCHEMA = "iotcache.lab/1"


class LabReport(Struct, frozen=True, kw_only=True):
    """One run. Times are seconds since the readers began."""

    schema: str = SCHEMA
    program: str
    scenario: str
    title: str
    ok: bool
    status: str
    failures: tuple[str, ...]
    started: str
    elapsed_s: float
    steps: tuple[StepResult, ...]
    marks: tuple[Mark, ...]
    history: Mapping[str, tuple[float | None, ...]]
    """The metrics of the scenario's plot, one figure a second; ``at_s`` says when."""

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def report_of(run: ScenarioRun, *, started: str) -> LabReport:
    """The report of a run that is over."""
    state, scenario = run.state, run.scenario
    history: dict[str, tuple[float | None, ...]] = {"at_s": tuple(at for at, _ in run.history)}
    for metric in scenario.plot:
        history[metric] = tuple(figures.get(metric) for _, figures in run.history)
    return LabReport(
        program=f"iotcache-tui {version('iotcache-tui')}",
        scenario=scenario.name,
        title=scenario.title,
        ok=state.passed,
        status=state.status,
        failures=tuple(run.describe_failures()),
        started=started,
        elapsed_s=state.elapsed_s,
        steps=state.steps,
        marks=state.marks,
        history=history,
    )


def cases(run: ScenarioRun) -> list[Case]:
    """One for each expectation; a run that could not be finished is one more."""
    state = run.state
    results = [
        Case(
            f"{number + 1} {step.title}: {check.text}",
            ""
            if check.state == CheckState.GREEN
            else ("nothing was measured" if check.value is None else f"it was {check.value:.4g}"),
        )
        for number, step in enumerate(state.steps)
        for check in step.checks
    ]
    if state.status != "done":
        results.append(Case("the scenario was finished", state.message or "it was ended early"))
    return results


def write_summary(run: ScenarioRun, path: Path) -> list[Path]:
    """Write the Markdown summary to ``path``, and a plot of each metric beside it. Raises `OSError`."""
    plots = []
    for metric in run.scenario.plot:
        points = [(at, figures.get(metric)) for at, figures in run.history]
        target = path.with_name(f"{path.stem}-{metric}.svg")
        target.write_text(plot(metric, unit_of(metric), points, run.state.marks), "utf-8")
        plots.append(target)
    path.write_text(markdown(run, [target.name for target in plots]), "utf-8")
    return [path, *plots]


def markdown(run: ScenarioRun, plots: Sequence[str] = ()) -> str:
    """The summary for a learner: what was expected, what happened, the explanation."""
    scenario, state = run.scenario, run.state
    lines = [
        f"# {scenario.title}",
        "",
        scenario.summary,
        "",
        f"*{state.elapsed_s:.0f} s, {_verdict(run)}*",
        "",
    ]
    for number, step in enumerate(state.steps):
        lines += [f"## {number + 1}. {step.title}", "", scenario.step[number].say.strip(), ""]
        lines += [f"- done: {action}" for action in step.did]
        lines += [
            f"- {'✓' if check.state == CheckState.GREEN else '✗'} {check.words or check.text}: "
            + amount(check.value, check.unit)
            + ("" if check.after_s is None else f" after {check.after_s:.0f} s")
            + ("" if check.now is None else f"; at the end of the step {amount(check.now, check.unit)}")
            for check in step.checks
        ]
        question = scenario.step[number].question
        if question is not None:
            right = question.answers[question.right - 1]
            if step.answered == question.right:
                verdict = f"Answered rightly: {right}."
            elif step.answered:
                verdict = f"Answered: {question.answers[step.answered - 1]}. Right is: {right}."
            else:
                verdict = f"Right is: {right}."
            lines += ["", f"**{question.ask}** {verdict} {question.why}"]
        lines.append("")
    if plots:
        lines += ["## The figures over time", ""]
        for metric, name in zip(scenario.plot, plots, strict=False):
            lines += [f"![{metric}]({name})", ""]
    if state.marks:
        lines += ["What was done, and when (the numbers are those in the plots):" if plots else "## When", ""]
        lines += [
            f"{number}. {mark.at_s:.0f} s: {'*remark:* ' if mark.note else ''}{mark.text}"
            for number, mark in enumerate(state.marks, 1)
        ]
        lines.append("")
    return "\n".join([*lines, "## What it means", "", scenario.explanation.strip(), ""])


def _verdict(run: ScenarioRun) -> str:
    state = run.state
    if state.passed:
        return "every expectation held"
    if state.status == "failed":
        return f"it could not go on: {state.message}"
    states = [check.state for step in state.steps for check in step.checks]
    passed = f"{states.count(CheckState.GREEN.value)} of {plural(len(states), 'expectation')} held"
    return passed if state.status == "done" else f"ended in step {state.step + 1}: {passed}"
