"""Alerts for the screens: what stands in the store, told of as it changes, and acknowledged."""

from __future__ import annotations

import getpass
import time

from iotcache.alerts.acknowledge import acknowledge
from iotcache.errors import StoreError, UsageError
from iotcache.model import Event, Severity
from iotcache.model.alerts import Alert, AlertState
from iotcache.store.base import Store
from iotcache.text import printable
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.format import duration
from iotcache_tui.state.requests import AcknowledgeAlerts
from iotcache_tui.state.updates import AlertLine, Latest, Mailbox

SHOWN_MOST = 200
ACTIVE_MAX = 2_000
"""Looked at in one go: the store gives the oldest first, and what is new must not be missed."""
_NAME_MOST = 8_192
"""Name and subject tell alerts apart and are never cut: device and sensor, escaped, fit in."""
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class AlertPoller:
    """The store has the truth of alerts, whoever raised them: it is looked at on a beat."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._active: dict[tuple[str, str], Alert] = {}

    async def poll(self, store: Store) -> None:
        """One look; every change since the last one is an event."""
        try:
            alerts = await store.alerts.active(ACTIVE_MAX)
        except StoreError:
            return  # the parts' line says that the store is away
        now = {(alert.name, alert.subject): alert for alert in alerts}
        if now == self._active:
            return
        for key, alert in now.items():
            before = self._active.get(key)
            if before is None or before.since_us != alert.since_us:
                self._tell("raised", alert, alert.severity)
            if alert.state is AlertState.ACKNOWLEDGED and (before is None or before.state is not alert.state):
                self._tell("acknowledged", alert, Severity.INFO)
        for key, alert in self._active.items():
            if key not in now:
                self._tell("cleared", alert, Severity.INFO)
        self._active = now
        lines = sorted(now.values(), key=lambda alert: (_ORDER[alert.severity], alert.since_us))
        self._mailbox.put_latest(Latest(alerts=tuple(map(_line, lines[:SHOWN_MOST]))))

    def _tell(self, what: str, alert: Alert, severity: Severity) -> None:
        by = f" by {alert.acknowledged_by}" if what == "acknowledged" and alert.acknowledged_by else ""
        if what == "cleared":
            # Its text is of its beginning, and no longer so.
            lasted = duration(time.time() - alert.since_us / 1e6)
            text = printable(f"{alert.name} cleared after {lasted}; it was: {alert.text}", 300)
        else:
            text = printable(f"{alert.name} {what}{by}: {alert.text}", 300)
        at_s = alert.since_us / 1e6 if what == "raised" else time.time()
        self._mailbox.put_event(Event(at_s, f"alert.{what}", severity, printable(alert.subject, 120), text))


def _line(alert: Alert) -> AlertLine:
    return AlertLine(
        printable(alert.name, _NAME_MOST),
        printable(alert.subject, _NAME_MOST),
        alert.severity,
        alert.state is AlertState.ACKNOWLEDGED,
        alert.since_us / 1e6,
        printable(alert.text, 200),
        printable(alert.acknowledged_by, 40),
    )


async def acknowledge_all(request: AcknowledgeAlerts, context: RequestContext) -> int:
    """How many there were; one that was cleared meanwhile is no mistake."""
    try:
        who = getpass.getuser()
    except (OSError, KeyError):
        who = "dashboard"
    done = 0
    for name, subject in request.alerts:
        try:
            await acknowledge(context.cache.store, name, subject, by=who)
        except UsageError:
            continue
        done += 1
    return done
