"""Acts on series that any screen may ask for."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from iotcache.model import Series
from iotcache_tui.state.request import Request


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
