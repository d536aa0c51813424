"""The alerts that stand: a line each, the gravest first, only while there are any."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from iotcache.model import Severity
from iotcache_tui.format import duration, fit
from iotcache_tui.state.updates import AlertLine
from iotcache_tui.widgets.events.event_log import ASCII_GLYPHS, GLYPHS

LINES_MOST = 4


class ActiveAlerts(Widget):
    """Takes no room while nothing is the matter."""

    DEFAULT_CSS = """
    ActiveAlerts { height: auto; background: $panel; color: $foreground; padding: 0 1; display: none; }
    """

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._alerts: tuple[AlertLine, ...] = ()
        self._ages: tuple[str, ...] = ()

    def show(self, alerts: tuple[AlertLine, ...], wall_s: float) -> None:
        ages = tuple(duration(wall_s - alert.since_s) for alert in alerts[:LINES_MOST])
        if (alerts, ages) != (self._alerts, self._ages):
            grown = len(alerts) != len(self._alerts)
            self._alerts, self._ages = alerts, ages
            self.display = bool(alerts)
            self.refresh(layout=grown)

    def render(self) -> Text:
        colours = self.app.theme_variables
        glyphs = ASCII_GLYPHS if self._ascii else GLYPHS
        tones = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "foreground"}
        width = self.content_size.width
        text = Text(no_wrap=True, end="")
        over = len(self._alerts) - LINES_MOST
        for number, (alert, age) in enumerate(zip(self._alerts, self._ages, strict=False)):
            offered = "" if getattr(self.app, "read_only", False) else "A acknowledges"
            mark = f"known by {alert.by or 'somebody'}" if alert.acknowledged else offered
            if over > 0 and number == LINES_MOST - 1:
                mark = f"+{over} more  {mark}"
            head = f"{glyphs[alert.severity]} {alert.name} "
            tail = f" {age:>4}  {mark}"
            room = max(width - len(head) - len(tail), 4)
            text_shown = alert.text if alert.subject in alert.text else f"{alert.subject}: {alert.text}"
            text.append(("\n" if number else "") + head, f"bold {colours[tones[alert.severity]]}")
            text.append(fit(text_shown, room), "dim" if alert.acknowledged else "")
            text.append(tail, "dim")
        return text
