"""How each reason of a miss is shown: the one list to extend for a new one."""

from __future__ import annotations

from typing import Final, NamedTuple

from iotcache.model import MissReason, Severity


class ReasonForm(NamedTuple):
    """A reason's form on every screen."""

    label: str
    """At most 11 characters."""
    symbol: str
    """One character that no other reason has: it can be told without colour."""
    severity: Severity
    """A miss that expired is the cache at work, one on a dead node is not."""

    @property
    def alarming(self) -> bool:
        """Whether it should not happen while all is well."""
        return self.severity is not Severity.INFO


REASONS: Final[dict[MissReason, ReasonForm]] = {
    MissReason.NEVER_SET: ReasonForm("never set", "n", Severity.INFO),
    MissReason.EXPIRED: ReasonForm("expired", "x", Severity.INFO),
    MissReason.EVICTED: ReasonForm("evicted", "v", Severity.WARNING),
    MissReason.INVALIDATED: ReasonForm("invalidated", "i", Severity.INFO),
    MissReason.NODE_DOWN: ReasonForm("node down", "d", Severity.ERROR),
    MissReason.TIMEOUT: ReasonForm("timeout", "t", Severity.ERROR),
    MissReason.RESTARTED: ReasonForm("restarted", "r", Severity.WARNING),
    MissReason.CORRUPT: ReasonForm("corrupt", "c", Severity.ERROR),
    MissReason.MOVED: ReasonForm("moved", "m", Severity.INFO),
    MissReason.UNKNOWN: ReasonForm("unknown", "?", Severity.INFO),
}
_LABELS: Final[dict[str, str]] = {reason.value: form.label for reason, form in REASONS.items()}


def label_of(reason: str) -> str:
    """The label of a reason that is at hand as text; any other text is its own label."""
    return _LABELS.get(reason, reason)
