"""Jump mode: a letter stands on each panel that takes keys; pressing it goes there."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class JumpScreen(ModalScreen[Widget | None]):
    """Answers the panel chosen; any other key stays where it was."""

    DEFAULT_CSS = """
    JumpScreen { background: $background 40%; layers: letters; }
    JumpScreen > Static {
        layer: letters; position: absolute; width: 5; height: 1; background: $accent; color: $background;
        text-style: bold; text-align: center;
    }
    """

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        panels = [one for one in below.focus_chain if one.region.width > 0 and one.region.height > 0]
        self.places: dict[str, Widget] = dict(zip(LETTERS, panels, strict=False))

    def compose(self) -> ComposeResult:
        for letter, panel in self.places.items():
            label = Static(f"[{letter}]", markup=False)
            label.styles.offset = (panel.region.x, panel.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(self.places.get(event.key))
