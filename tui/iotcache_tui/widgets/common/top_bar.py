"""The first line: what runs, what it is attached to, and whether the screen is live."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from iotcache.text import printable

_ORDER = {"down": 0, "refused": 0, "unreached": 0, "starting": 1, "empty": 1, "troubled": 2}
"""What is in trouble stands first: a narrow line must not cut it off."""
_GLYPHS = {
    "starting": "◌",
    "up": "●",
    "down": "✗",
    "off": "○",
    "refused": "✗",
    "unreached": "✗",
    "empty": "○",
    "troubled": "▲",
}

_TONES = {
    "up": "success", "down": "error", "refused": "error", "unreached": "error", "starting": "accent",
    "off": "foreground", "empty": "accent",
    "troubled": "warning",
}  # fmt: skip
_CONTEXT_TONES = {
    "red": "error", "yellow": "warning", "green": "success", "blue": "secondary", "cyan": "primary",
}  # fmt: skip
"""A context's colour, as each theme has it: one for the colour-blind has no plain red and green."""
_WORKING = ("up", "troubled")
_SHORT_STATES = {"unreached": "not reached", "refused": "refuses us"}
_SOME_OF = re.compile(r"\((\d+ of \d+)\)$")
_SHORT_NAMES = {"simulator": "sim"}


class TopBar(Widget):
    """Name, parts, badge and clock on one line."""

    DEFAULT_CSS = """
    TopBar { height: 1; dock: top; background: $panel; color: $foreground; padding: 0 1; }
    """

    def __init__(self, *, context: tuple[str, str] | None = None, id: str) -> None:
        """``context``: the name of the configuration's context and its colour."""
        super().__init__(id=id)
        self._of_context = context
        self._parts: tuple[tuple[str, str, str], ...] = ()
        self._badge = self._clock = ""
        self._drawn: tuple[object, list[Segment]] = None, []
        """The line without its clock, and what it was drawn from."""

    def show(self, parts: tuple[tuple[str, str, str], ...], badge: str, clock: str) -> None:
        """``parts`` are (name, state, text); ``badge`` is ``LIVE`` or ``PAUSED …``."""
        if (parts, badge) != (self._parts, self._badge) or len(clock) != len(self._clock):
            self._parts, self._badge, self._clock = parts, badge, clock
            self.refresh()
        elif clock != self._clock:
            # Most of what is drawn while a fleet is silent: no more than those cells.
            self._clock = clock
            cells = cell_len(clock)
            self.refresh(Region(self.content_size.width - cells, 0, cells, 1))

    def render_line(self, y: int) -> Strip:
        colours, ground = self.app.theme_variables, self.rich_style
        width, clock = self.content_size.width, f" {self._clock}"
        key = self._parts, self._badge, len(clock), width, ground, colours["success"]
        if self._drawn[0] != key:
            self._drawn = key, self._draw(width - cell_len(clock), ground, colours)
        return Strip([*self._drawn[1], Segment(clock, ground)]).adjust_cell_length(width, ground)

    def _draw(self, width: int, ground: Style, colours: dict[str, str]) -> list[Segment]:
        """Everything but the clock, in ``width`` cells."""
        name, badge = "iotcache", f" {self._badge}"
        segments = [Segment(name, ground + Style.parse(f"bold {colours['primary']}"))]
        if self._of_context is not None:
            of_context = f"bold {colours['background']} on {colours[_CONTEXT_TONES[self._of_context[1]]]}"
            segments += [Segment(" ", ground), Segment(f" {self._of_context[0]} ", Style.parse(of_context))]
        room = width - sum(segment.cell_length for segment in segments) - cell_len(badge)
        for state, piece in self.pieces(room):
            colour = colours[_TONES[state]]
            style = ground if state in _WORKING else ground + Style.parse(f"bold {colour}")
            segments += (
                Segment(f"  {_GLYPHS[state]}", ground + Style.parse(colour)),
                Segment(f" {piece}", style),
            )
        left = width - sum(segment.cell_length for segment in segments) - cell_len(badge)
        segments.append(Segment(" " * max(left, 0), ground))
        colour = colours["warning" if self._badge.startswith("PAUSED") else "success"]
        return [*segments, Segment(badge, ground + Style.parse(f"bold {colour}"))]

    def pieces(self, room: int) -> list[tuple[str, str]]:
        """Each part's state and words, as long as all of them fit: nothing is cut in the middle of a word."""
        parts = sorted(self._parts, key=lambda part: _ORDER.get(part[1], 9))
        pieces: list[tuple[str, str]] = []
        for form in (_whole, _long, _short, _shortest):
            pieces = [(state, form(name, state, text)) for name, state, text in parts]
            if sum(4 + cell_len(piece) for _, piece in pieces) <= room:
                return pieces
        # Those that are well are counted, not named: those in trouble keep their words.
        well = sum(state == "up" for state, _ in pieces)
        return [*(one for one in pieces if one[0] != "up"), *([("up", f"{well} up")] if well else [])]


def _whole(name: str, state: str, text: str) -> str:
    """A part in trouble with all that is known of it."""
    from iotcache_tui.state.problems.shown import part_text

    return printable(_calm(name, state) or part_text(name, state, text), 500)


def _long(name: str, state: str, text: str) -> str:
    """A part in trouble is said in words; one that is well is its name and what it is."""
    return _within(48, name, state, text)


def _short(name: str, state: str, text: str) -> str:
    return name if state in _WORKING else _within(30, name, state, text)


def _shortest(name: str, state: str, text: str) -> str:
    short = _SHORT_NAMES.get(name, name)
    if state == "down" and (some := _SOME_OF.search(text)):
        return f"{some[1]} {short} {state}"  # "nodes down" would be all of them
    return short if state in _WORKING else _calm(short, state) or f"{short} {_SHORT_STATES.get(state, state)}"


def _within(limit: int, name: str, state: str, text: str) -> str:
    """A part's words, or its state alone where they are longer: the line below tells the cause in full."""
    words = _whole(name, state, text)
    return words if cell_len(words) <= limit else _shortest(name, state, text)


def _calm(name: str, state: str) -> str:
    """A part that there is not needs no word of its state."""
    return f"no {name}" if state == "off" else ""
