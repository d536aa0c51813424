"""What an alert is: a rule that held for something, from when it was raised until it was cleared."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from iotcache.model.nodes import Severity

ALERTS_FILTER: Final = "iotcache/alerts/+/+"
"""Subscribes to all alerts; see `iotcache.alerts.topics`."""
_LIMIT_BYTES: Final = 64 * 1024


class AlertState(StrEnum):
    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    """It still holds, and somebody said that they know."""
    CLEARED = "cleared"


class Alert(Struct, frozen=True, kw_only=True):
    """One alert. Of a name and subject at most one stands (is raised or acknowledged) at a time."""

    name: str
    """The rule's."""
    subject: str
    """What it holds for: a device, a ``device:sensor`` (each escaped as in cache keys, so plain ASCII without
    blanks), a cache node, or ``cache`` for all nodes."""
    severity: Severity
    state: AlertState
    since_us: int
    """When it was raised. Times are microseconds since the epoch."""
    text: str = ""
    """What is the matter, in a sentence; safe to show."""
    value: float | None = None
    """The figure that raised it, or cleared it; ``None`` where there is none."""
    kind: str = ""
    """The rule's kind."""
    site: str = ""
    changed_us: int = 0
    """When its state changed last."""
    acknowledged_us: int = 0
    acknowledged_by: str = ""

    @property
    def stands(self) -> bool:
        """Whether it is not cleared."""
        return self.state is not AlertState.CLEARED


_decoder = msgspec.json.Decoder(Alert)


def encode_alert(alert: Alert) -> bytes:
    """The retained payload of an alert's topic."""
    return msgspec.json.encode(alert)


def decode_alert(payload: bytes) -> Alert | None:
    """What `encode_alert` wrote; ``None`` for anything else, such as the empty payload after its end."""
    if not payload or len(payload) > _LIMIT_BYTES:
        return None
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
