"""The scenarios to choose from, by level."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from iotcache_tui.format import fit
from iotcache_tui.state.lab import LabEntry
from iotcache_tui.widgets.common.lines import LineView


class LabList(LineView):
    """A line a scenario; Enter begins it."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        f"lab--{name}" for name in ("header", "row", "dim", "name", "cursor", "cursor-blur")
    )
    DEFAULT_CSS = """
    LabList {
        background: $surface; color: $foreground; height: 1fr;
        & > .lab--header { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .lab--row { color: $foreground; background: $surface; }
        & > .lab--dim { color: $foreground 60%; }
        & > .lab--name { color: $foreground; text-style: bold; }
        & > .lab--cursor { background: $primary 35%; }
        & > .lab--cursor-blur { background: $panel-lighten-1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("home", "move(-1000)", "First", show=False, id="table.first"),
        Binding("end", "move(1000)", "Last", show=False, id="table.last"),
        Binding("enter", "open", "Begin", key_display="↵", id="table.open"),
    ]

    class Opened(Message):
        def __init__(self, entry: LabEntry) -> None:
            super().__init__()
            self.entry = entry

    class Selected(Message):
        """The cursor stands on another scenario."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.entries: tuple[LabEntry, ...] = ()
        self.cursor = 0
        self.taken: frozenset[str] = frozenset()
        """Names of those that were gone through."""
        self.waiting = "looking for scenarios …"

    def show(self, entries: tuple[LabEntry, ...]) -> None:
        self.entries = entries
        self.cursor = min(self.cursor, max(len(entries) - 1, 0))
        self.sync_size()
        self.redraw()

    def choose(self, name: str) -> None:
        """Put the cursor on a scenario, where the list has it."""
        for line, entry in enumerate(self.entries):
            if entry.name == name:
                self.cursor = line
                self.action_move(0)

    @property
    def selected_entry(self) -> LabEntry | None:
        return self.entries[self.cursor] if self.cursor < len(self.entries) else None

    def line_count(self) -> int:
        return len(self.entries)

    def line_key(self, line: int) -> Hashable:
        return self.entries[line], self.entries[line].name in self.taken, line == self.cursor, self.has_focus

    def draw_header(self, width: int) -> list[Segment]:
        return [
            Segment(fit(f" {'Scenario':32} {'Level':8} {'Time':>6}", width), self.part_style("lab--header"))
        ]

    def draw_line(self, line: int, width: int) -> list[Segment]:
        entry = self.entries[line]
        under = "lab--row"
        if line == self.cursor:
            under = "lab--cursor" if self.has_focus else "lab--cursor-blur"
        ground = self.part_style(under).background_style
        return [
            Segment("✓" if entry.name in self.taken else " ", self.part_style("lab--dim") + ground),
            Segment(fit(entry.title, 32) + " ", self.part_style("lab--name") + ground),
            Segment(fit(entry.level, 8) + " ", self.part_style("lab--dim") + ground),
            Segment(f"{entry.minutes:>2g} min", self.part_style("lab--dim") + ground),
            Segment(" " * max(width - 49, 0), ground),
        ]

    def empty_text(self) -> str:
        return self.waiting

    def action_move(self, step: int) -> None:
        self.cursor = min(max(self.cursor + step, 0), max(len(self.entries) - 1, 0))
        top = round(self.scroll_y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self.body_height:
            self.scroll_to(y=self.cursor - self.body_height + 1, animate=False)
        self.sync_lines()
        self.post_message(self.Selected())

    def action_open(self) -> None:
        if self.selected_entry is not None:
            self.post_message(self.Opened(self.selected_entry))

    def on_click(self, event: events.Click) -> None:
        line = round(self.scroll_y) + event.y - self.HEADER_LINES
        if event.y >= self.HEADER_LINES and line < len(self.entries):
            self.cursor = line
            self.action_move(0)
            if event.chain == 2:
                self.action_open()
