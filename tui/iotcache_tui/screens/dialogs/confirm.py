"""Asks before something is changed: says what, where, and with what effect."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from iotcache.text import printable


class ConfirmScreen(ModalScreen[bool]):
    """Answers True only for a deliberate yes; Escape, ``n`` and the button that has the focus say no."""

    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; background: $background 60%; }
    ConfirmScreen > VerticalScroll {
        width: 66; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $warning; border-title-color: $warning;
    }
    ConfirmScreen Static { height: auto; margin: 0 0 1 0; }
    ConfirmScreen Horizontal { height: 3; align-horizontal: right; }
    ConfirmScreen Button { margin: 0 0 0 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape", "dismiss(False)", "No"),
        Binding("left,right", "app.focus_next", show=False),
    ]
    AUTO_FOCUS = "#no"

    def __init__(self, title: str, effect: str, *, yes: str = "Yes") -> None:
        """``title`` names the act and its target, ``effect`` says in a sentence what it will do."""
        super().__init__()
        self._title, self._effect, self._yes = printable(title), effect, yes

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = self._title.replace("[", "\\[")
            yield Static("\n".join(printable(line, 400) for line in self._effect.splitlines()), markup=False)
            with Horizontal():
                yield Button(f"{self._yes} (y)", id="yes", variant="warning")
                yield Button("No (n)", id="no")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
