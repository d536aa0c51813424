"""What a screen asks of the feed, and what comes back: questions, and acts that change something."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Request(Struct, frozen=True):
    """Base of all questions and acts. A screen builds one and hands it to ``app.ask``.

    What answers it is named in `iotcache_tui.feed.dispatcher.HANDLERS`. Equal requests are equal values: a
    replay finds
    the recorded answer by that.
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
