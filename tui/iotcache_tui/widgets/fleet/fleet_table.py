"""The fleet, a row a series: drawn straight from the state, visible rows only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from iotcache_tui.format import duration, fit
from iotcache_tui.state.fleet.view import FleetView, Group
from iotcache_tui.widgets.common.cursor_table import TTL_TEXT_CELLS, CursorTable
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.table_fields import Piece, lay_out
from iotcache_tui.widgets.fleet.fleet_columns import BY_KEY, DEFAULT_COLUMNS, flashes, sized

HOLD_ORDER_S = 3.0
"""While the user moves about, the order holds still for this long."""


class FleetTable(CursorTable):
    """Every series with its live value, the life of its cache entry, and where it was read from.

    A line is known by its row's number, or by its group's name when it is a heading.
    """

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"table--{name}"
        for name in (
            "value", "live", "stale", "trend", "ttl-bar", "ttl-low", "ttl-low-bar", "gone", "cache", "store",
            "none", "flash", "group",
        )
    )  # fmt: skip
    DEFAULT_CSS = """
    FleetTable {
        &:focus > .table--header { color: $foreground 60%; background: $panel; }
        & > .table--value { color: $foreground; text-style: bold; }
        & > .table--live { color: $success; }
        & > .table--stale { color: $warning; }
        & > .table--trend { color: $secondary 65%; }
        & > .table--ttl-bar { color: $primary 55%; background: $panel; }
        & > .table--ttl-low { color: $warning; }
        & > .table--ttl-low-bar { color: $warning 65%; background: $panel; }
        & > .table--gone { color: $error; }
        & > .table--cache { color: $success; }
        & > .table--store { color: $warning; text-style: bold; }
        & > .table--none { color: $error; text-style: bold; }
        & > .table--flash { color: $foreground; background: $accent 45%; text-style: bold; }
        & > .table--group { color: $primary; background: $panel; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="↵", id="table.open"),
    ]
    OWN_GROUND: ClassVar[frozenset[str]] = frozenset({"ttl-bar", "ttl-low-bar", "flash"})

    def __init__(self, view: FleetView, *, id: str) -> None:
        super().__init__(id=id)
        self.view = view
        self.moment = RenderContext(0.0, 0.0, {})
        self.waiting_text = "waiting for the first readings …"
        self._bar_room = 0
        self._longest: dict[str, int] = {}
        self._held_until_s = 0.0
        self.moving = False
        """Whether a bar on screen shrinks, or a value still glows."""
        self.columns = DEFAULT_COLUMNS

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys of the columns, in order."""
        return tuple(field.key for field in self.fields)

    @columns.setter
    def columns(self, keys: Sequence[str]) -> None:
        self.fields = tuple(BY_KEY[key] for key in keys)

    # One frame

    def frame(self, moment: RenderContext) -> None:
        """Show the rows as they stand at ``moment``."""
        nodes_changed = moment.nodes != self.moment.nodes
        self.moment, self.moving = moment, False
        self.ascii_only = moment.ascii_only
        self.view.at(moment.now_s, moment.wall_s)
        self.view.append_joined()
        if self._longest != self.view.fleet.longest:
            self.lay_out(self.line_width)
            self.redraw()
        if nodes_changed:
            self.redraw()
        self.sync_lines()

    def resort(self) -> None:
        """Bring the order up to date, unless the user is moving about in it; the frame draws it."""
        if self.moment.now_s >= self._held_until_s:
            self.view.refresh()

    def show_view(self) -> None:
        """The filter, the sort column, the grouping or the columns changed."""
        self.lay_out(self.line_width)
        self.sync_size()
        self.keep_cursor_visible()
        self.redraw()

    def visible_rows(self) -> Sequence[int]:
        """Row numbers of the series on screen."""
        lines = self.visible_lines()
        return [line for line in self.view.lines[lines.start : lines.stop] if line >= 0]

    # Lines

    def line_count(self) -> int:
        return len(self.view.lines)

    def identity(self, line: int) -> Hashable:
        row = self.view.lines[line]
        return row if row >= 0 else self.view.groups[-1 - row].name

    def is_selected(self, line: int) -> bool:
        return self.view.is_selected(self.view.lines[line])

    def sorting(self) -> tuple[str, bool]:
        return self.view.sort, self.view.reverse

    def content_key(self, line: int) -> Hashable:
        row = self.view.lines[line]
        if row < 0:
            return self._heading(self.view.groups[-1 - row])
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
            row in fleet.marked,
            row in fleet.watched,
            glows,
        )

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        return BY_KEY[field].draw(self.view.fleet, self.view.lines[line], width, self.moment)

    def draw_line(self, line: int, width: int) -> list[Segment]:
        row = self.view.lines[line]
        return super().draw_line(line, width) if row >= 0 else self._draw_heading(row, width)

    def _heading(self, group: Group) -> str:
        hit = f"{group.hits * 100 // group.reads}%" if group.reads else "–"
        stale = f"  {group.stale:,} stale" if group.stale else ""
        fold = (
            (">" if self.moment.ascii_only else "▸")
            if self.view.folded
            else ("v" if self.moment.ascii_only else "▾")
        )
        rest = f"{group.rows:>7,} series  {group.cached:>7,} cached  hit {hit:>4}{stale}"
        room = max(self.line_width - len(fold) - len(rest) - 2, 8)
        return f"{fold} {fit(group.name or '(none)', min(room, 24))} {rest}"

    def _draw_heading(self, line: int, width: int) -> list[Segment]:
        style = "table--group"
        if self.view.is_selected(line):
            style = "table--cursor" if self.has_focus else "table--cursor-blur"
        return [Segment(fit(self._heading(self.view.groups[-1 - line]), width), self.part_style(style))]

    def empty_text(self) -> str:
        if self.view.filter and len(self.view.fleet):
            return f"no series matches “{self.view.filter}”\nEsc clears the filter"
        return self.waiting_text

    def lay_out(self, width: int) -> None:
        """Names are shown whole where there is room, before curves and bars grow."""
        longest = self._longest = dict(self.view.fleet.longest)
        fields = [sized(BY_KEY[field.key], longest.get(field.key, 0)) for field in self.fields]
        self._layout = lay_out(width, fields, first=longest)
        self._bar_room = max(self.field_width("ttl") - TTL_TEXT_CELLS, 0)

    # Moving about

    @property
    def cursor(self) -> int | None:
        return self.view.cursor if self.view.has_selection else None

    def select(self, line: int, step: int = 1) -> None:
        """Put the cursor on a line, clamped; a heading is passed over in the direction of ``step``."""
        self._hold()
        self.view.move_to(line, step)
        self.keep_cursor_visible()
        self.sync_lines()
        if self.view.selected is not None:
            self.post_message(self.Selected(self, self.view.selected))

    def action_open(self) -> None:
        view = self.view
        if not view.has_selection and view.lines:
            self.select(round(self.scroll_y))
        selected = view.selected_group if view.folded else view.selected
        if selected is not None:
            self.post_message(self.Opened(self, selected))

    def action_move(self, step: int) -> None:
        line = self.cursor
        if line is None:
            self.select(round(self.scroll_y))
        else:
            self.select(line + step, step)

    def action_move_end(self, side: int) -> None:
        self.select(0 if side < 0 else len(self.view.lines) - 1, 1 if side < 0 else -1)

    def _hold(self) -> None:
        self._held_until_s = self.moment.now_s + HOLD_ORDER_S

    def on_mouse_scroll_down(self) -> None:
        self._hold()

    def on_mouse_scroll_up(self) -> None:
        self._hold()
