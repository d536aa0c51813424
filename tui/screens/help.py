"""Help, written from the bindings themselves, so that it never lies."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

LEGEND = """\
Hit ratio   the share of the readers' own reads that the cache answered. The TTL polling of
            this screen uses the node's debug command, which counts as no read.
From        where the last read found the value: cache, store (a fallback), or none.
TTL         how long the cache entry lives on, as the node says. The bar is full when it is new.
Age         time since the device measured the value. ● on time  ○ three intervals overdue.
Fallback    a read that the cache could not answer, and why: never set, expired, evicted,
            invalidated (deleted), node down, timeout, restarted, corrupt.
"""


class HelpScreen(ModalScreen[None]):
    """Every key that works on the screen below, and what its words mean."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 96; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $primary; border-title-color: $primary;
    }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss(None)", "Close", key_display="Esc")
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._below = below

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Help"
            yield Static(self._text(), markup=False)

    def _text(self) -> Text:
        colour = self.app.theme_variables["primary"]
        keys: dict[str, list[str]] = {}
        for active in self._below.active_bindings.values():
            binding = active.binding
            if not binding.description or binding.system:
                continue
            shown = keys.setdefault(binding.description, [])
            display = self.app.get_key_display(binding)
            if display not in shown:
                shown.append(display)
        text = Text()
        wide = max((len(" ".join(shown)) for shown in keys.values()), default=0)
        for description, shown in keys.items():
            text.append(f"{' '.join(shown):>{wide}}  ", f"bold {colour}")
            text.append(f"{description}\n")
        text.append("\n" + LEGEND)
        return text
