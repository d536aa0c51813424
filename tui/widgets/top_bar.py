"""The first line: what runs, what it is attached to, and whether the screen is live."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from iotcache.text import printable
from tui.format import fit

_ORDER = {"down": 0, "starting": 1}
"""What is in trouble stands first: a narrow line must not cut it off."""
_GLYPHS = {"starting": "◌", "up": "●", "down": "✗", "off": "○"}


class TopBar(Widget):
    """Name, parts, badge and clock on one line."""

    DEFAULT_CSS = """
    TopBar { height: 1; dock: top; background: $panel; color: $foreground; padding: 0 1; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._shown: tuple[tuple[tuple[str, str, str], ...], str, str] = ((), "", "")

    def show(self, parts: tuple[tuple[str, str, str], ...], badge: str, clock: str) -> None:
        """``parts`` are (name, state, text); ``badge`` is ``LIVE`` or ``PAUSED …``."""
        if (parts, badge, clock) != self._shown:
            self._shown = (parts, badge, clock)
            self.refresh()

    def render(self) -> Text:
        parts, badge, clock = self._shown
        colours = self.app.theme_variables
        tone = {"up": "success", "down": "error", "starting": "accent", "off": "foreground"}
        width = self.content_size.width
        paused = badge.startswith("PAUSED")
        tail = f" {badge} {clock}"
        line = Text(no_wrap=True, end="")
        line.append("iotcache", f"bold {colours['primary']}")
        for name, state, text in sorted(parts, key=lambda part: _ORDER.get(part[1], 9)):
            # A part in trouble is said in words; one that is well is its name and what it is.
            words = f"{name} {text}".rstrip() if state == "up" else f"{name} {state} {text}".rstrip()
            piece = f"  {_GLYPHS[state]} {printable(words, 48)}"
            if line.cell_len + cell_len(piece) + cell_len(tail) > width:
                piece = (
                    f"  {_GLYPHS[state]} {name}" if state == "up" else f"  {_GLYPHS[state]} {name} {state}"
                )
            if line.cell_len + cell_len(piece) + cell_len(tail) > width:
                break
            line.append(piece[:3], colours[tone[state]])
            line.append(piece[3:], "" if state == "up" else f"bold {colours[tone[state]]}")
        line.append(fit("", max(width - line.cell_len - cell_len(tail), 0)))
        line.append(f" {badge}", f"bold {colours['warning' if paused else 'success']}")
        line.append(f" {clock}")
        return line
