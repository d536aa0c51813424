"""The second line: every screen with its number key; a click opens it, too."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from iotcache_tui.state.absent_parts import own_load


class ScreenTabs(Widget):
    """``1 Fleet  2 Device  …``; the one on show stands out by brackets as well as by colour."""

    DEFAULT_CSS = """
    ScreenTabs { height: 1; background: $background; color: $foreground 65%; padding: 0 1; }
    """

    class TabSelected(Message):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, tabs: tuple[tuple[str, str, str], ...], current: str, *, id: str) -> None:
        """``tabs`` are (key, name, title)."""
        super().__init__(id=id)
        self._tabs = tabs
        self._current = current
        self._load: tuple[float, float] | None = None

    def show(self, load: tuple[float, float] | None) -> None:
        """What this dashboard itself does: looks and writes a second; ``None`` where nobody counts them."""
        if load != self._load:
            self._load = load
            self.refresh()

    def _pieces(self) -> list[tuple[str, str]]:
        pieces = [
            (name, f"[{key} {title}]" if name == self._current else f" {key} {title} ")
            for key, name, title in self._tabs
        ]
        width = self.content_size.width
        if self._load is not None and not own_load(*self._load, width - _width_of(pieces) - 1):
            pieces = [
                (name, f"[{key} {title}] " if name == self._current else f"{key} {title} ")
                for key, name, title in self._tabs
            ]
        if _width_of(pieces) > width:
            pieces = [
                (name, f"[{key} {title}]" if name == self._current else f" {key} ")
                for key, name, title in self._tabs
            ]
        return pieces

    def render(self) -> Text:
        line = Text(no_wrap=True, end="")
        for name, piece in self._pieces():
            line.append(piece, f"bold {self.app.theme_variables['primary']}" if name == self._current else "")
        if self._load is not None:
            room = self.content_size.width - line.cell_len
            text = own_load(*self._load, room)
            line.append(text.rjust(room) if text else "", "dim")
        return line

    def on_click(self, event: events.Click) -> None:
        left = self.styles.padding.left
        for name, piece in self._pieces():
            size = cell_len(piece)
            if left <= event.x < left + size:
                self.post_message(self.TabSelected(name))
                return
            left += size


def _width_of(pieces: list[tuple[str, str]]) -> int:
    return sum(cell_len(piece) for _, piece in pieces)
