"""A device's alerts that stand, its metadata and its configuration."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.segment import Segment

from iotcache.model import Severity
from iotcache.text import printable
from iotcache_tui.format import clock_text, duration, fit, in_parts
from iotcache_tui.state.device.model import AlertView, DeviceDocuments, DocumentView
from iotcache_tui.widgets.common.lines import LineView

_TITLES = {"meta": "metadata", "cfg": "configuration"}


class DocumentsView(LineView):
    """One under the other."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"documents--{name}" for name in ("header", "line", "name", "dim", "title", "store", "bad")
    )
    DEFAULT_CSS = """
    DocumentsView {
        background: $surface; color: $foreground;
        & > .documents--header { color: $foreground 60%; background: $panel; text-style: bold; }
        &:focus > .documents--header { color: $foreground; background: $panel-lighten-1; }
        & > .documents--line { color: $foreground; background: $surface; }
        & > .documents--name { color: $primary; background: $surface; }
        & > .documents--dim { color: $foreground 60%; background: $surface; }
        & > .documents--title { color: $foreground; background: $surface; text-style: bold; }
        & > .documents--bad { color: $error; background: $surface; text-style: bold; }
        & > .documents--store { color: $warning; background: $surface; text-style: bold; }
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.documents: DeviceDocuments | None = None
        self.message = ""
        self._alerts: tuple[AlertView, ...] = ()
        self._short: dict[str, str] = {}
        self._lines: list[tuple[str, str]] = []

    def show(
        self,
        documents: DeviceDocuments | None,
        alerts: tuple[AlertView, ...],
        message: str,
        nodes: dict[str, str],
    ) -> None:
        """What is known; ``message`` stands in place of documents."""
        if (documents, alerts, message, nodes) == (self.documents, self._alerts, self.message, self._short):
            return
        if documents is None or self.documents is None or documents.device != self.documents.device:
            self.scroll_to(y=0, animate=False)
        self.documents, self._alerts, self.message, self._short = documents, alerts, message, nodes
        self._lay_out()
        self.redraw()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """Lines for the width that there is."""
        self._lines = [self._alert(alert) for alert in self._alerts]
        if self.documents is not None:
            self._lines += [*self._document(self.documents.meta), *self._document(self.documents.config)]
        self.sync_size()

    def _alert(self, alert: AlertView) -> tuple[str, str]:
        where = f" of {alert.sensor}" if alert.sensor else ""
        known = ", acknowledged" if alert.acknowledged else ""
        since = f"{alert.severity.value} since {clock_text(alert.since_s)}"
        style = "bad" if alert.severity is Severity.ERROR else "store"
        return f"alert {alert.name}{where}: {alert.text}  {since}{known}", style

    def _document(self, document: DocumentView) -> list[tuple[str, str]]:
        title = _TITLES.get(document.kind, document.kind)
        if document.version is None:
            why = f"not known: {document.error}" if document.error else "none was ever sent"
            return [(f"{title}  {why}", "dim")]
        where = f"from the {document.source}"
        if document.source == "cache" and document.ttl_s is not None:
            node = self._short.get(document.node) or printable(document.node, 40)
            where += f" {node}, {duration(document.ttl_s)} left"
        elif document.reason:
            where += f" ({document.reason})"
        message = f"  sent {clock_text(document.sent_at_s)}" if document.sent_at_s else ""
        version = f"{title}  version {document.version}{message}  {where}"
        tone, room = "title" if document.source == "cache" else "store", self.line_width - 1
        heads = in_parts(version, room) if room > 0 else [version]
        return [*((f"  {head}" if at else head, tone) for at, head in enumerate(heads)),
                *((f"  {line}", "line") for line in document.lines)]  # fmt: skip

    def line_count(self) -> int:
        return len(self._lines)

    def line_key(self, line: int) -> Hashable:
        return self._lines[line]

    def draw_header(self, width: int) -> list[Segment]:
        return [Segment(fit("Alerts, metadata, configuration", width), self.part_style("documents--header"))]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        text, style = self._lines[line]
        name, mark, rest = text.partition('": ') if style == "line" else ("", "", text)
        if mark:
            shown = printable(name + mark, 400)
            return [
                Segment(fit(shown, min(len(shown), width)), self.part_style("documents--name")),
                Segment(
                    fit(printable(rest, 2_000), max(width - len(shown), 0)),
                    self.part_style("documents--line"),
                ),
            ]
        return [Segment(fit(printable(text, 2_000), width), self.part_style(f"documents--{style}"))]

    def empty_text(self) -> str:
        return self.message
