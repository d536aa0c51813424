"""What the advisor has seen and what it advises, as it crosses the thread line; and what is asked of it."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct

from iotcache.advisor.advice import Advice
from iotcache.advisor.evidence import Evidence
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.predictions import Checked
from iotcache_tui.state.requests import Request

MEASURES: Final = ("gets", "misses", "sets", "bytes", "prefixes")
"""By what keys are ranked."""


class RunAdvisor(Request, frozen=True):
    """Begin or end looking at the nodes' requests. It changes nothing in them, but costs them a little."""

    on: bool


class ChangeTtl(Request, frozen=True):
    """Let the worker and the readers that this dashboard started store entries for another time.

    They start anew with it, and the dashboard's own reads follow. Answers: what was set, in words.
    """

    acts: ClassVar[bool] = True
    entries: str = ""
    """A name of `iotcache.ttl.LIVES`; empty for none."""
    factor: float = 1.0
    """Of the life that they have now."""
    jitter: float | None = None
    """Share of every life that is spread from now on; ``None`` as before."""


class AdvisorView(Struct, frozen=True, kw_only=True):
    """The advisor as it stands."""

    running: bool = False
    why: str = ""
    """Why there is nothing to see, or not all; safe to show."""
    at_s: float = 0.0
    """Monotonic time of the look."""
    evidence: Evidence | None = None
    """``None`` before the first look."""
    advice: tuple[Advice, ...] = ()
    top: tuple[tuple[HotKey, ...], ...] = ()
    """The most frequent keys by each of `MEASURES`."""
    checked: tuple[Checked, ...] = ()
    notes: tuple[str, ...] = ()
