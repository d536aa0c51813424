"""The lessons as a course: their order, and a sheet for who teaches them, made from their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotcache_simulator.lab.definition.spec import Scenario

ORDER: Final = (
    "ttl-too-short", "ttl-too-long", "slow-database", "cold-start-and-warming", "cache-stampede",
    "early-refresh", "synchronised-expiry", "cache-penetration", "write-policies", "invalidate-race",
    "hot-key", "hot-key-cured", "node-crash-and-remap", "scale-out", "slow-node", "multiget-hole",
    "broker-outage", "eviction-pressure", "how-much-memory", "which-ttl", "slab-classes", "database-collapse",
    "config-push",
)  # fmt: skip
"""From what one entry does to what many nodes and writers do; each builds on those before it."""


def in_order(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """The course; lessons that it does not name come last, as they were given."""
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(scenarios, key=lambda one: places.get(one.name, len(ORDER)))


def sheet(scenario: Scenario) -> str:
    """What a teacher has at hand: aims, steps with what is done and expected, answers, what to sum up."""
    lines = [f"# {scenario.title}", "", scenario.summary, ""]
    command = f"`iotcache-tui lab run {scenario.name}`"
    lines += [f"{command} · {scenario.level} · about {scenario.minutes:g} min", ""]
    lines += ["## Aims", "", *(f"- {one}" for one in scenario.teaches), ""]
    if scenario.needs:
        lines += ["Learners should know " + "; ".join(scenario.needs) + ".", ""]
    for number, step in enumerate(scenario.step, 1):
        lines += [f"## {number}. {step.title}", "", step.say.strip(), ""]
        if step.do:
            lines += ["What is done: " + "; ".join(action.describe() for action in step.do) + ".", ""]
        expected = scenario.expectations(number - 1)
        if expected:
            lines += ["What is to be seen:", "", *(f"- {one.words}" for one in expected), ""]
        question = step.question
        if question is not None:
            lines += [f"**{question.ask}**", ""]
            for place, answer in enumerate(question.answers, 1):
                lines.append(f"{place}. {answer}{' (right)' if place == question.right else ''}")
            lines += ["", question.why, ""]
    return "\n".join([*lines, "## To sum up", "", scenario.explanation.strip(), ""])


def index(scenarios: Sequence[Scenario]) -> str:
    """The page that leads to the sheets."""
    lines = ["# Lessons, in the order of a course", "", "Made from the lessons' files by `make lessons`.", ""]
    lines += ["| | lesson | level | min | one knows afterwards |", "| --- | --- | --- | --- | --- |"]
    for number, one in enumerate(in_order(scenarios), 1):
        link, aims = f"[{one.title}]({one.name}.md)", "; ".join(one.teaches)
        lines.append(f"| {number} | {link} | {one.level} | {one.minutes:g} | {aims} |")
    return "\n".join([*lines, ""])
