"""Runs scenarios for the Lab screen, each on servers of its own, in the feed's loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import structs

from iotcache.errors import IotCacheError, UsageError
from iotcache.model import Event, Severity
from iotcache.text import printable
from iotcache_simulator.lab.definition import actions
from iotcache_simulator.lab.definition.metrics import plotted_as, unit_of
from iotcache_simulator.lab.definition.scenario import Scenario, catalogue, find
from iotcache_simulator.lab.pace import reading_s
from iotcache_simulator.lab.run import ScenarioRun
from iotcache_simulator.lab.state import LabState
from iotcache_tui.feed.request_context import LabContext
from iotcache_tui.state.lab import (
    NO_LAB,
    LabCatalogue,
    LabCurve,
    LabDo,
    LabEntry,
    LabExport,
    LabExported,
    LabImprovise,
    LabQuestion,
    LabRun,
    LabStep,
    LabView,
    LoadLabCatalogue,
)
from iotcache_tui.state.updates import Latest

TELL_S = 0.2
"""The screen is told of changes at most so often."""
PLOTTED_S = 240


def _safe(text: str, limit: int = 4_000) -> str:
    return "\n".join(printable(line, limit) for line in text.strip().splitlines())


async def catalogue_of(request: LoadLabCatalogue, context: LabContext) -> LabCatalogue:
    """Files are read in a thread."""
    scenarios, wrong = await asyncio.to_thread(catalogue)
    return LabCatalogue(
        tuple(
            LabEntry(
                one.name, _safe(one.title), one.level, one.minutes, _safe(one.summary),
                tuple(map(_safe, one.teaches)), tuple(map(_safe, one.needs)), len(one.step),
            )
            for one in scenarios
        ),
        tuple(printable(str(error), 400) for error in wrong),
    )  # fmt: skip


async def run(request: LabRun, context: LabContext) -> None:
    """One scenario; in an unattended show all of them in turn, for ever."""
    if context.lab is not None:
        raise UsageError("a scenario is being run already: leave it first")
    name = request.name
    while True:
        scenario = await asyncio.to_thread(find, name)
        await _through(scenario, request.auto, context)
        if not request.auto:
            return
        scenarios, _ = await asyncio.to_thread(catalogue)
        names = [one.name for one in scenarios]
        at = names.index(scenario.name) if scenario.name in names else -1
        name = names[(at + 1) % len(names)]


async def _through(scenario: Scenario, auto: bool, context: LabContext) -> None:
    changed = asyncio.Event()
    made = ScenarioRun(
        scenario, context.settings, auto=auto, at_reading_pace=auto, on_change=lambda state: changed.set()
    )
    context.lab = made
    telling = asyncio.create_task(_tell(made, changed, context))
    try:
        _put(made, context)
        async with made:
            await made.play()
            _put(made, context)
            # The end stays on show until it is left; an unattended show goes on when it has been read.
            await asyncio.sleep(10 + reading_s(scenario.explanation) if auto else 86_400)
    except IotCacheError as error:
        failed = LabState("failed", message=printable(str(error), 400))
        _put(made, context, failed)
        await asyncio.sleep(20 if auto else 86_400)
    finally:
        telling.cancel()
        context.lab = None
        context.mailbox.put_latest(Latest(lab=NO_LAB))


async def _tell(made: ScenarioRun, changed: asyncio.Event, context: LabContext) -> None:
    steps = marks = 0
    while True:
        await changed.wait()
        changed.clear()
        _put(made, context)
        for number, step in enumerate(made.state.steps[steps:], steps + 1):
            _log(context, "lab.step", f"step {number}: {step.title}")
        for mark in made.state.marks[marks:]:
            _log(context, "lab.remark" if mark.note else "lab.act", mark.text)
        steps, marks = len(made.state.steps), len(made.state.marks)
        await asyncio.sleep(TELL_S)


def _log(context: LabContext, kind: str, text: str) -> None:
    """Into the log of events, and so among the marks of a recording."""
    event = Event(context.clock.now(), kind, Severity.INFO, "lab", printable(text, 200))
    context.mailbox.put_event(event)


def _put(made: ScenarioRun, context: LabContext, state: LabState | None = None) -> None:
    view = structs.replace(view_of(made, state or made.state), beside=context.beside_others)
    context.mailbox.put_latest(Latest(lab=view))


def view_of(made: ScenarioRun, state: LabState) -> LabView:
    """What a screen shows of a run as it stood."""
    scenario = made.scenario
    history = list(made.history)[-PLOTTED_S:]
    return LabView(
        scenario.name,
        _safe(scenario.title),
        scenario.level,
        tuple(
            LabStep(
                _safe(step.title),
                _safe(step.say),
                step.point,
                None
                if step.question is None
                else LabQuestion(
                    _safe(step.question.ask),
                    tuple(map(_safe, step.question.answers)),
                    step.question.right,
                    _safe(step.question.why),
                ),
                tuple(dict.fromkeys(plotted_as(one.metric) for one in scenario.expectations(number))),
            )
            for number, step in enumerate(scenario.step)
        ),
        _safe(scenario.summary),
        _safe(scenario.explanation),
        scenario.arm_names,
        state,
        tuple(
            LabCurve(
                metric,
                unit_of(metric),
                tuple((at, figures.get(metric)) for at, figures in history),
                metric in scenario.plot,
            )
            for metric in made.metrics
        ),
        made.auto,
        scenario.stack.nodes + scenario.stack.spares,
    )


def _current(context: LabContext) -> ScenarioRun:
    if context.lab is None:
        raise UsageError("no scenario is being run")
    return context.lab


async def do(request: LabDo, context: LabContext) -> None:
    """Drive the run."""
    made = _current(context)
    if request.what in ("next", "skip"):
        made.next(skip=request.what == "skip")
    elif request.what == "back":
        made.back()
    elif request.what == "answer":
        made.answer(request.number)
    elif request.what == "note":
        made.note(printable(request.text, 200))


async def improvise(request: LabImprovise, context: LabContext) -> None:
    """Raises `UsageError` for what is no act."""
    made = _current(context)
    await made.improvise(_action(request))


def _action(request: LabImprovise) -> actions.AnyAction:
    node = request.node
    match request.act, bool(node):
        case "kill", True:
            return actions.Kill(node=node)
        case "pause", True:
            return actions.Pause(node=node)
        case "resume", True:
            return actions.Resume(node=node)
        case "restart", True:
            return actions.Restart(node=node)
        case "kill", False:
            return actions.BrokerAction(to="stop")
        case "pause", False:
            return actions.BrokerAction(to="pause")
        case "resume", False:
            return actions.BrokerAction(to="resume")
        case "restart", False:
            return actions.BrokerAction(to="start")
        case "store", _:
            return actions.StoreAction(delay_ms=request.value)
        case "fleet", _:
            return actions.FleetAction(load=request.value)
        case "flush", _:
            return actions.Flush()
    raise UsageError(f"there is no act {printable(request.act, 40)!r}")


async def export(request: LabExport, context: LabContext) -> LabExported:
    """Markdown and SVG, written in a thread."""
    from iotcache_simulator.lab.report import free_path, write_summary

    made = None if request.certificate else _current(context)
    path = free_path(Path(request.folder), "certificate" if made is None else f"{made.scenario.name}-summary")
    try:
        if made is None:
            await asyncio.to_thread(path.write_text, request.certificate, "utf-8")
            files = [path]
        else:
            files = await asyncio.to_thread(write_summary, made, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return LabExported(tuple(printable(str(file), 300) for file in files))
