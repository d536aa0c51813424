"""The keys of the nodes, a line a key."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from iotcache.text import printable_bytes
from iotcache_tui.format import count, duration, fit, fit_middle
from iotcache_tui.state.keys.model import CLASSES, DELETED
from iotcache_tui.state.keys.view import KeyView
from iotcache_tui.widgets.common.cursor_table import CursorTable, ttl_pieces
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.table_fields import Piece, TableField

_CLASS_STYLES = {"latest": "good", "bucket": "second", "meta": "ttl", "cfg": "ttl", "agg": "second",
                 "own": "dim", "foreign": "mark"}  # fmt: skip


class KeyTable(CursorTable):
    """Key, class, TTL, size, last access, slab class, whether it was ever read, node."""

    FIELDS: ClassVar[Sequence[TableField]] = (
        TableField("key", "Key", 24, 84),
        TableField("class", "Class", 7, 8, 3),
        TableField("ttl", "TTL", 6, 26, 0, right=True),
        TableField("idle", "Idle", 4, 6, 2, right=True),
        TableField("size", "Bytes", 7, 9, 0, right=True),
        TableField("read", "Read", 5, 5, 5),
        TableField("slab", "Slab", 4, 5, 6, right=True),
        TableField("node", "Node", 6, 18, 4),
    )

    def __init__(self, view: KeyView, *, ascii_only: bool, id: str) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.view = view
        self.moment = RenderContext(0.0, 0.0, {})
        self.message = ""
        """What to say while there is nothing."""

    def frame(self, moment: RenderContext) -> None:
        self.moment = moment
        self.sync_lines()

    def sorting(self) -> tuple[str, bool]:
        return self.view.sort, self.view.reverse ^ (self.view.sort == "size")

    def line_count(self) -> int:
        return len(self.view.order)

    def identity(self, line: int) -> Hashable:
        return self.view.order[line]

    def line_of(self, identity: Hashable) -> int | None:
        return self.view.position(identity) if isinstance(identity, int) else None

    def content_key(self, line: int) -> Hashable:
        row, wall_s = self.view.order[line], self.moment.wall_s
        left = self.view.columns.left_s(row, wall_s)
        eighths = (
            round(min(left / self._span(row), 1.0) * 8 * self.field_width("ttl")) if 0 <= left < inf else -1
        )
        return (
            row,
            duration(left) if left >= 0 else "",
            eighths,
            duration(self._idle_s(row)),
            len(self.moment.nodes),
        )

    def _idle_s(self, row: int) -> float:
        return self.moment.wall_s - self.view.columns.used_at[row]

    def _span(self, row: int) -> float:
        """The life it was given: a set counts as an access, and reads move that once a minute at most."""
        columns = self.view.columns
        return max(columns.expires_at[row] - columns.used_at[row], 1.0)

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        columns, row = self.view.columns, self.view.order[line]
        left = columns.left_s(row, self.moment.wall_s)
        if field == "key":
            return [
                (fit_middle(printable_bytes(columns.key[row], 250), width), "name" if left >= 0 else "dim")
            ]
        if field == "class":
            label = CLASSES[columns.kind[row]]
            return [(fit(label, width), _CLASS_STYLES[label])]
        if field == "ttl":
            if left < 0:
                # Written again since the walk, it lives on: only a new walk knows.
                deleted = columns.expires_at[row] == DELETED
                text = "deleted" if deleted else "was due"
                return [(fit(text if width > 6 else text.removeprefix("was "), width, right=True), "dim")]
            return ttl_pieces(left, self._span(row), width, self.ascii_only)
        if field == "idle":
            return [(fit(duration(self._idle_s(row)), width, right=True), "dim")]
        if field == "size":
            size = f"{columns.size[row]:,}"
            return [
                (fit(size if len(size) <= width else count(columns.size[row]), width, right=True), "strong")
            ]
        if field == "read":
            return [(fit("yes" if columns.fetched[row] else "never", width), "dim")]
        if field == "slab":
            return [(fit(str(columns.slab[row]), width, right=True), "dim")]
        name = columns.node_name(row)
        return [(fit(self.moment.nodes.get(name) or name or "–", width), "dim")]

    def empty_text(self) -> str:
        if self.view.filter and len(self.view.columns):
            return f"no key matches “{self.view.filter}”\nEsc clears the filter"
        return self.message
