"""The third line of every screen: the gravest problem, since when, and how many more there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from iotcache_tui.format import fit, plain, plural
from iotcache_tui.state.problems.problem import Gravity, Problem

_GLYPHS = {Gravity.DOWN: "✗", Gravity.BLIND: "✗", Gravity.WARNING: "▲", Gravity.NOTE: "○"}
_TONES = {Gravity.DOWN: "error", Gravity.BLIND: "error", Gravity.WARNING: "warning", Gravity.NOTE: "accent"}
_ADDRESS = re.compile(r" \([^()]*\)$")
WAITING = "waiting for the first second …"
ALL_WELL = "no problem: every part keeps up"


class ProblemLine(Widget):
    """``✗ store down 12s · connection refused   +1 more  ▲ 8 alerts  [0] Events``.

    While there is a problem it takes keys, too: Enter or a click goes to where more of it is to be seen.
    """

    DEFAULT_CSS = """
    ProblemLine { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    ProblemLine:focus { background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Go there", id="problem.open"),
    ]

    class Opened(Message):
        """The screen of the gravest problem is wanted."""

    def __init__(self, *, ascii_only: bool, key: str, titles: dict[str, str], id: str) -> None:
        """``key`` goes there from anywhere on the screen; ``titles`` are the screens' by their names."""
        super().__init__(id=id)
        self._ascii = ascii_only
        self._key = key
        self._titles = titles
        self._shown: tuple[object, ...] = ()
        self._problems: tuple[Problem, ...] = ()
        self._alerts = 0
        self._known = False
        self._lasting = ""

    def show(self, problems: Sequence[Problem], alerts: int, now_s: float, *, known: bool) -> None:
        """``alerts`` stand; ``known`` is whether anything has been looked at yet."""
        problems = tuple(problems)
        lasting = problems[0].lasting(now_s) if problems else ""
        shown = (problems, alerts, lasting, known)
        if shown == self._shown:
            return
        self._shown = shown
        self._problems, self._alerts, self._lasting, self._known = problems, alerts, lasting, known
        if bool(problems) is not self.can_focus:
            if not problems and self.has_focus:
                self.screen.focus_next()
            self.can_focus = bool(problems)
        self.refresh()

    def render(self) -> Text:
        colours, width = self.app.theme_variables, self.content_size.width
        line = Text(no_wrap=True, end="")
        if not self._problems:
            if self._known:
                line.append(plain("● ", self._ascii), colours["success"])
                line.append(fit(ALL_WELL, width - 2))
            else:
                line.append(plain(fit(WAITING, width), self._ascii), "dim")
            return line
        first = self._problems[0]
        tone = colours[_TONES[first.gravity]]
        head = f"{_GLYPHS[first.gravity]} {first.head}"
        tail = self._tail(first, width - cell_len(head) - cell_len(first.cause) - 12)
        room = max(width - cell_len(tail), 12)
        rest = _rest(first.cause, first.effect)
        if cell_len(head) + 1 + cell_len(self._lasting + rest) > room:
            rest = _rest(_ADDRESS.sub("", first.cause), first.effect)  # what follows matters more than where
        line.append(plain(fit(head, min(cell_len(head), room)), self._ascii), f"bold {tone}")
        left = room - cell_len(head)
        if left > 0:
            line.append(plain(fit(f" {self._lasting}{rest}", left), self._ascii))
        line.append(plain(tail, self._ascii), f"bold {tone}")
        return line

    def _tail(self, first: Problem, spare: int) -> str:
        """How many more, the alerts, and the way there: each where the cause leaves room for it."""
        more = len([one for one in self._problems[1:] if one.part != "alerts"])
        pieces = [f"  +{more} more"] if more else []
        if self._alerts and first.part != "alerts":
            pieces.append(f"  ▲ {plural(self._alerts, 'alert')}")
        hint = f"  [{self._key}] {self._titles.get(first.screen, '')}".rstrip()  # "0 Events" reads as a count
        size = sum(map(cell_len, pieces))
        return "".join(pieces) + (hint if size + cell_len(hint) <= spare else "")

    def action_open(self) -> None:
        if self._problems:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_open()


def _rest(cause: str, effect: str) -> str:
    return "".join(f" · {text}" for text in (cause, effect) if text)
