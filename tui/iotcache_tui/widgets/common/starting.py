"""What the dashboard shows until its parts answer: each part, its state, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from iotcache.text import printable
from iotcache_tui.state.updates import Part

_GLYPHS = {"starting": "◌", "up": "✓", "down": "✗", "off": "–"}
_COLOURS = {"starting": "$accent", "up": "$success", "down": "$error", "off": "$foreground"}


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


def waiting_text(parts: Sequence[Part]) -> str:
    """What an empty fleet waits for, with the part that keeps it waiting, where one is known to."""
    down = next((part for part in parts if part.state == "down" and part.name in ("broker", "ingest")), None)
    text = "waiting for the first readings …"
    if down is not None:
        why = f": {printable(down.text, 100)}" if down.text else ""
        return f"{text}\n{down.name} down{why}"
    if parts and not any(part.name == "simulator" for part in parts):
        return f"{text}\nno simulator runs here: devices appear as soon as they publish"
    return text
