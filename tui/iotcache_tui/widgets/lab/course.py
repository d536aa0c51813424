"""How far a learner is in the Lab's course: a line under a lesson's summary, and a page of its own."""

from __future__ import annotations

from collections.abc import Mapping

from iotcache_simulator.lab.certificate import LessonTaken, certificate, missing, taken
from iotcache_simulator.lab.course import ORDER
from iotcache_tui.state.lab import LabView


def lesson_taken(view: LabView, lessons: Mapping[str, LessonTaken], day: str) -> LessonTaken | None:
    """A lesson of the course that a person has just gone through for the first time."""
    if view.auto or view.name in lessons or view.name not in ORDER:
        return None
    rights = [0 if one.question is None else one.question.right for one in view.steps]
    return taken(view.title, view.state, rights, day)


def course_line(
    view: LabView, lessons: Mapping[str, LessonTaken], titles: Mapping[str, str], course_key: str
) -> str:
    """How far the course is, and what comes next; empty while a lesson goes on."""
    if view.auto or view.name not in ORDER or view.state.status != "done":
        return ""
    left = missing(lessons)
    if not left:
        return (
            f"**You have taken all {len(ORDER)} lessons:** {course_key} in the list shows your certificate."
        )
    here = ORDER.index(view.name)
    following = next((name for name in left if ORDER.index(name) > here), left[0])
    return (
        f"{len(ORDER) - len(left)} of {len(ORDER)} lessons taken; next: {titles.get(following, following)}."
    )


def course_page(
    lessons: Mapping[str, LessonTaken], titles: Mapping[str, str], export_key: str, course_key: str
) -> str:
    """The certificate, or what there is of it so far, and the keys of the page."""
    return (
        f"{certificate(lessons, titles)}\n{export_key} writes this page, {course_key} goes back to the list."
    )
