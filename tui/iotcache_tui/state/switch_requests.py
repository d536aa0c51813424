"""Faults that a presenter switches on and off in the dashboard's own stack."""

from __future__ import annotations

from typing import ClassVar

from iotcache_tui.state.request import Request


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
