"""What the keys add up to: items, bytes and share, by class or by what they begin with."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from iotcache_tui.format import bar, count, data_size, fit, fit_middle, percent
from iotcache_tui.state.keys.model import CLASS_LABELS, Total
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.table_fields import Piece, TableField


class TotalsTable(CursorTable):
    """A line a class or a group; Enter shows its keys."""

    FIELDS: ClassVar[Sequence[TableField]] = (
        TableField("name", "", 10, 40),
        TableField("items", "Items", 6, 7, 0, right=True),
        TableField("size", "Bytes", 6, 8, 0, right=True),
        TableField("mean", "Each", 5, 7, 3, right=True),
        TableField("bar", "", 4, 30, 2),
        TableField("share", "Share", 5, 6, 1, right=True),
    )

    def __init__(self, title: str, *, ascii_only: bool, id: str) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.fields = (TableField("name", title, 10, 40), *self.FIELDS[1:])
        self._totals: tuple[Total, ...] = ()
        self._sum = 0

    def show(self, totals: tuple[Total, ...]) -> None:
        if totals != self._totals:
            self._totals = totals
            self._sum = sum(total.size for total in totals)
        self.sync_lines()

    def line_count(self) -> int:
        return len(self._totals)

    def identity(self, line: int) -> Hashable:
        return self._totals[line].name

    def content_key(self, line: int) -> Hashable:
        return self._totals[line], self._sum

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        total = self._totals[line]
        share = total.size / self._sum if self._sum else 0.0
        if field == "name":
            label = CLASS_LABELS.get(total.name, "") if self.id == "by-class" else ""
            if label and width >= 20:
                return [(fit(total.name, 8), "name"), (fit(" " + label, width - 8), "dim")]
            return [(fit_middle(total.name or "(none)", width), "name")]
        if field == "items":
            return [(fit(count(total.items), width, right=True), "strong")]
        if field == "size":
            return [(fit(data_size(total.size), width, right=True), "strong")]
        if field == "mean":
            return [(fit(data_size(total.size / total.items), width, right=True), "dim")]
        if field == "bar":
            return [(bar(share, width, self.ascii_only), "bar")]
        return [(fit(percent(100.0 * share), width, right=True), "dim")]

    def empty_text(self) -> str:
        return "nothing counted yet"
