"""What lies under one key, over the key browser."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from iotcache.text import printable_bytes
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.state.keys.model import CachedValue, FetchValue
from iotcache_tui.state.requests import Answer
from iotcache_tui.widgets.keys.value_view import ValueView


class KeyValueScreen(ModalScreen[None]):
    """Asks the node for the value when it opens, and again on ``r``."""

    DEFAULT_CSS = """
    KeyValueScreen { align: center middle; background: $background 60%; }
    KeyValueScreen > Vertical {
        width: 92%; max-width: 150; height: 86%; background: $surface; padding: 0 1;
        border: round $primary; border-title-color: $primary; border-subtitle-color: $foreground 60%;
    }
    KeyValueScreen ValueView { height: 1fr; }
    KeyValueScreen Static { height: 1; color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss(None)", "Close", key_display="Esc"),
        Binding("r", "fetch", "Read it again"),
    ]
    AUTO_FOCUS = "ValueView"

    def __init__(self, context: DashboardContext, key: bytes, node: str, node_shown: str) -> None:
        """``node_shown``: its short name."""
        super().__init__()
        self.context = context
        self._request = FetchValue(key, node)
        self._title = f"{printable_bytes(key, 100)}  on {node_shown}"
        self._ticket = 0
        self.value_view = ValueView(id="key-value")

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            layout = self.context.key_of("value.layout", "x").replace("[", "\\[")
            box.border_title = self._title.replace("[", "\\[")
            box.border_subtitle = f"{layout} changes the layout   r reads again   Esc closes"
            yield self.value_view
            yield Static(
                "reading it counts as one get on the node; its last access and its place in the LRU stay",
                markup=False,
            )

    def on_mount(self) -> None:
        self.action_fetch()

    def on_unmount(self) -> None:
        self.context.forget(self._ticket)

    def action_fetch(self) -> None:
        self.context.forget(self._ticket)
        if self.value_view.value is None:
            self.value_view.show(None, "reading …")
        self._ticket = self.context.ask(self._request, self._on_answer)

    def _on_answer(self, answer: Answer) -> None:
        if answer.error:
            self.value_view.show(None, answer.error)
        elif isinstance(answer.value, CachedValue):
            found = answer.value
            self.value_view.show(
                found if found.found else None,
                "" if found.found else "it is not there any more: expired, deleted or evicted",
            )
