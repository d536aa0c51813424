"""The fleet, a row a series: drawn straight from the state, visible rows only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.format import duration, fit
from tui.state.view import SORTS, FleetView
from tui.widgets.columns import TTL_TEXT_CELLS, Column, Moment, lay_out
from tui.widgets.lines import LineView

HOLD_ORDER_S = 3.0
"""While the user moves about, the order holds still for this long."""


class FleetTable(LineView):
    """Every series with its live value, the life of its cache entry, and where it was read from."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"fleet--{name}"
        for name in (
            "header",
            "header-sorted",
            "row",
            "odd",
            "cursor",
            "cursor-blur",
            "name",
            "value",
            "dim",
            "live",
            "stale",
            "trend",
            "ttl",
            "ttl-bar",
            "ttl-low",
            "ttl-low-bar",
            "gone",
            "cache",
            "store",
            "none",
        )
    }
    DEFAULT_CSS = """
    FleetTable {
        background: $surface; color: $foreground;
        & > .fleet--header { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .fleet--header-sorted { color: $primary; background: $panel; text-style: bold; }
        & > .fleet--row { color: $foreground; background: $surface; }
        & > .fleet--odd { background: $surface-lighten-1; }
        & > .fleet--cursor { background: $primary 35%; }
        & > .fleet--cursor-blur { background: $panel-lighten-1; }
        & > .fleet--name { color: $foreground; }
        & > .fleet--value { color: $foreground; text-style: bold; }
        & > .fleet--dim { color: $foreground 60%; }
        & > .fleet--live { color: $success; }
        & > .fleet--stale { color: $warning; }
        & > .fleet--trend { color: $secondary 65%; }
        & > .fleet--ttl { color: $primary; }
        & > .fleet--ttl-bar { color: $primary 55%; background: $panel; }
        & > .fleet--ttl-low { color: $warning; }
        & > .fleet--ttl-low-bar { color: $warning 65%; background: $panel; }
        & > .fleet--gone { color: $error; }
        & > .fleet--cache { color: $success; }
        & > .fleet--store { color: $warning; text-style: bold; }
        & > .fleet--none { color: $error; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", show=False),
        Binding("down,j", "move(1)", "Row down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home", "move_end(-1)", "First row", show=False),
        Binding("end", "move_end(1)", "Last row", show=False),
    ]

    class SortClicked(Message):
        """A column's title was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, view: FleetView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = view
        self.moment = Moment(0.0, 0.0, {})
        self.waiting_text = "waiting for the first readings …"
        self._layout: list[tuple[Column, int]] = []
        self._ages_shown = self._bar_room = 0
        self._held_until_s = 0.0

    # One frame

    def frame(self, moment: Moment) -> None:
        """Show the rows as they stand at ``moment``."""
        nodes_changed = moment.nodes != self.moment.nodes
        self.moment = moment
        self.view.append_joined()
        if nodes_changed:
            self.redraw()
        self.sync_lines()

    def resort(self) -> None:
        """Bring the order up to date, unless the user is moving about in it."""
        if self.moment.now_s >= self._held_until_s:
            self.view.rebuild()
            self.sync_lines()

    def show_view(self) -> None:
        """The filter or the sort column changed."""
        self.sync_size()
        self._keep_cursor_visible()
        self.redraw()

    def visible_rows(self) -> Sequence[int]:
        """Row numbers of the series on screen."""
        lines = self.visible_lines()
        return self.view.order[lines.start : lines.stop]

    # Lines

    def line_count(self) -> int:
        return len(self.view.order)

    def line_key(self, line: int) -> Hashable:
        row = self.view.order[line]
        fleet, moment = self.view.fleet, self.moment
        left = fleet.ttl_left_s(row, moment.now_s)
        span = fleet.ttl_span_s[row]
        eighths = round(left / span * self._bar_room * 8) if 0 <= left < inf and span > 0 else -1
        return (
            row,
            fleet.version[row],
            duration(left),
            eighths,
            duration(moment.wall_s - fleet.measured_at[row]),
            row == self.view.selected,
            self.has_focus,
        )

    def draw_header(self, width: int) -> list[Segment]:
        self._lay_out(width)
        plain, marked = self.style_of("fleet--header"), self.style_of("fleet--header-sorted")
        arrow = (
            ("v" if self.view.reverse else "^")
            if self.moment.ascii_only
            else ("▼" if self.view.reverse else "▲")
        )
        segments: list[Segment] = []
        for column, size in self._layout:
            if segments:
                segments.append(Segment(" ", plain))
            if column.key == self.view.sort:
                title = arrow if size < 2 else fit(column.title, min(len(column.title), size - 1)) + arrow
                segments.append(Segment(fit(title, size, column.right), marked))
            else:
                segments.append(Segment(fit(column.title, size, column.right), plain))
        used = sum(len(segment.text) for segment in segments)
        segments.append(Segment(" " * max(width - used, 0), plain))
        return segments

    def draw_line(self, line: int, width: int) -> list[Segment]:
        if not self._layout:
            self._lay_out(width)
        row = self.view.order[line]
        under = ["fleet--row"]
        if row == self.view.selected:
            under.append("fleet--cursor" if self.has_focus else "fleet--cursor-blur")
        elif line % 2:
            under.append("fleet--odd")
        ground = self.style_of(*under).background_style
        segments: list[Segment] = []
        for column, size in self._layout:
            if segments:
                segments.append(Segment(" ", ground))
            for text, style in column.draw(self.view.fleet, row, size, self.moment):
                own = self.style_of(f"fleet--{style}")
                segments.append(Segment(text, own if style.endswith("-bar") else own + ground))
        used = sum(size for _, size in self._layout) + len(self._layout) - 1
        segments.append(Segment(" " * max(width - used, 0), ground))
        return segments

    def empty_text(self) -> str:
        if self.view.filter and len(self.view.fleet):
            return f"no series matches “{self.view.filter}”\nEsc clears the filter"
        return self.waiting_text

    def _lay_out(self, width: int) -> None:
        self._layout = lay_out(width)
        self._bar_room = next(
            (size - TTL_TEXT_CELLS for column, size in self._layout if column.key == "ttl"), 0
        )

    def on_resize(self) -> None:
        self._lay_out(self.line_width)
        super().on_resize()

    # Moving about

    def _hold(self) -> None:
        self._held_until_s = self.moment.now_s + HOLD_ORDER_S

    def _keep_cursor_visible(self) -> None:
        if self.view.selected is None:
            return
        place, top = self.view.cursor, round(self.scroll_y)
        if place < top:
            self.scroll_to(y=place, animate=False)
        elif place >= top + self.body_height:
            self.scroll_to(y=place - self.body_height + 1, animate=False)

    def _select(self, place: int) -> None:
        self._hold()
        self.view.move_to(place)
        self._keep_cursor_visible()
        self.sync_lines()

    def action_move(self, step: int) -> None:
        first = self.view.selected is None
        self._select(round(self.scroll_y) if first else self.view.cursor + step)

    def action_move_page(self, step: int) -> None:
        self._select(self.view.cursor + step * max(self.body_height - 1, 1))

    def action_move_end(self, side: int) -> None:
        self._select(0 if side < 0 else len(self.view.order) - 1)

    def on_click(self, event: events.Click) -> None:
        if event.y < self.HEADER_LINES:
            left = 0
            for column, size in self._layout:
                if left <= event.x < left + size and column.key in SORTS:
                    self.post_message(self.SortClicked(column.key))
                left += size + 1
            return
        line = round(self.scroll_y) + event.y - self.HEADER_LINES
        if line < self.line_count():
            self._select(line)

    def on_mouse_scroll_down(self) -> None:
        self._hold()

    def on_mouse_scroll_up(self) -> None:
        self._hold()
