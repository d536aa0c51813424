"""What both stores agree on about alerts."""

from __future__ import annotations

from typing import Any

from iotcache.model import Severity
from iotcache.model.alerts import Alert, AlertState
from iotcache.store.rows import give_text, keep_text

AlertRow = tuple[str, str, str, str, int, str, float | None, str, str, int, int, str]


def alert_row(alert: Alert) -> AlertRow:
    """An alert as its row."""
    return (
        keep_text(alert.name), keep_text(alert.subject), alert.severity.value, alert.state.value,
        alert.since_us, keep_text(alert.text), alert.value, alert.kind, keep_text(alert.site),
        alert.changed_us, alert.acknowledged_us, keep_text(alert.acknowledged_by),
    )  # fmt: skip


def row_alert(row: tuple[Any, ...]) -> Alert:
    """The alert of a row of the table, which begins with a number of its own."""
    name, subject, severity, state, since_us, body, value, kind, site, changed_us, at_us, by = row[1:13]
    return Alert(
        name=give_text(name),
        subject=give_text(subject),
        severity=Severity(severity),
        state=AlertState(state),
        since_us=since_us,
        text=give_text(body),
        value=value,
        kind=kind,
        site=give_text(site),
        changed_us=changed_us,
        acknowledged_us=at_us,
        acknowledged_by=give_text(by),
    )
