"""Who has taken which lessons of the course, as a page for whoever took them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from iotcache.text import plural
from iotcache_simulator.lab.course import ORDER
from iotcache_simulator.lab.state import LabState


class LessonTaken(Struct, frozen=True):
    """One lesson that somebody went through to its end."""

    title: str
    on: str
    """The day, as ``2026-11-30``."""
    right: int = 0
    questions: int = 0


def taken(title: str, state: LabState, rights: Sequence[int], on: str) -> LessonTaken | None:
    """What became of a run; ``None`` for one that was not gone through, or where a step was skipped.

    ``rights``: the right answer of each step, counted from 1; 0 where nothing is asked.
    """
    if state.status != "done" or any(step.skipped for step in state.steps):
        return None
    asked = [(step.answered, right) for step, right in zip(state.steps, rights, strict=False) if right]
    return LessonTaken(title, on, sum(answer == right for answer, right in asked), len(asked))


def missing(lessons: Mapping[str, LessonTaken]) -> list[str]:
    """Names of the course's lessons that were not taken yet, in their order."""
    return [name for name in ORDER if name not in lessons]


def certificate(lessons: Mapping[str, LessonTaken], titles: Mapping[str, str]) -> str:
    """The page, in Markdown: the lessons taken, with the questions that were answered rightly at first.

    ``titles`` names lessons that were not taken.
    """
    course = [lessons[name] for name in ORDER if name in lessons]
    right, questions = sum(one.right for one in course), sum(one.questions for one in course)
    lines = ["# Certificate" if not missing(lessons) else "# The course so far", ""]
    if not missing(lessons):
        lines += [
            "Name: ______________________________", "",
            f"has taken all {len(ORDER)} lessons of *Caching with Memcached*, each on running servers, "
            f"from {min(one.on for one in course)} to {max(one.on for one in course)},", "",
            f"and answered {right} of {plural(questions, 'question')} rightly at the first try.", "",
        ]  # fmt: skip
    else:
        lines += [
            f"{len(course)} of {len(ORDER)} lessons, {right} of {plural(questions, 'question')} right.",
            "",
        ]
    for number, one in enumerate(course, 1):
        answers = f"{one.right} of {one.questions} right" if one.questions else "no question"
        lines.append(f"{number}. {one.title}, {one.on}: {answers}")
    if missing(lessons):
        lines += ["", "**Still to come**", ""]
        lines += [f"- {titles.get(name, name)}" for name in missing(lessons)]
    return "\n".join([*lines, ""])
