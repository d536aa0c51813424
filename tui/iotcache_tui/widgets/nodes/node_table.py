"""The cache nodes, a row each: state, load, memory; a node that is out says why."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.segment import Segment

from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.format import fit, plain
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.table_fields import Piece, TableField, lay_out
from iotcache_tui.widgets.nodes.node_columns import BY_KEY, COLUMNS, NodeRow

_BEFORE_REASON = frozenset({"state", "node", "ring"})
"""What is told of a node that is out, before the reason."""


class NodeTable(CursorTable):
    """In the order of the configuration; the selection is a node, by name."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset({"table--full"})
    DEFAULT_CSS = """
    NodeTable {
        &:focus > .table--header { color: $foreground 60%; background: $panel; }
        & > .table--warn { color: $warning; text-style: none; }
        & > .table--bar { color: $primary 70%; background: $panel; }
        & > .table--full { color: $warning 80%; background: $panel; }
    }
    """
    FIELDS: ClassVar[Sequence[TableField]] = COLUMNS
    OWN_GROUND: ClassVar[frozenset[str]] = frozenset({"bar", "full"})

    def __init__(self, *, ascii_only: bool = False, id: str) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.rows: tuple[NodeRow, ...] = ()
        self.missing = ""
        """Why there is none; empty where some are to come."""

    @property
    def selected_row(self) -> NodeRow | None:
        """The node that the rest of the screen is about."""
        return next((row for row in self.rows if row.name == self.selected), None)

    def frame(self, rows: tuple[NodeRow, ...]) -> None:
        """Show the nodes as they stand."""
        self.rows = rows
        if rows and self.selected_row is None:
            self.selected = rows[0].name
        self.sync_lines()

    # Lines

    def line_count(self) -> int:
        return len(self.rows)

    def identity(self, line: int) -> Hashable:
        return self.rows[line].name

    def content_key(self, line: int) -> Hashable:
        return self.rows[line]

    def lay_out(self, width: int) -> None:
        self._layout = lay_out(width, self.fields, in_turn=True)

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        pieces = BY_KEY[field].draw(self.rows[line], width, self.ascii_only)
        return [(plain(text, self.ascii_only), tone) for text, tone in pieces]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        health = self.rows[line].health
        reason = health.reason if health.state is not NodeState.UP else ""
        if not reason:
            return super().draw_line(line, width)
        if not self._layout:
            self.lay_out(width)
        layout = [each for each in self._layout if each[0].key in _BEFORE_REASON]
        ground = self.ground_of(line)
        room = max(width - sum(size + 1 for _, size in layout) + 1, 0)
        style = self.part_style("table--warn" if health.drained else "table--bad") + ground
        return [
            *self.draw_cells(line, layout, ground),
            Segment(fit("  " + printable(reason, 200), room) if room > 2 else " " * room, style),
        ]

    def empty_text(self) -> str:
        return self.missing or "no cache node is known yet: the servers are still being reached"
