"""The third line of every screen: the gravest problem, since when, and how many more there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from iotcache.text import plural
from iotcache_tui.format import fit, plain
from iotcache_tui.state.problems.problem import Gravity, Problem

GLYPHS = {Gravity.DOWN: "✗", Gravity.BLIND: "✗", Gravity.WARNING: "▲", Gravity.NOTE: "○"}
TONES = {Gravity.DOWN: "error", Gravity.BLIND: "error", Gravity.WARNING: "warning", Gravity.NOTE: "accent"}
_ADDRESS = re.compile(r" \([^()]*\)$")
_CAUSE_LEAST = 28
"""Cells that a cause needs to tell one case from another."""
_Line = tuple[list[Segment], bool, list[Segment]]
WAITING = "waiting for the first second …"
ALL_WELL = "no problem: every part keeps up"


class ProblemLine(Widget):
    """``✗ store down 12s · connection refused  +1: node b:11211 down  ▲ 8 alerts  press 0: Events``.

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
        self._known: bool | None = None
        """``None`` until it is told: a screen that has only just come up claims nothing."""
        self._whose = ""
        self._lasting = ""
        self._lasting_at = 0
        """The cell where it begins."""
        self._drawn: tuple[object, _Line] = None, ([], False, [])
        """The line without it, and what it was drawn from."""

    def show(
        self, problems: Sequence[Problem], alerts: int, now_s: float, *, known: bool, whose: str = ""
    ) -> None:
        """``alerts`` stand; ``known`` is whether anything has been looked at yet.

        ``whose``: whose parts it is about, where the screen is about others.
        """
        problems = tuple(problems)
        lasting = problems[0].lasting(now_s) if problems else ""
        shown = problems, alerts, known, len(lasting), whose
        if shown == self._shown:
            if lasting != self._lasting:
                # All that moves while an outage lasts: no more than those cells are drawn again.
                self._lasting = lasting
                self.refresh(Region(self._lasting_at, 0, len(lasting), 1))
            return
        self._shown = shown
        self._problems, self._alerts, self._lasting, self._known = problems, alerts, lasting, known
        self._whose = f"{whose}: " if whose else ""
        if bool(problems) is not self.can_focus:
            if not problems and self.has_focus:
                self.screen.focus_next()
            self.can_focus = bool(problems)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, ground, colours = self.content_size.width, self.rich_style, self.app.theme_variables
        key = self._shown, width, ground, colours["success"]
        if self._drawn[0] != key:
            self._drawn = key, self._draw(width, ground, colours)
        before, lasting, after = self._drawn[1]
        shown = [*before, Segment(self._lasting, ground), *after] if lasting else before
        return Strip(shown).adjust_cell_length(width, ground)

    def _draw(self, width: int, ground: Style, colours: dict[str, str]) -> _Line:
        """All but how long it has lasted: what stands before that, whether that is shown, what follows."""
        if not self._problems:
            if self._known is None:
                return [], False, []
            if not self._known:
                return [Segment(plain(fit(WAITING, width), self._ascii), ground + Style(dim=True))], False, []
            well = Segment(plain("● ", self._ascii), ground + Style.parse(colours["success"]))
            return [well, Segment(fit(self._whose + ALL_WELL, width - 2), ground)], False, []
        first = self._problems[0]
        tone = ground + Style.parse(f"bold {colours[TONES[first.gravity]]}")
        head = f"{GLYPHS[first.gravity]} {self._whose}{first.head}"
        size = len(self._lasting)
        taken = cell_len(head) + 1 + size
        brief = _rest(_ADDRESS.sub("", first.cause))
        tail = self._tail(first, width - taken, cell_len(brief), cell_len(_rest(first.cause, first.effect)))
        room = max(width - cell_len(tail), 12)
        rest = _rest(first.cause, first.effect)
        if taken + cell_len(rest) > room:
            rest = _rest(_ADDRESS.sub("", first.cause), first.effect)  # what follows matters more than where
        before = [Segment(plain(fit(head, min(cell_len(head), room)), self._ascii), tone)]
        end = Segment(plain(tail, self._ascii), tone)
        left = room - cell_len(head)
        if left <= size + 1:
            return [*before, Segment(" " * max(left, 0), ground), end], False, []
        self._lasting_at = cell_len(head) + 1
        text = Segment(plain(fit(rest, left - 1 - size), self._ascii), ground)
        return [*before, Segment(" ", ground)], True, [text, end]

    def _tail(self, first: Problem, spare: int, brief: int, whole: int) -> str:
        """What else is wrong, the alerts, and the way there where the whole sentence leaves room for it.

        ``spare`` cells are left of the line; its cause takes ``brief`` of them, the whole sentence ``whole``.
        """
        others = [one for one in self._problems[1:] if one.part != "alerts"]
        alerts = ""
        if self._alerts and first.part != "alerts":
            alerts = f"  ▲ {plural(self._alerts, 'alert')}"
        free = spare - cell_len(alerts)
        # Rather what else is wrong than what follows of the first; rather its cause than that.
        forms, least = more_forms(first.part, others), min(brief, _CAUSE_LEAST)
        more = next((form for form in forms[:-1] if cell_len(form) <= free - whole), "") or next(
            (form for form in forms[1:-1] if cell_len(form) <= free - least), forms[-1]
        )
        # Neither "0 Events" nor "[0] Events": both read as a count, or as the number of that screen.
        hint = f"  press {self._key}: {self._titles[first.screen]}" if first.screen in self._titles else ""
        size = cell_len(more)
        return more + alerts + (hint if size + cell_len(hint) <= free - whole else "")

    def action_open(self) -> None:
        if self._problems:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_open()


def more_forms(part: str, others: Sequence[Problem]) -> tuple[str, ...]:
    """What says that there are others, from the longest to the shortest: whole names, kinds, their number.

    Of others of the same ``part`` as the gravest its name alone would say nothing.
    """
    if not others:
        return ("",)
    kinds = list(dict.fromkeys(f"{one.part} {one.label}" for one in others))
    parts = list(dict.fromkeys(one.part for one in others))
    told = list(dict.fromkeys(one.label if one.part == part else one.part for one in others))
    count = f"+{len(others)}"
    return (
        f"  {count}: {', '.join(one.head for one in others)}",
        f"  {count}: {', '.join(kinds)}",
        f"  {count}: {', '.join(told)}",
        *((f"  {count}: {', '.join(parts)}",) if parts != [part] else ()),
        f"  {count} more",
    )


def _rest(cause: str, effect: str = "") -> str:
    return "".join(f" · {text}" for text in (cause, effect) if text)
