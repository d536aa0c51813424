"""Cache nodes as the cluster client sees them, and the events of every part that a person is told."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class NodeState(StrEnum):
    """What the cluster client thinks of a node (circuit breaker states, seen by a person)."""

    UP = "up"
    DOWN = "down"
    PROBING = "probing"
    """The breaker is half-open: one probe is under way, no reads yet."""
    STARTING = "starting"


class NodeHealth(Struct, frozen=True):
    """A cache node as it stands."""

    name: str
    state: NodeState
    reason: str = ""
    since_s: float = 0.0
    """Monotonic time of the last change of state."""
    version: str = ""
    bundled: bool = False
    """True for the Python node that comes with this program."""
    drained: bool = False
    """True when this program was told to stop using it; it stays out until it is taken back."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Struct, frozen=True):
    """Something worth telling a person: a node went down, a breaker closed, the store came back."""

    ts_s: float
    kind: str
    severity: Severity
    subject: str
    text: str
