"""Asks in which form the screen is to be written."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

_FORMS = {
    "csv": "The table as CSV",
    "json": "The table as JSON",
    "svg": "The screen as a picture (SVG)",
    "txt": "The screen as text",
}


class ExportScreen(ModalScreen[str]):
    """Answers the form's ending; an empty text for none."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; background: $background 60%; }
    ExportScreen > Vertical {
        width: 42; max-width: 96%; height: auto; background: $surface; padding: 0 1;
        border: round $primary; border-title-color: $primary;
    }
    ExportScreen OptionList { height: auto; border: none; background: $surface; }
    ExportScreen OptionList:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss('')", "Close", key_display="Esc")]

    def __init__(self, *, table: bool) -> None:
        super().__init__()
        self._forms = [form for form in _FORMS if table or form in ("svg", "txt")]

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Download" if self.app.is_web else "Write to this folder"
            yield OptionList(*(Option(_FORMS[form], id=form) for form in self._forms))

    @on(OptionList.OptionSelected)
    def _on_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id or "")
