"""Jump mode: a letter stands on each panel that takes keys; pressing it goes there."""

from __future__ import annotations

import re
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
LABEL_CELLS = 3
HINT = "Press a letter: the keys go to its panel.  Esc stays.  Panels without a letter take no keys."
HINT_SHORT = "Press a letter to go to its panel; Esc stays."


class JumpScreen(ModalScreen[Widget | None]):
    """Answers the panel chosen; any other key stays where it was."""

    DEFAULT_CSS = """
    JumpScreen { background: $background 40%; layers: letters; }
    JumpScreen > Static {
        layer: letters; position: absolute; width: 3; height: 1; background: $accent; color: $background;
        text-style: bold;
    }
    JumpScreen > #jump-hint { position: relative; dock: bottom; width: 100%; padding: 0 1; }
    """

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        panels = [one for one in below.focus_chain if one.region.width > 0 and one.region.height > 0]
        self.panels: dict[str, Widget] = dict(zip(LETTERS, panels, strict=False))
        lines = [strip.text for strip in below._compositor.render_strips()]
        self._columns = {
            letter: _free_column(lines[panel.region.y] if panel.region.y < len(lines) else "", panel.region)
            for letter, panel in self.panels.items()
        }
        self._hint = HINT if len(HINT) + 2 <= below.size.width else HINT_SHORT

    def compose(self) -> ComposeResult:
        for letter, panel in self.panels.items():
            label = Static(f"[{letter}]", markup=False)
            label.styles.offset = (self._columns[letter], panel.region.y)
            yield label
        yield Static(self._hint, id="jump-hint", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(self.panels.get(event.key))


def _free_column(line: str, panel: Region) -> int:
    """Where a label hides no word of a panel's first line: as far right as possible, else at its end."""
    free = 0
    for gap in re.finditer(rf" {{{LABEL_CELLS + 2},}}", line):
        begin = max(cell_len(line[: gap.start()]), panel.x)
        end = min(cell_len(line[: gap.end()]), panel.right)
        if end - begin >= LABEL_CELLS + 1:
            free = end - LABEL_CELLS
            if end < panel.right:  # a word follows: keep off it
                free -= 1
    return free or max(panel.right - LABEL_CELLS, panel.x)
