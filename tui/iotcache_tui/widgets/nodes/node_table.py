"""The cache nodes, a row each: state, load, memory; a node that is out says why."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.format import fit, plain
from iotcache_tui.widgets.common.lines import LineView
from iotcache_tui.widgets.nodes.node_columns import NodeRow, lay_out

_OWN_GROUND = frozenset({"bar", "full"})


class NodeTable(LineView):
    """In the order of the configuration; the selection is a node, by name."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"nodes--{name}"
        for name in (
            "header",
            "row",
            "odd",
            "cursor",
            "cursor-blur",
            "name",
            "strong",
            "dim",
            "good",
            "warn",
            "bad",
            "bar",
            "full",
        )
    }
    DEFAULT_CSS = """
    NodeTable {
        background: $surface; color: $foreground;
        & > .nodes--header { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .nodes--row { color: $foreground; background: $surface; }
        & > .nodes--odd { background: $surface-lighten-1; }
        & > .nodes--cursor { background: $primary 35%; }
        & > .nodes--cursor-blur { background: $panel-lighten-1; }
        & > .nodes--name { color: $foreground; }
        & > .nodes--strong { color: $foreground; text-style: bold; }
        & > .nodes--dim { color: $foreground 60%; }
        & > .nodes--good { color: $success; }
        & > .nodes--warn { color: $warning; }
        & > .nodes--bad { color: $error; text-style: bold; }
        & > .nodes--bar { color: $primary 70%; background: $panel; }
        & > .nodes--full { color: $warning 80%; background: $panel; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Node up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Node down", show=False, id="table.down"),
        Binding("home", "move(-1000)", "First node", show=False, id="table.first"),
        Binding("end", "move(1000)", "Last node", show=False, id="table.last"),
    ]

    class Selected(Message):
        """The cursor stands on another node now."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: tuple[NodeRow, ...] = ()
        self.chosen = ""
        """Name of the node that the rest of the screen is about."""
        self._ascii = ascii_only

    @property
    def chosen_row(self) -> NodeRow | None:
        return next((row for row in self.rows if row.name == self.chosen), None)

    def frame(self, rows: tuple[NodeRow, ...]) -> None:
        """Show the nodes as they stand."""
        self.rows = rows
        if rows and self.chosen_row is None:
            self.chosen = rows[0].name
        self.sync_lines()

    def choose(self, name: str) -> None:
        """Put the cursor on a node."""
        self.chosen = name
        place = next((place for place, row in enumerate(self.rows) if row.name == name), 0)
        top = round(self.scroll_y)
        if place < top:
            self.scroll_to(y=place, animate=False)
        elif place >= top + self.body_height:
            self.scroll_to(y=place - self.body_height + 1, animate=False)
        self.sync_lines()
        self.post_message(self.Selected())

    def action_move(self, step: int) -> None:
        if not self.rows:
            return
        place = next((place for place, row in enumerate(self.rows) if row.name == self.chosen), 0)
        self.choose(self.rows[min(max(place + step, 0), len(self.rows) - 1)].name)

    def on_click(self, event: events.Click) -> None:
        line = round(self.scroll_y) + event.y - self.HEADER_LINES
        if 0 <= line < len(self.rows) and event.y >= self.HEADER_LINES:
            self.choose(self.rows[line].name)

    # Lines

    def line_count(self) -> int:
        return len(self.rows)

    def line_key(self, line: int) -> Hashable:
        row = self.rows[line]
        return row, row.name == self.chosen, self.has_focus

    def draw_header(self, width: int) -> list[Segment]:
        style = self.style_of("nodes--header")
        cells = [fit(column.title, size, column.right) for column, size in lay_out(width)]
        return [Segment(fit(" ".join(cells), width), style)]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        row = self.rows[line]
        under = ["nodes--row"]
        if row.name == self.chosen:
            under.append("nodes--cursor" if self.has_focus else "nodes--cursor-blur")
        elif line % 2:
            under.append("nodes--odd")
        ground = self.style_of(*under).background_style
        columns = lay_out(width)
        why = row.health.reason if row.health.state is not NodeState.UP else ""
        if why:
            columns = columns[:3] if columns[2][0].title == "Ring" else columns[:2]
        segments: list[Segment] = []
        for column, size in columns:
            if segments:
                segments.append(Segment(" ", ground))
            for text, tone in column.draw(row, size, self._ascii):
                own = self.style_of(f"nodes--{tone}")
                segments.append(
                    Segment(plain(text, self._ascii), own if tone in _OWN_GROUND else own + ground)
                )
        used = sum(size for _, size in columns) + len(columns) - 1
        rest = max(width - used, 0)
        if why and rest > 2:
            style = self.style_of("nodes--warn" if row.health.drained else "nodes--bad") + ground
            segments.append(Segment(fit("  " + printable(why, 200), rest), style))
        else:
            segments.append(Segment(" " * rest, ground))
        return segments

    def empty_text(self) -> str:
        return "no cache node is known yet: the servers are still being reached"
