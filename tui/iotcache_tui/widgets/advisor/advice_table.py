"""Advice, a line a piece, the most useful first."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from iotcache.advisor.advice import Advice, Confidence
from iotcache.text import printable
from iotcache_tui.format import data_size, fit, rate
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.table_fields import Piece, TableField

_SURE: dict[str, tuple[str, str]] = {
    Confidence.HIGH: ("high", "good"),
    Confidence.MEDIUM: ("medium", "dim"),
    Confidence.LOW: ("low", "warn"),
}


def saves(one: Advice) -> str:
    """What it spares: store reads or memory, whichever it is about."""
    if one.saved_bytes:
        return f"{data_size(one.saved_bytes)}B"
    return f"{rate(one.store_reads_per_s)} rd/s"


class AdviceTable(CursorTable):
    """The selection is a piece of advice, by what it is about: it stays where it is when others come."""

    FIELDS: ClassVar[Sequence[TableField]] = (
        TableField("rank", "", 2, 2),
        TableField("text", "Advice", 20, 200),
        TableField("saves", "Saves", 10, 10, 2, right=True),
        TableField("sure", "Sure", 6, 6, 1),
    )

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.advice: tuple[Advice, ...] = ()
        self.message = ""
        """What to say while there is none."""

    @property
    def selected_advice(self) -> Advice | None:
        """The one under the cursor."""
        return next(
            (one for line, one in enumerate(self.advice) if self.identity(line) == self.selected), None
        )

    def show(self, advice: tuple[Advice, ...], message: str) -> None:
        self.advice = advice
        if advice and self.selected_advice is None:
            self.selected = self.identity(0)
        if message != self.message:
            self.message = message
            self.redraw()
        self.sync_lines()

    def line_count(self) -> int:
        return len(self.advice)

    def identity(self, line: int) -> Hashable:
        return self.advice[line].subject, self.advice[line].about

    def content_key(self, line: int) -> Hashable:
        one = self.advice[line]
        return one.text, saves(one), one.confidence

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        one = self.advice[line]
        if field == "rank":
            return [(fit(str(line + 1), width, right=True), "dim")]
        if field == "text":
            return [(fit(printable(one.text, 400), width), "name")]
        if field == "saves":
            return [(fit(saves(one), width, right=True), "strong")]
        text, style = _SURE[one.confidence]
        return [(fit(text, width), style)]

    def empty_text(self) -> str:
        return self.message
