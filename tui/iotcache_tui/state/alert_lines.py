"""Alerts that stand, as the screens show them."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from iotcache.model import Severity
from iotcache_tui.state.request import Request


class AlertLine(Struct, frozen=True):
    """One alert that is raised or acknowledged. Texts are safe to show."""

    name: str
    subject: str
    """As the store has it: it is what tells alerts apart."""
    severity: Severity
    acknowledged: bool
    since_s: float
    """Wall time."""
    text: str
    by: str = ""


class AcknowledgeAlerts(Request, frozen=True):
    """Say that somebody knows of these alerts, each named by name and subject."""

    acts: ClassVar[bool] = True
    alerts: tuple[tuple[str, str], ...]
