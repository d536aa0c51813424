"""A table of lines with a cursor that stays on its line, whatever order the lines come in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from iotcache_tui.format import bar, duration, fit
from iotcache_tui.widgets.common.lines import LineView
from iotcache_tui.widgets.common.table_fields import Piece, TableField, lay_out

LOW_SHARE = 0.25
TTL_TEXT_CELLS = 4


def ttl_pieces(left_s: float, span_s: float, width: int, ascii_only: bool) -> list[Piece]:
    """How long an entry has left, as a bar of ``span_s`` and as text."""
    share = 1.0 if left_s == inf else left_s / span_s if span_s > 0 else 0.0
    style = "low" if share < LOW_SHARE else "ttl"
    ground = "bar-low" if share < LOW_SHARE else "bar"
    text = (
        fit("never" if left_s == inf and width == 5 else duration(left_s), TTL_TEXT_CELLS, right=True),
        style,
    )
    room = width - TTL_TEXT_CELLS
    return [(bar(share, room, ascii_only), ground), text] if room > 0 else [text]


class CursorTable(LineView):
    """Base of the tables with a cursor. A subclass gives `FIELDS`, `identity`, `content_key` and `cell`."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"table--{name}"
        for name in (
            "header", "header-sorted", "row", "odd", "cursor", "cursor-blur", "name", "strong", "dim",
            "good", "warn", "bad", "mark", "ttl", "low", "bar", "bar-low", "second",
        )
    )  # fmt: skip
    DEFAULT_CSS = """
    CursorTable {
        background: $surface; color: $foreground;
        & > .table--header { color: $foreground 60%; background: $panel; text-style: bold; }
        &:focus > .table--header { color: $foreground; background: $panel-lighten-1; }
        & > .table--header-sorted { color: $primary; background: $panel; text-style: bold; }
        & > .table--row { color: $foreground; background: $surface; }
        & > .table--odd { background: $surface-lighten-1; }
        & > .table--cursor { background: $primary 35%; }
        & > .table--cursor-blur { background: $panel-lighten-1; }
        & > .table--name { color: $foreground; }
        & > .table--strong { color: $foreground; text-style: bold; }
        & > .table--dim { color: $foreground 60%; }
        & > .table--good { color: $success; }
        & > .table--warn { color: $warning; text-style: bold; }
        & > .table--bad { color: $error; text-style: bold; }
        & > .table--mark { color: $accent; text-style: bold; }
        & > .table--ttl { color: $primary; }
        & > .table--low { color: $warning; }
        & > .table--bar { color: $primary 55%; background: $panel; }
        & > .table--bar-low { color: $warning 65%; background: $panel; }
        & > .table--second { color: $secondary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Row down", show=False, id="table.down"),
        Binding("pageup", "move_page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "move_page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home", "move_end(-1)", "First row", show=False, id="table.first"),
        Binding("end", "move_end(1)", "Last row", show=False, id="table.last"),
        Binding("enter", "open", "Open", show=False, key_display="↵", id="table.open"),
    ]
    FIELDS: ClassVar[Sequence[TableField]] = ()
    OWN_GROUND: ClassVar[frozenset[str]] = frozenset({"bar", "bar-low"})
    """Styles with a background of their own: the cursor's and the stripes' do not go through them."""

    class Selected(Message):
        """The user put the cursor on a line."""

        def __init__(self, table: CursorTable, identity: Hashable) -> None:
            super().__init__()
            self.table, self.identity = table, identity

        @property
        def control(self) -> CursorTable:
            return self.table

    class Opened(Selected):
        """Enter or a double click on a line."""

    class TitleClicked(Message):
        """A column's title was clicked."""

        def __init__(self, table: CursorTable, field: str) -> None:
            super().__init__()
            self.table, self.field = table, field

        @property
        def control(self) -> CursorTable:
            return self.table

    def __init__(self, *, ascii_only: bool = False, id: str) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self.fields = tuple(self.FIELDS)
        self.selected: Hashable = None
        self._layout: list[tuple[TableField, int]] = []

    # What a subclass says

    def identity(self, line: int) -> Hashable:
        """What stays the same about the line wherever it moves."""
        raise NotImplementedError

    def content_key(self, line: int) -> Hashable:
        """Everything that the line's looks depend on, besides the cursor."""
        raise NotImplementedError

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        """What a field shows of a line, in exactly ``width`` cells."""
        raise NotImplementedError

    def line_of(self, identity: Hashable) -> int | None:
        """Where the line with that identity stands; ``None`` when it is not there."""
        return next((line for line in range(self.line_count()) if self.identity(line) == identity), None)

    def sorting(self) -> tuple[str, bool]:
        """The field that the lines are sorted by, and whether it falls."""
        return "", False

    def is_selected(self, line: int) -> bool:
        """Whether the cursor stands on the line."""
        return self.identity(line) == self.selected

    # Drawing

    def line_key(self, line: int) -> Hashable:
        return self.content_key(line), self.is_selected(line), self.has_focus

    def field_width(self, key: str) -> int:
        """Cells that a field has on screen; 0 when it is left out."""
        return next((size for field, size in self._layout if field.key == key), 0)

    def lay_out(self, width: int) -> None:
        """Give each field its cells."""
        self._layout = lay_out(width, self.fields)

    def draw_header(self, width: int) -> list[Segment]:
        self.lay_out(width)
        plain, marked = self.part_style("table--header"), self.part_style("table--header-sorted")
        by, falling = self.sorting()
        arrow = ("v" if falling else "^") if self.ascii_only else ("▼" if falling else "▲")
        segments: list[Segment] = []
        for field, size in self._layout:
            if segments:
                segments.append(Segment(" ", plain))
            if field.key == by:
                title = arrow if size < 3 else field.title[: size - 1] + arrow
                segments.append(Segment(fit(title, size, field.right), marked))
            else:
                segments.append(Segment(fit(field.title, size, field.right), plain))
        return self._filled(segments, self._layout, width, plain)

    def draw_line(self, line: int, width: int) -> list[Segment]:
        if not self._layout:
            self.lay_out(width)
        ground = self.ground_of(line)
        return self._filled(self.draw_cells(line, self._layout, ground), self._layout, width, ground)

    def ground_of(self, line: int) -> Style:
        """The background of a line: the cursor's, or one of two by turns."""
        under = "table--row"
        if self.is_selected(line):
            under = "table--cursor" if self.has_focus else "table--cursor-blur"
        elif line % 2 and self.app.console.color_system != "standard":
            # Of 16 colours the stripes' would be the cursor's.
            under = "table--odd"
        return self.part_style(under).background_style

    def draw_cells(self, line: int, layout: Sequence[tuple[TableField, int]], ground: Style) -> list[Segment]:
        """What the fields of a line show, with blanks between them."""
        segments: list[Segment] = []
        for field, size in layout:
            if segments:
                segments.append(Segment(" ", ground))
            for text, name in self.cell(field.key, line, size):
                own = self.part_style(f"table--{name}")
                segments.append(Segment(text, own if name in self.OWN_GROUND else own + ground))
        return segments

    def _filled(
        self, segments: list[Segment], layout: Sequence[tuple[TableField, int]], width: int, style: Style
    ) -> list[Segment]:
        used = sum(size for _, size in layout) + len(layout) - 1
        return [*segments, Segment(" " * max(width - used, 0), style)]

    def on_resize(self) -> None:
        self.lay_out(self.line_width)
        super().on_resize()

    # The cursor

    @property
    def cursor(self) -> int | None:
        """The line under the cursor."""
        return None if self.selected is None else self.line_of(self.selected)

    def select(self, line: int) -> None:
        """Put the cursor on a line, clamped."""
        count = self.line_count()
        if not count:
            return
        self.selected = self.identity(min(max(line, 0), count - 1))
        self.keep_cursor_visible()
        self.sync_lines()
        self.post_message(self.Selected(self, self.selected))

    def keep_cursor_visible(self) -> None:
        line, top = self.cursor, round(self.scroll_y)
        if line is None:
            return
        if line < top:
            self.scroll_to(y=line, animate=False)
        elif line >= top + self.body_height:
            self.scroll_to(y=line - self.body_height + 1, animate=False)

    def action_move(self, step: int) -> None:
        line = self.cursor
        self.select(round(self.scroll_y) if line is None else line + step)

    def action_move_page(self, step: int) -> None:
        self.action_move(step * max(self.body_height - 1, 1))

    def action_move_end(self, side: int) -> None:
        self.select(0 if side < 0 else self.line_count() - 1)

    def action_open(self) -> None:
        if self.cursor is None:
            self.select(round(self.scroll_y))
        elif self.selected is not None:
            self.post_message(self.Opened(self, self.selected))

    def on_click(self, event: events.Click) -> None:
        if event.y < self.HEADER_LINES:
            left = 0
            for field, size in self._layout:
                if left <= event.x < left + size:
                    self.post_message(self.TitleClicked(self, field.key))
                left += size + 1
            return
        line = round(self.scroll_y) + event.y - self.HEADER_LINES
        if line < self.line_count():
            self.select(line)
            if event.chain == 2:
                self.action_open()
