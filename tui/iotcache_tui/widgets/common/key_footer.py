"""The last line: keys that work here, as many as there is room for, none of them cut.

One widget draws them all. Textual's own footer has a widget for each key, which are made and styled anew
whenever the focus moves: a good part of what changing a screen cost.
"""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.events import Click, Leave, MouseMove, Resize
from textual.reactive import reactive
from textual.screen import Screen

from iotcache_tui.key_display import key_text
from iotcache_tui.widgets.common.styled_parts import StyledParts

_ALWAYS: Final = ("app.help", "help", "app.quit", "quit")
"""They lead to all the others, and out."""
_FIRST_TO_GO: Final = ("app.command_palette", "command_palette")
"""The help names it, and what it does."""
_DISABLED: Final = Style(dim=True)
_PADDING: Final = 3
"""Cells around the name of a key and its description: one before, between and after."""


class ShownKey(NamedTuple):
    """A key in the footer."""

    key: str
    display: str
    description: str
    action: str
    enabled: bool
    tooltip: str

    @property
    def width(self) -> int:
        """Cells that it takes."""
        return cell_len(self.display) + cell_len(self.description) + _PADDING


class KeyFooter(StyledParts):
    """Where it is too narrow, whole keys are left out from the end, but never help and quit."""

    ALLOW_SELECT = False
    STYLE_NAMES: ClassVar[frozenset[str]] = frozenset(
        {
            "key-footer--key",
            "key-footer--description",
            "key-footer--hover",
        }
    )
    DEFAULT_CSS = """
    KeyFooter {
        dock: bottom;
        height: 1;
        color: $footer-foreground;
        background: $panel;
        .key-footer--key {
            color: $footer-key-foreground; background: $footer-key-background; text-style: bold;
        }
        .key-footer--description {
            color: $footer-description-foreground; background: $footer-description-background;
        }
        .key-footer--hover { color: $footer-key-foreground; background: $block-hover-background; }
    }
    """
    _hovered: reactive[str] = reactive("")
    """The key under the mouse."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii = ascii_only
        self._keys: tuple[ShownKey, ...] = ()

    @property
    def shown(self) -> tuple[ShownKey, ...]:
        """The keys that are there to be seen, from left to right."""
        return self._keys

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._on_bindings)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _on_bindings(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen and screen.app.app_focus:
            self._update()

    def on_resize(self, event: Resize) -> None:
        self._update()

    def _update(self) -> None:
        keys = _fitting(self._offered(), self.app.size.width)
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def _offered(self) -> list[ShownKey]:
        """A key for each act that is to be shown and may be done; the first, where several do the same."""
        hidden = self._not_offered()
        keys: dict[str, ShownKey] = {}
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            action = binding.action
            if binding.show and action not in keys and action.partition("(")[0] not in hidden:
                display = key_text(self.app.get_key_display(binding), self._ascii)
                keys[action] = ShownKey(
                    binding.key, display, binding.description, action, enabled, tooltip or binding.tooltip
                )
        return list(keys.values())

    def _not_offered(self) -> frozenset[str]:
        acts: frozenset[str] = getattr(self.screen, "ACTS", frozenset())
        return acts if getattr(self.app, "read_only", False) else frozenset()

    def render(self) -> Text:
        line = Text(no_wrap=True, end="")
        for key in self._keys:
            is_hovered = key.action == self._hovered
            for text, name in ((f" {key.display} ", "key"), (f"{key.description} ", "description")):
                style = self.part_style(f"key-footer--{name}")
                if is_hovered:
                    style += self.part_style("key-footer--hover")
                line.append(text, style if key.enabled else style + _DISABLED)
        return line

    # The mouse

    def _at(self, x: int) -> ShownKey | None:
        for key in self._keys:
            x -= key.width
            if x < 0:
                return key
        return None

    def on_mouse_move(self, event: MouseMove) -> None:
        key = self._at(event.x)
        self._hovered = key.action if key else ""
        self.tooltip = key.tooltip or None if key else None

    def on_leave(self, event: Leave) -> None:
        self._hovered = ""

    def on_click(self, event: Click) -> None:
        key = self._at(event.x)
        if key is None:
            return
        if key.enabled:
            self.app.simulate_key(key.key)
        else:
            self.app.bell()


def _fitting(keys: list[ShownKey], width: int) -> tuple[ShownKey, ...]:
    order = [
        *(key for key in keys if key.action in _ALWAYS),
        *(key for key in keys if key.action not in _ALWAYS + _FIRST_TO_GO),
        *(key for key in keys if key.action in _FIRST_TO_GO),
    ]
    fitting: set[str] = set()
    for key in order:
        width -= key.width
        if width < 0:
            break
        fitting.add(key.action)
    return tuple(key for key in keys if key.action in fitting)
