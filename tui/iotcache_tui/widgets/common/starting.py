"""What the dashboard shows until its parts answer: each part, its state, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from iotcache.text import printable
from iotcache_tui.state.absent_parts import fleet_missing
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.problems.problem import Gravity, Problem
from iotcache_tui.state.updates import Part

_GLYPHS = {
    "starting": "◌",
    "up": "✓",
    "down": "✗",
    "off": "–",
    "refused": "✗",
    "unreached": "✗",
    "empty": "○",
}
_COLOURS = {
    "starting": "$accent", "up": "$success", "down": "$error", "off": "$foreground", "refused": "$error",
    "unreached": "$error", "empty": "$accent",
}  # fmt: skip


class Starting(Widget):
    """The loading state of the first screen."""

    DEFAULT_CSS = """
    Starting { height: 1fr; content-align: center middle; background: $surface; color: $foreground; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._parts: tuple[Part, ...] = ()

    def show(self, parts: Sequence[Part]) -> None:
        if tuple(parts) != self._parts:
            self._parts = tuple(parts)
            self.refresh()

    def render(self) -> Text:
        text = Text("starting\n\n", style="bold", justify="left")
        names = max((len(part.name) for part in self._parts), default=0)
        for part in self._parts:
            colour = self.app.theme_variables.get(_COLOURS[part.state][1:], "")
            text.append(f"{_GLYPHS[part.state]} ", colour)
            text.append(f"{part.name:<{names}}  ", "bold")
            text.append(f"{part.state:<8}  ")
            text.append(printable(part.text, 60) + "\n", "not bold")
        return text


def why_no_device(state: DashboardState) -> str:
    """What an empty fleet waits for, or why nothing can come."""
    return fleet_missing(state.attachment) or waiting_text(
        state.parts, state.problems, len(state.processes.workers)
    )


def waiting_text(parts: Sequence[Part], problems: Sequence[Problem], workers: int) -> str:
    """What an empty fleet waits for: what keeps it waiting, where something does.

    ``workers`` are heard. Devices appear once a worker has stored what they publish, and the store is read.
    """
    text = "waiting for the first readings …"
    worst = next((one for one in problems if one.gravity is not Gravity.NOTE and one.part != "alerts"), None)
    if worst is not None:
        rest = f"\n{worst.effect}" if worst.effect else ""
        return f"{text}\n{worst.head}: {worst.cause}{rest}"
    states = {part.name: part.state for part in parts}
    if not parts or "simulator" in states:
        return text
    if states.get("ingest", "off") != "off" or workers:
        return f"{text}\nno simulator runs here: devices appear as soon as they publish"
    if states.get("store") == "up" and states.get("broker") == "off":
        return f"{text}\nthe store holds none yet"
    return f"{text}\nno worker is heard yet: devices appear once one stores what they publish"
