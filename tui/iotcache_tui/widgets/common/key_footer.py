"""The last line: keys that work here, as many as there is room for, none of them cut."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from iotcache_tui.key_display import key_text

_ALWAYS: Final = ("app.help", "help", "app.quit", "quit")
"""They lead to all the others, and out."""
_FIRST_TO_GO: Final = ("app.command_palette", "command_palette")
"""The help names it, and what it does."""


class KeyFooter(Footer):
    """As Textual's; where it is too narrow, whole keys are left out from the end, but never help and quit."""

    DEFAULT_CSS = """
    KeyFooter { background: $panel; }
    """

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(show_command_palette=False)
        self._ascii = ascii_only
        self._made_for = 0

    def compose(self) -> ComposeResult:
        self._made_for = self.app.size.width
        hidden = self._not_offered()
        keys = [
            one
            for one in super().compose()
            if isinstance(one, FooterKey) and one.action.partition("(")[0] not in hidden
        ]
        for key in keys:
            key.key_display = key_text(key.key_display, self._ascii)
        yield from _fitting(keys, self._made_for)

    def _not_offered(self) -> frozenset[str]:
        acts: frozenset[str] = getattr(self.screen, "ACTS", frozenset())
        return acts if getattr(self.app, "read_only", False) else frozenset()

    def on_resize(self) -> None:
        if self._made_for and self.app.size.width != self._made_for:
            self.call_after_refresh(self.recompose)


def _fitting(keys: list[FooterKey], width: int) -> list[FooterKey]:
    order = [
        *(key for key in keys if key.action in _ALWAYS),
        *(key for key in keys if key.action not in _ALWAYS + _FIRST_TO_GO),
        *(key for key in keys if key.action in _FIRST_TO_GO),
    ]
    fitting: list[FooterKey] = []
    for key in order:
        width -= cell_len(key.key_display) + cell_len(key.description) + 3
        if width < 0:
            break
        fitting.append(key)
    return [key for key in keys if key in fitting]
