"""The fleet, a row a series: drawn straight from the state, visible rows only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from iotcache_tui.format import duration, fit
from iotcache_tui.state.fleet.view import SORTS, FleetView, Group
from iotcache_tui.widgets.common.lines import LineView
from iotcache_tui.widgets.fleet.columns import (
    DEFAULT_COLUMNS,
    TTL_TEXT_CELLS,
    Column,
    RenderContext,
    flashes,
    lay_out,
)

_OWN_GROUND = frozenset({"ttl-bar", "ttl-low-bar", "flash"})
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
            "mark",
            "flash",
            "group",
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
        & > .fleet--mark { color: $accent; text-style: bold; }
        & > .fleet--flash { color: $foreground; background: $accent 45%; text-style: bold; }
        & > .fleet--group { color: $primary; background: $panel; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Row down", show=False, id="table.down"),
        Binding("pageup", "move_page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "move_page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home", "move_end(-1)", "First row", show=False, id="table.first"),
        Binding("end", "move_end(1)", "Last row", show=False, id="table.last"),
        Binding("enter", "open", "Open", key_display="↵", id="table.open"),
    ]

    class SortClicked(Message):
        """A column's title was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    class Opened(Message):
        """Enter or a double click on a row, or on a folded group's heading."""

        def __init__(self, row: int | None, group: str | None = None) -> None:
            super().__init__()
            self.row, self.group = row, group

    class Selected(Message):
        """The cursor stands on another row now."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def __init__(self, view: FleetView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = view
        self.moment = RenderContext(0.0, 0.0, {})
        self.waiting_text = "waiting for the first readings …"
        self.columns: Sequence[str] = DEFAULT_COLUMNS
        self._layout: list[tuple[Column, int]] = []
        self._ages_shown = self._bar_room = 0
        self._held_until_s = 0.0
        self.moving = False
        """Whether a bar on screen shrinks, or a value still glows."""

    # One frame

    def frame(self, moment: RenderContext) -> None:
        """Show the rows as they stand at ``moment``."""
        nodes_changed = moment.nodes != self.moment.nodes
        self.moment, self.moving = moment, False
        self.view.at(moment.now_s, moment.wall_s)
        self.view.append_joined()
        if nodes_changed:
            self.redraw()
        self.sync_lines()

    def resort(self) -> None:
        """Bring the order up to date, unless the user is moving about in it."""
        if self.moment.now_s >= self._held_until_s:
            self.view.refresh()
            self.sync_lines()

    def show_view(self) -> None:
        """The filter, the sort column, the grouping or the columns changed."""
        self._lay_out(self.line_width)
        self.sync_size()
        self._keep_cursor_visible()
        self.redraw()

    def visible_rows(self) -> Sequence[int]:
        """Row numbers of the series on screen."""
        lines = self.visible_lines()
        return [line for line in self.view.lines[lines.start : lines.stop] if line >= 0]

    # Lines

    def line_count(self) -> int:
        return len(self.view.lines)

    def line_key(self, line: int) -> Hashable:
        row = self.view.lines[line]
        if row < 0:
            return self._heading(self.view.groups[-1 - row]), self.view.is_selected(row), self.has_focus
        fleet, moment = self.view.fleet, self.moment
        fleet.settle((row,))
        left = fleet.ttl_left_s(row, moment.now_s)
        span = fleet.ttl_span_s[row]
        eighths = round(left / span * self._bar_room * 8) if 0 <= left < inf and span > 0 else -1
        glows = flashes(fleet, row, moment)
        if eighths > 0 or glows:
            self.moving = True
        return (
            row,
            fleet.version[row],
            duration(left),
            eighths,
            duration(moment.wall_s - fleet.measured_at[row]),
            row == self.view.selected,
            self.has_focus,
            row in fleet.marked,
            row in fleet.watched,
            glows,
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
                title = arrow if size < 3 else column.title[: size - 1] + arrow
                segments.append(Segment(fit(title, size, column.right), marked))
            else:
                segments.append(Segment(fit(column.title, size, column.right), plain))
        used = sum(len(segment.text) for segment in segments)
        segments.append(Segment(" " * max(width - used, 0), plain))
        return segments

    def draw_line(self, line: int, width: int) -> list[Segment]:
        if not self._layout:
            self._lay_out(width)
        row = self.view.lines[line]
        if row < 0:
            return self._draw_heading(row, width)
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
                segments.append(Segment(text, own if style in _OWN_GROUND else own + ground))
        used = sum(size for _, size in self._layout) + len(self._layout) - 1
        segments.append(Segment(" " * max(width - used, 0), ground))
        return segments

    def _heading(self, group: Group) -> str:
        hit = f"{group.hits * 100 // group.reads}%" if group.reads else "–"
        stale = f"  {group.stale:,} stale" if group.stale else ""
        fold = (
            (">" if self.moment.ascii_only else "▸")
            if self.view.folded
            else ("v" if self.moment.ascii_only else "▾")
        )
        name = fit(group.name or "(none)", 24)
        return f"{fold} {name} {group.rows:>7,} series  {group.cached:>7,} cached  hit {hit:>4}{stale}"

    def _draw_heading(self, line: int, width: int) -> list[Segment]:
        styles = ["fleet--group"]
        if self.view.is_selected(line):
            styles.append("fleet--cursor" if self.has_focus else "fleet--cursor-blur")
        return [Segment(fit(self._heading(self.view.groups[-1 - line]), width), self.style_of(*styles))]

    def empty_text(self) -> str:
        if self.view.filter and len(self.view.fleet):
            return f"no series matches “{self.view.filter}”\nEsc clears the filter"
        return self.waiting_text

    def _lay_out(self, width: int) -> None:
        self._layout = lay_out(width, self.columns)
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
        if not self.view.has_selection:
            return
        place, top = self.view.cursor, round(self.scroll_y)
        if place < top:
            self.scroll_to(y=place, animate=False)
        elif place >= top + self.body_height:
            self.scroll_to(y=place - self.body_height + 1, animate=False)

    def _select(self, place: int, step: int = 1) -> None:
        self._hold()
        self.view.move_to(place, step)
        self._keep_cursor_visible()
        self.sync_lines()
        if self.view.selected is not None:
            self.post_message(self.Selected(self.view.selected))

    def action_open(self) -> None:
        view = self.view
        if not view.has_selection and view.lines:
            self._select(round(self.scroll_y))
        if view.folded and view.selected_group is not None:
            self.post_message(self.Opened(None, view.selected_group))
        elif view.selected is not None:
            self.post_message(self.Opened(view.selected))

    def action_move(self, step: int) -> None:
        if self.view.has_selection:
            self._select(self.view.cursor + step, step)
        else:
            self._select(round(self.scroll_y))

    def action_move_page(self, step: int) -> None:
        self._select(self.view.cursor + step * max(self.body_height - 1, 1))

    def action_move_end(self, side: int) -> None:
        self._select(0 if side < 0 else len(self.view.lines) - 1, 1 if side < 0 else -1)

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
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self) -> None:
        self._hold()

    def on_mouse_scroll_up(self) -> None:
        self._hold()
