"""Help, written from the bindings themselves, so that it never lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from iotcache.config.schema import DashboardSettings
from iotcache_tui.key_display import key_text

_NOT_OURS = frozenset(
    {
        "Scroll Left", "Scroll Right", "Page Left", "Page Right", "Focus Next", "Focus Previous",
        "Copy selected text", "Screenshot",
    }
)  # fmt: skip
"""Keys that every Textual program has and this screen gives no meaning."""


TWO_COLUMNS_FROM = 100
"""Cells of the terminal from which the keys stand in two columns."""


class HelpScreen(ModalScreen[None]):
    """Every key that works on the screen below, and what its words mean."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 112; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $primary; border-title-color: $primary;
    }
    HelpScreen Static { height: auto; margin: 0 0 1 0; }
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
            yield Static(self._keys(), markup=False)
            yield Static(self._legend(), markup=False)

    def _keys(self) -> Table:
        keys: dict[str, list[str]] = {}
        settings: DashboardSettings | None = getattr(self._below, "settings", None)
        ascii_only = settings is not None and settings.ascii
        acts: frozenset[str] = getattr(self._below, "ACTS", frozenset())
        not_offered = acts if getattr(self.app, "read_only", False) else frozenset()
        for active in self._below.active_bindings.values():
            binding = active.binding
            if not binding.description or binding.system or binding.description in _NOT_OURS:
                continue
            if binding.action.partition("(")[0] in not_offered:
                continue
            shown = keys.setdefault(binding.description, [])
            display = key_text(self.app.get_key_display(binding), ascii_only)
            if display not in shown:
                shown.append(display)
        rows = [(" ".join(shown), description) for description, shown in keys.items()]
        if self.app.size.width < TWO_COLUMNS_FROM:
            return self._grid(rows)
        half = (len(rows) + 1) // 2
        both = Table.grid(padding=(0, 3, 0, 0), expand=True)
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(self._grid(rows[:half]), self._grid(rows[half:]))
        return both

    def _legend(self) -> Table:
        return self._grid(getattr(self._below, "LEGEND", ()))

    def _grid(self, rows: Iterable[tuple[str, str]]) -> Table:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style=f"bold {self.app.theme_variables['primary']}", min_width=10, no_wrap=True)
        grid.add_column()
        for left, right in rows:
            grid.add_row(Text(left), Text(right))
        return grid
