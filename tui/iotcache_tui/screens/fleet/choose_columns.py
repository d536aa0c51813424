"""Which columns the fleet table has, and in what order; the table behind shows it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from iotcache_tui.widgets.fleet.fleet_columns import BY_KEY, COLUMNS, DEFAULT_COLUMNS

FIXED = ("state", "device", "sensor")
"""Columns without which a row is nobody's: they can be moved, not hidden."""


class ChooseColumns(ModalScreen[None]):
    """Calls ``changed`` with the keys of the columns wanted, in order, after every change."""

    DEFAULT_CSS = """
    ChooseColumns { align: right middle; background: $background 0%; }
    ChooseColumns > Vertical {
        width: 36; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 0 1;
        border: round $primary; border-title-color: $primary; margin: 0 2;
    }
    ChooseColumns OptionList { height: auto; max-height: 20; border: none; background: $surface; padding: 0; }
    ChooseColumns Static { height: auto; margin: 1 0 0 0; color: $foreground 70%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "show_or_hide", "Show or hide", priority=True),
        Binding("shift+up,K", "move(-1)", "Move up", priority=True),
        Binding("shift+down,J", "move(1)", "Move down", priority=True),
        Binding("r", "reset", "Reset"),
        Binding("escape,c,q", "dismiss(None)", "Done", key_display="Esc"),
    ]

    def __init__(self, columns: Sequence[str], changed: Callable[[tuple[str, ...]], None]) -> None:
        super().__init__()
        self._order = [*columns, *(column.key for column in COLUMNS if column.key not in columns)]
        self._on = set(columns)
        self._changed = changed
        self._list = OptionList()

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Columns"
            yield self._list
            yield Static("Space shows or hides · K and J move\nr resets · Esc done", markup=False)

    def on_mount(self) -> None:
        self._fill(0)

    def _fill(self, at: int) -> None:
        self._list.clear_options()
        for key in self._order:
            title = BY_KEY[key].title.strip() or "State"
            # Brackets are text here, not markup.
            self._list.add_option(Option(f"\\[{'x' if key in self._on else ' '}] {title}", id=key))
        self._list.highlighted = at

    def _apply(self, at: int) -> None:
        self._fill(at)
        self._changed(tuple(key for key in self._order if key in self._on))

    def action_show_or_hide(self) -> None:
        at = self._list.highlighted or 0
        key = self._order[at]
        if key in FIXED:
            self.app.bell()
            return
        self._on ^= {key}
        self._apply(at)

    def action_move(self, step: int) -> None:
        at = self._list.highlighted or 0
        to = at + step
        if 0 <= to < len(self._order):
            self._order[at], self._order[to] = self._order[to], self._order[at]
            self._apply(to)

    def action_reset(self) -> None:
        self._on = set(DEFAULT_COLUMNS)
        self._order = [
            *DEFAULT_COLUMNS,
            *(column.key for column in COLUMNS if column.key not in DEFAULT_COLUMNS),
        ]
        self._apply(0)
