"""What became of a run: JSON (schema ``iotcache.lab/1``), and cases for JUnit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from iotcache.text import plural
from iotcache_simulator.lab.definition.expectations import CheckState
from iotcache_simulator.lab.definition.metrics import amount, label_of, metric_name, unit_of
from iotcache_simulator.lab.definition.spec import Scenario
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.lab.state import LabState, Mark, StepResult
from iotcache_simulator.lab.svg import plot
from iotcache_simulator.report.junit import Case

SCHEMA = "iotcache.lab/1"


class Outcome(Protocol):
    """What became of a scenario: a run, or what a recording holds of one."""

    @property
    def scenario(self) -> Scenario: ...
    @property
    def state(self) -> LabState: ...
    @property
    def history(self) -> Sequence[tuple[float, Mapping[str, float | None]]]:
        """(seconds since the readers began, figures)."""
        ...


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
            "" if check.state == CheckState.GREEN else check.measured,
        )
        for number, step in enumerate(state.steps)
        for check in step.checks
    ]
    if state.status != "done":
        results.append(Case("the scenario was finished", state.message or "it was ended early"))
    return results


def write_summary(run: Outcome, path: Path) -> list[Path]:
    """Write the Markdown summary to ``path``, and its plots beside it: both sides of a comparison in one.

    Raises `OSError`.
    """
    plots: dict[str, str] = {}
    for metric in run.scenario.plot:
        name, side = metric_name(metric)
        if name in plots:
            continue
        sides = [f"{one}.{name}" for one in run.scenario.arm_names] if side else [metric]
        curves = {
            label_of(one): [(at, figures.get(one)) for at, figures in run.history]
            for one in sides
            if one in run.scenario.plot
        }
        target = path.with_name(f"{path.stem}-{name}.svg")
        title = label_of(name)
        target.write_text(plot(title, unit_of(name), curves, run.state.marks), "utf-8")
        plots[name] = target.name
    named = {label_of(name): file for name, file in plots.items()}
    path.write_text(markdown(run, named), "utf-8")
    return [path, *(path.with_name(file) for file in plots.values())]


def free_path(folder: Path, stem: str) -> Path:
    """``stem.md`` in ``folder``, or with a number where that is there already: nothing is overwritten."""
    path = folder / f"{stem}.md"
    for number in count(2):
        if not path.exists():
            break
        path = folder / f"{stem}-{number}.md"
    return path


def markdown(run: Outcome, plots: Mapping[str, str] | None = None) -> str:
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
        for title, file in plots.items():
            lines += [f"![{title}]({file})", ""]
    if state.marks:
        lines += ["What was done, and when (the numbers are those in the plots):" if plots else "## When", ""]
        lines += [
            f"{number}. {mark.at_s:.0f} s: {'*remark:* ' if mark.note else ''}{mark.text}"
            for number, mark in enumerate(state.marks, 1)
        ]
        lines.append("")
    return "\n".join([*lines, "## What it means", "", scenario.explanation.strip(), ""])


def _verdict(run: Outcome) -> str:
    state = run.state
    limited = f"; {state.limited}" if state.limited else ""
    if state.passed:
        return f"every expectation held{limited}"
    if state.status == "failed":
        return f"it could not go on: {state.message}"
    states = [check.state for step in state.steps for check in step.checks]
    passed = f"{states.count(CheckState.GREEN.value)} of {plural(len(states), 'expectation')} held"
    passed += limited
    return passed if state.status == "done" else f"ended in step {state.step + 1}: {passed}"
