"""The log of everything that happened: a line an entry, the newest at the end, a cursor to act on one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from iotcache.model import Severity
from iotcache_tui.format import clock_text, fit, fit_parts
from iotcache_tui.state.log import LogEntry, LogView
from iotcache_tui.widgets.common.lines import LineView

GLYPHS = {Severity.INFO: "·", Severity.WARNING: "▲", Severity.ERROR: "✗"}
ASCII_GLYPHS = {Severity.INFO: ".", Severity.WARNING: "!", Severity.ERROR: "x"}


class EventLogView(LineView):
    """Follows the end until somebody moves up; ``End`` follows again."""

    KIND_CELLS: ClassVar[int] = 11
    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"events--{name}"
        for name in ("header", "row", "dim", "subject", "info", "warning", "error", "cursor", "cursor-blur")
    )
    DEFAULT_CSS = """
    EventLogView {
        background: $surface; color: $foreground; height: 1fr;
        & > .events--header { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .events--row { color: $foreground; background: $surface; }
        & > .events--dim { color: $foreground 60%; }
        & > .events--subject { color: $primary; }
        & > .events--info { color: $foreground 60%; }
        & > .events--warning { color: $warning; text-style: bold; }
        & > .events--error { color: $error; text-style: bold; }
        & > .events--cursor { background: $primary 35%; }
        & > .events--cursor-blur { background: $panel-lighten-1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Line up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Line down", show=False, id="table.down"),
        Binding("pageup", "move_page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "move_page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home", "first", "First line", show=False, id="table.first"),
        Binding("end", "follow", "Last line, and follow", show=False, id="table.last"),
        Binding("enter", "open", "Go to it", key_display="↵", id="table.open"),
    ]

    class Opened(Message):
        def __init__(self, entry: LogEntry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, view: LogView, *, ascii_only: bool, id: str, clear_key: str = "Esc") -> None:
        """``clear_key`` is the key that shows everything again."""
        super().__init__(id=id)
        self.view = view
        self._clear_key = clear_key
        self._empty_shown = ""
        self.following = True
        self.selected = 0
        """The number of the entry under the cursor; 0 for none."""
        self._glyphs = ASCII_GLYPHS if ascii_only else GLYPHS

    def frame(self) -> None:
        """Show what came in."""
        self.view.update()
        if self._empty_shown != (empty := "" if self.view.lines else self.empty_text()):
            self._empty_shown = empty
            self.redraw()
        self.sync_size()
        if self.following and round(self.scroll_y) < self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self.sync_lines()

    def changed(self) -> None:
        """What is wanted is something else now."""
        self.sync_size()
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self.redraw()

    @property
    def selected_entry(self) -> LogEntry | None:
        """The entry under the cursor, when it is still there."""
        position = self._position()
        return self.view.lines[position] if position is not None else None

    def _position(self) -> int | None:
        lines = self.view.lines
        low, high = 0, len(lines)
        while low < high:
            middle = (low + high) // 2
            if lines[middle].number < self.selected:
                low = middle + 1
            else:
                high = middle
        return low if low < len(lines) and lines[low].number == self.selected else None

    # Lines

    def line_count(self) -> int:
        return len(self.view.lines)

    def line_key(self, line: int) -> Hashable:
        entry = self.view.lines[line]
        return entry.number, entry.times, entry.number == self.selected, self.has_focus

    def draw_header(self, width: int) -> list[Segment]:
        subject = self._subject_width(width)
        text = f"{'Time':8}   {fit('Kind', self.KIND_CELLS)} {fit('About', subject)} What"
        return [Segment(fit(text, width), self.part_style("events--header"))]

    def _subject_width(self, width: int) -> int:
        # The name of what it is about tells more than the end of the text, which is a node's address.
        return min(max((width - 8 - self.KIND_CELLS - 5) // 2, 12), 48)

    def _subject_of(self, entry: LogEntry) -> str:
        return entry.subject

    def _fit_text(self, entry: LogEntry, width: int) -> str:
        # A fallback's text ends with its node: rather none than half an address.
        return (fit_parts if entry.kind == "fallback" else fit)(entry.text, width)

    def draw_line(self, line: int, width: int) -> list[Segment]:
        entry = self.view.lines[line]
        under = "events--row"
        if entry.number == self.selected:
            under = "events--cursor" if self.has_focus else "events--cursor-blur"
        ground = self.part_style(under).background_style
        subject = self._subject_width(width)
        rest = max(width - 8 - 3 - self.KIND_CELLS - 1 - subject - 1, 0)
        level = self.part_style(f"events--{entry.severity}")
        text = self.part_style("events--row") if entry.severity is Severity.INFO else level
        return [
            Segment(clock_text(entry.wall_s) + " ", self.part_style("events--dim") + ground),
            Segment(self._glyphs[entry.severity] + " ", level + ground),
            Segment(fit(entry.kind, self.KIND_CELLS) + " ", self.part_style("events--dim") + ground),
            Segment(fit(self._subject_of(entry), subject) + " ", self.part_style("events--subject") + ground),
            Segment(self._fit_text(entry, rest), text + ground),
        ]

    def empty_text(self) -> str:
        if not self.view.anything:
            return "No events yet\nFallbacks, alerts and changes of nodes and parts will be listed here."
        return f"No events match: {self.view.wanted}\n{self._clear_key} shows everything again"

    # Moving about

    def _select(self, position: int) -> None:
        lines = self.view.lines
        if not lines:
            return
        position = min(max(position, 0), len(lines) - 1)
        self.selected = lines[position].number
        self.following = position == len(lines) - 1
        top = round(self.scroll_y)
        if position < top:
            self.scroll_to(y=position, animate=False)
        elif position >= top + self.body_height:
            self.scroll_to(y=position - self.body_height + 1, animate=False)
        self.sync_lines()

    def action_move(self, step: int) -> None:
        position = self._position()
        self._select(self.visible_lines().stop - 1 if position is None else position + step)

    def action_move_page(self, step: int) -> None:
        position = self._position()
        start = self.visible_lines().stop - 1 if position is None else position
        self._select(start + step * max(self.body_height - 1, 1))

    def action_first(self) -> None:
        self._select(0)

    def action_follow(self) -> None:
        self._select(len(self.view.lines) - 1)

    def action_open(self) -> None:
        entry = self.selected_entry
        if entry is not None:
            self.post_message(self.Opened(entry))

    def on_click(self, event: events.Click) -> None:
        line = round(self.scroll_y) + event.y - self.HEADER_LINES
        if event.y >= self.HEADER_LINES and line < self.line_count():
            self._select(line)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_up(self) -> None:
        self.following = False

    def on_mouse_scroll_down(self) -> None:
        self.following = round(self.scroll_y) >= self.max_scroll_y - 1
