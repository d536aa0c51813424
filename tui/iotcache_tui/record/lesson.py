"""The summary of a lesson, written from its recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from iotcache_tui.state.lab import LabExport, LabExported, LabView
from iotcache_tui.state.requests import Answer

if TYPE_CHECKING:
    from iotcache_simulator.lab.definition.spec import Scenario
    from iotcache_simulator.lab.state import LabState


class RecordedLesson(NamedTuple):
    """What a recording holds of a run."""

    scenario: Scenario
    state: LabState
    history: list[tuple[float, Mapping[str, float | None]]]


def exported(request: LabExport, view: LabView | None, ticket: int) -> Answer:
    """Write the summary as it stands at this place of the recording."""
    from iotcache_simulator.lab.report import free_path, write_summary

    if view is None or not view.name:
        return Answer(ticket, error="no scenario is on show here")
    path = free_path(Path(request.folder), f"{view.name}-summary")
    try:
        files = write_summary(recorded_lesson(view), path)
    except OSError as error:
        return Answer(ticket, error=f"{path} cannot be written: {error.strerror}")
    return Answer(ticket, LabExported(tuple(map(str, files))))


def recorded_lesson(view: LabView) -> RecordedLesson:
    """The scenario, as far as its screen told of it, with what became of it."""
    from iotcache_simulator.lab.definition.spec import ArmSpec, Question, Scenario, Step

    steps = tuple(
        Step(
            one.title,
            one.say,
            question=None
            if one.question is None
            else Question(one.question.ask, one.question.answers, one.question.right, one.question.why),
        )
        for one in view.steps
    )
    scenario = Scenario(
        title=view.title,
        level="basic",
        minutes=1,
        summary=view.summary,
        teaches=(view.title,),
        step=steps,
        explanation=view.explanation,
        arms=tuple(ArmSpec(side) for side in view.sides),
        plot=tuple(one.metric for one in view.curves if one.plotted),
        name=view.name,
    )
    figures: dict[float, dict[str, float | None]] = {}
    for curve in view.curves:
        for at_s, value in curve.points:
            figures.setdefault(at_s, {})[curve.metric] = value
    return RecordedLesson(scenario, view.state, sorted(figures.items(), key=lambda one: one[0]))
