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

_SHORT_NAMES = {"simulator": "sim"}


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
        _, badge, clock = self._shown
        colours = self.app.theme_variables
        tone = {"up": "success", "down": "error", "starting": "accent", "off": "foreground"}
        width = self.content_size.width
        paused = badge.startswith("PAUSED")
        tail = f" {badge} {clock}"
        line = Text(no_wrap=True, end="")
        line.append("iotcache", f"bold {colours['primary']}")
        for state, piece in self._pieces(width - line.cell_len - cell_len(tail)):
            line.append(f"  {_GLYPHS[state]}", colours[tone[state]])
            line.append(f" {piece}", "" if state == "up" else f"bold {colours[tone[state]]}")
        line.append(fit("", max(width - line.cell_len - cell_len(tail), 0)))
        line.append(f" {badge}", f"bold {colours['warning' if paused else 'success']}")
        line.append(f" {clock}")
        return line

    def _pieces(self, room: int) -> list[tuple[str, str]]:
        """Each part's state and words, as long as all of them fit: nothing is cut in the middle of a word."""
        parts = sorted(self._shown[0], key=lambda part: _ORDER.get(part[1], 9))
        pieces: list[tuple[str, str]] = []
        for form in (_long, _short, _shortest):
            pieces = [(state, form(name, state, text)) for name, state, text in parts]
            if sum(4 + cell_len(piece) for _, piece in pieces) <= room:
                return pieces
        # Those that are well are counted, not named: those in trouble keep their words.
        well = sum(state == "up" for state, _ in pieces)
        return [*(one for one in pieces if one[0] != "up"), *([("up", f"{well} up")] if well else [])]


def _long(name: str, state: str, text: str) -> str:
    """A part in trouble is said in words; one that is well is its name and what it is."""
    return printable(f"{name} {text}" if state == "up" else f"{name} {state} {text}", 48).rstrip()


def _short(name: str, state: str, text: str) -> str:
    return name if state == "up" else printable(f"{name} {state} {text}", 30).rstrip()


def _shortest(name: str, state: str, text: str) -> str:
    short = _SHORT_NAMES.get(name, name)
    return short if state == "up" else f"{short} {state}"
