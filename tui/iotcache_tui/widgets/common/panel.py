"""A titled block of lines, drawn again only where a line changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from iotcache_tui.format import fit, plain
from iotcache_tui.widgets.common.styled_parts import StyledParts

Piece = tuple[str, str]
"""A text, safe to show, and its tone: one of the panel's `STYLE_NAMES` without its ``panel--``."""
Line = Sequence[Piece]
Draw = Callable[[int, int], Sequence[Line]]
"""Lines for so many cells of width and lines of height; what is over is cut."""
TONES = ("title", "note", "row", "dim", "strong", "good", "warn", "bad", "bar", "rest", "curve", "mark")


class Panel(StyledParts):
    """A header line, then what `show` was given."""

    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(f"panel--{tone}" for tone in TONES)
    DEFAULT_CSS = """
    Panel {
        background: $surface; color: $foreground;
        & > .panel--title { color: $foreground 60%; background: $panel; text-style: bold; }
        & > .panel--note { color: $foreground 60%; background: $panel; }
        & > .panel--row { color: $foreground; background: $surface; }
        & > .panel--dim { color: $foreground 60%; background: $surface; }
        & > .panel--strong { color: $foreground; background: $surface; text-style: bold; }
        & > .panel--good { color: $success; background: $surface; }
        & > .panel--warn { color: $warning; background: $surface; }
        & > .panel--bad { color: $error; background: $surface; text-style: bold; }
        & > .panel--bar { color: $primary 70%; background: $panel; }
        & > .panel--rest { color: $secondary 55%; background: $panel; }
        & > .panel--curve { color: $secondary 70%; background: $surface; }
        & > .panel--mark { color: $primary; background: $surface; text-style: bold; }
    }
    """

    def __init__(self, title: str, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.panel_title = title
        self._ascii = ascii_only
        self._draw: Draw = lambda width, height: ()
        self._key: Hashable = None
        self._note = ""
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}

    def show(self, key: Hashable, draw: Draw, *, note: str = "", title: str | None = None) -> None:
        """Show what ``draw`` gives; called only when ``key`` (all it depends on) or the size changed."""
        if title is not None and title != self.panel_title:
            self.panel_title = title
            self._redraw(0)
        if note != self._note:
            self._note = note
            self._redraw(0)
        whole = (key, self.size)
        if whole == self._key:
            return
        self._key, self._draw = whole, draw
        before, self._lines = self._lines, self._made()
        for y in range(max(len(before), len(self._lines))):
            if y >= len(before) or y >= len(self._lines) or before[y] != self._lines[y]:
                self._redraw(y + 1)

    def _made(self) -> list[Line]:
        width, height = self.size.width, self.size.height - 1
        return list(self._draw(width, height))[:height] if width > 0 and height > 0 else []

    def _redraw(self, y: int) -> None:
        self._strips.pop(y, None)
        self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        self._strips.clear()
        self._lines = self._made()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def _style(self, tone: str) -> Style:
        return self.part_style(f"panel--{tone}")

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != self.size.width:
            strip = self._strips[y] = self._line(y, self.size.width)
        return strip

    def _line(self, y: int, width: int) -> Strip:
        if y == 0:
            room = max(width - cell_len(self.panel_title) - 3, 0)
            note = fit(self._note, min(cell_len(self._note), room))
            title = fit(f" {self.panel_title}", width - cell_len(note) - 1)
            return Strip(
                [Segment(title, self._style("title")), Segment(f"{note} ", self._style("note"))]
            ).adjust_cell_length(width, self._style("note"))
        if y > len(self._lines):
            return Strip.blank(width, self._style("row"))
        segments = [Segment(" ", self._style("row"))]
        segments += [
            Segment(plain(text, self._ascii), self._style(tone)) for text, tone in self._lines[y - 1] if text
        ]
        return Strip(segments).adjust_cell_length(width, self._style("row"))
