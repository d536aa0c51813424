"""All problems that stand, the gravest first: the line under the tabs has room for one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from iotcache_tui.format import fit, plain
from iotcache_tui.state.problems.problem import Problem
from iotcache_tui.widgets.common.problem_line import GLYPHS, TONES

LINES_MOST = 6


class StandingProblems(Widget):
    """Takes no room while the line under the tabs says it all."""

    DEFAULT_CSS = """
    StandingProblems {
        height: auto; background: $panel; color: $foreground; padding: 0 1; display: none;
    }
    """

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._lines: tuple[tuple[str, str, str], ...] = ()

    def show(self, problems: Sequence[Problem], now_s: float) -> None:
        """Alerts have a list of their own below."""
        listed = [one for one in problems if one.part != "alerts"]
        lines = tuple(
            (TONES[one.gravity], f"{GLYPHS[one.gravity]} {one.head}", one.line(now_s).removeprefix(one.head))
            for one in listed[:LINES_MOST]
        )
        over = listed[LINES_MOST:]
        if over:
            lines += (("foreground", f"+{len(over)}", f" {', '.join(one.head for one in over)}"),)
        if len(listed) < 2:
            lines = ()
        if lines != self._lines:
            grown = len(lines) != len(self._lines)
            self._lines = lines
            self.display = bool(lines)
            self.refresh(layout=grown)

    def render(self) -> Text:
        colours, width = self.app.theme_variables, self.content_size.width
        text = Text(no_wrap=True, end="")
        for number, (tone, head, rest) in enumerate(self._lines):
            shown = plain(fit(head + rest, width), self._ascii)
            size = min(len(plain(head, self._ascii)), width)
            text.append("\n" if number else "")
            text.append(shown[:size], f"bold {colours[tone]}")
            text.append(shown[size:])
        return text
