"""The guided tour: what it says when, and what it does to a cache node, as a function of time."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct


class TourStep(Struct, frozen=True):
    """One step."""

    title: str
    text: str
    seconds: float
    act: Literal["", "kill", "restart"] = ""
    """What happens to the node as it begins."""


STEPS: Final[tuple[TourStep, ...]] = (
    TourStep(
        "What a row says",
        "A row is one sensor of one device: its value, how old it is, and a bar for the life that its "
        "cache entry has left. From says where this dashboard read it: cache, or store.",
        14,
    ),
    TourStep(
        "A cache node dies",
        "One of the three nodes has just been killed. The line under the tabs says so, and the nodes' "
        "figure falls to 2 of 3.",
        10,
        "kill",
    ),
    TourStep(
        "Its readings fall back to the store",
        "The first reads of its keys go to the store: each is listed with its reason. Then another node "
        "keeps them in its stead. Nothing is lost.",
        14,
    ),
    TourStep(
        "It is back, and empty",
        "The node runs again. The first read or write of each key fills it: watch the bars come back "
        "and From turn to cache.",
        14,
        "restart",
    ),
    TourStep(
        "That is all",
        "? lists the keys of a screen, 0 goes to the gravest problem, 6 opens the Lab with lessons "
        "such as this one. iotcache-tui --tour shows this again.",
        8,
    ),
)
"""A minute in all."""


def step_at(seconds: float) -> int | None:
    """The number of the step that is shown so long after the beginning; ``None`` once it is over."""
    for number, step in enumerate(STEPS):
        if seconds < step.seconds:
            return number
        seconds -= step.seconds
    return None


def share_at(seconds: float) -> float:
    """How much of the tour is over, 0 to 1."""
    return min(max(seconds / sum(step.seconds for step in STEPS), 0.0), 1.0)
