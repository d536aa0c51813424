"""What a screen asks of the feed, and what comes back: questions, and acts that change something.

Requests about one subject stand beside its values (`iotcache_tui.state.nodes.model` and its like); here are
their base and those that any screen may make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from iotcache.model import Series

READ_ONLY = "this dashboard is read-only: start it with --no-read-only to change things"
"""Why an act is refused in read-only mode."""


class Request(Struct, frozen=True):
    """Base of all questions and acts. A screen builds one and hands it to ``app.ask``.

    What answers it stands in `iotcache_tui.feed.answers.route`. Equal requests are equal values: a
    replay finds the recorded answer by that.
    """

    acts: ClassVar[bool] = False
    """Whether it changes a node, the store or a process: refused in read-only mode."""
    shows_payload: ClassVar[bool] = False
    """Whether its answer holds raw bytes of a device's: recorded only when that was asked for."""


class Answer(Struct, frozen=True):
    """One piece of what a request brought; a long one comes in several, with progress."""

    ticket: int
    value: Any = None
    """What the request's own documentation says; ``None`` beside an error, and at the end."""
    done: bool = True
    """Whether it is the last one of its ticket."""
    error: str = ""
    """Why it could not be done, in one sentence that is safe to show."""


OnAnswer = Callable[[Answer], None]
"""Called in the screen's thread with each answer of a request; the last one has ``done``."""


class RequestChannel(Protocol):
    """Asks the feed, and stops waiting for it."""

    def ask(self, request: Request, on_answer: OnAnswer) -> int:
        """Hand a request to the feed; returns the ticket that its answers carry."""
        ...

    def forget(self, ticket: int) -> None:
        """Stop waiting for a ticket's answers, and the work for them."""
        ...


class WarmSeries(Request, frozen=True):
    """Read series through the cache, so that those that are missing are put back. Answers:
    `ActionProgress`."""

    acts: ClassVar[bool] = True
    series: tuple[Series, ...]


class InvalidateSeries(Request, frozen=True):
    """Delete the latest entries of series; the next read of each goes to the store. Answers:
    `ActionProgress`."""

    acts: ClassVar[bool] = True
    series: tuple[Series, ...]


class ActionProgress(Struct, frozen=True):
    """How far a long act is."""

    done: int
    total: int
    changed: int
    """Of those done, how many were really filled or deleted."""
    failed: int = 0
    why: str = ""
    """Of the last one that failed; safe to show."""


class AcknowledgeAlerts(Request, frozen=True):
    """Say that somebody knows of these alerts, each named by name and subject."""

    acts: ClassVar[bool] = True
    alerts: tuple[tuple[str, str], ...]


class SwitchPart(Request, frozen=True):
    """Do something to a part that the dashboard started: ``kill``, ``pause``, ``resume`` or ``restart``."""

    acts: ClassVar[bool] = True
    part: str
    """"broker", "ingest", "simulator" or "node HOST:PORT"."""
    what: str


class TurnLoad(Request, frozen=True):
    """Let the fleet send so many times what it was asked to."""

    acts: ClassVar[bool] = True
    factor: float


class SlowStore(Request, frozen=True):
    """Let every read of the store by this dashboard take so much longer, in milliseconds."""

    acts: ClassVar[bool] = True
    delay_ms: float
