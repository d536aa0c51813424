"""Whether a rule holds for a subject, and has for long enough: pure state, told the time."""

from __future__ import annotations

from msgspec import Struct

from iotcache.config.alert_rules import AlertRule
from iotcache.model import Series
from iotcache.model.alerts import Alert, AlertState


class Verdict(Struct, frozen=True):
    """An alert is to be raised, or cleared."""

    rule: AlertRule
    subject: str
    raised: bool
    value: float | None = None
    series: Series | None = None
    site: str = ""
    text: str = ""
    """What to say instead of the rule's own text."""


def alert_of(verdict: Verdict, now_us: int) -> Alert:
    """The alert that is raised by a verdict, or ended; ``now_us`` is in microseconds since the epoch."""
    rule = verdict.rule
    return Alert(
        name=rule.name,
        subject=verdict.subject,
        severity=rule.severity,
        state=AlertState.RAISED if verdict.raised else AlertState.CLEARED,
        since_us=now_us,
        text=verdict.text
        or rule.text(
            verdict.subject, verdict.value, verdict.series, verdict.site, cleared=not verdict.raised
        ),
        value=verdict.value,
        kind=rule.kind,
        site=verdict.site,
        changed_us=now_us,
    )


class RuleState:
    """One rule and one subject. Times are monotonic seconds."""

    __slots__ = ("raised", "rule", "since_s", "value")

    def __init__(self, rule: AlertRule, raised: bool = False) -> None:
        self.rule = rule
        self.raised = raised
        self.since_s: float | None = None
        """Since when it holds, while it is not raised yet."""
        self.value = 0.0

    def note(self, figure: float, now_s: float) -> bool | None:
        """Take in a figure: ``True`` to raise now, ``False`` to clear now, else ``None``."""
        rule = self.rule
        if self.raised:
            if rule.is_over(figure):
                self.raised, self.since_s, self.value = False, None, figure
                return False
        elif rule.holds(figure):
            self.value = figure
            if self.since_s is None:
                self.since_s = now_s
            return True if self.ripe(now_s) else None
        else:
            self.since_s = None
        return None

    def ripe(self, now_s: float) -> bool:
        """Whether it has held for long enough by now; it is raised then."""
        if self.since_s is None or now_s - self.since_s < self.rule.for_s:
            return False
        self.raised, self.since_s = True, None
        return True
