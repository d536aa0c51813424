"""A scrolling view of many lines that draws only those on screen, and redraws only those that changed."""

from __future__ import annotations

from collections.abc import Hashable
from textwrap import wrap
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from iotcache_tui.widgets.common.styled_parts import StyledParts


# CSS is inherited along the first bases alone: `ScrollView` has some.
class LineView(ScrollView, StyledParts, can_focus=True):
    """Base of the fleet table and the logs: one fixed header line, then ``line_count`` lines.

    A subclass gives `line_count`, `line_key` (everything that a line's looks depend on) and `draw_line`;
    lines are drawn again only when their key changed.
    """

    DEFAULT_CSS = """
    LineView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }
    """
    HEADER_LINES: ClassVar[int] = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: dict[int, tuple[Hashable, Strip]] = {}
        self._shown: dict[int, Hashable] = {}

    # What a subclass says

    def line_count(self) -> int:
        raise NotImplementedError

    def line_key(self, line: int) -> Hashable:
        raise NotImplementedError

    def draw_line(self, line: int, width: int) -> list[Segment]:
        raise NotImplementedError

    def draw_header(self, width: int) -> list[Segment]:
        raise NotImplementedError

    def empty_text(self) -> str:
        """What to say in place of lines when there are none."""
        return ""

    # Drawing

    @property
    def line_width(self) -> int:
        """Cells of a line: the scroll bar's are not among them."""
        return self.scrollable_content_region.width

    @property
    def body_height(self) -> int:
        return max(self.size.height - self.HEADER_LINES, 0)

    def visible_lines(self) -> range:
        """Numbers of the lines on screen."""
        top = round(self.scroll_y)
        return range(top, min(top + self.body_height, self.line_count()))

    def sync_size(self) -> None:
        """Tell the scroll bar how many lines there are."""
        size = Size(self.line_width, self.line_count() + self.HEADER_LINES)
        if size != self.virtual_size:
            self.virtual_size = size

    def sync_lines(self) -> None:
        """Redraw the visible lines whose key changed. Called once a frame."""
        self.sync_size()
        top = round(self.scroll_y)
        count = self.line_count()
        width = self.line_width
        for y in range(self.HEADER_LINES, self.size.height):
            line = top + y - self.HEADER_LINES
            key = (line, self.line_key(line)) if line < count else None
            if self._shown.get(y, False) != key:
                self.refresh(Region(0, y, width, 1))

    def redraw(self) -> None:
        """Forget everything drawn: the width, the theme or the columns changed."""
        self._drawn.clear()
        self._shown.clear()
        self.refresh()

    def on_resize(self) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn.clear()
        self._shown.clear()

    def render_line(self, y: int) -> Strip:
        width = self.line_width
        if y < self.HEADER_LINES:
            return self._strip(self.draw_header(width), width)
        line = round(self.scroll_y) + y - self.HEADER_LINES
        if line >= self.line_count():
            self._shown[y] = None
            return self._blank(y, width)
        key: Hashable = (line, self.line_key(line))
        self._shown[y] = key
        cached = self._drawn.get(y)
        if cached is not None and cached[0] == key and cached[1].cell_length == width:
            return cached[1]
        strip = self._strip(self.draw_line(line, width), width)
        self._drawn[y] = (key, strip)
        return strip

    def _strip(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _blank(self, y: int, width: int) -> Strip:
        style = self.rich_style
        text = self.empty_text() if self.line_count() == 0 else ""
        lines = [part for line in text.splitlines() for part in wrap(line, max(width - 2, 1)) or [""]]
        first = self.HEADER_LINES + max((self.body_height - len(lines)) // 2, 0)
        if lines and first <= y < first + len(lines):
            return self._strip([Segment(lines[y - first][:width].center(width), style)], width)
        return Strip.blank(width, style)
