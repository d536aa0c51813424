"""Asks for the address of a node that the ring is tried with."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from iotcache.errors import UsageError
from iotcache.text import plural, printable
from iotcache_tui.format import data_size
from iotcache_tui.state.nodes.whatif import WhatIf


def resize_effect(what: WhatIf) -> str:
    """What the confirmation of a change says: who joins and leaves, and what it comes to."""
    one = what.forecast
    assert one is not None
    parts = [f"{node.name} joins" for node in what.nodes if not node.weight]
    parts += [f"{node.name} leaves" for node in what.nodes if not node.weight_after]
    parts += [
        f"{node.name} weighs {node.weight_after} instead of {node.weight}"
        for node in what.nodes
        if node.weight and node.weight_after and node.weight != node.weight_after
    ]
    small = [node.name for node in what.nodes if not node.fits]
    lines = [
        f"{', '.join(parts)}.",
        f"{100 * one.share_moved:.1f} % of all keys move: {one.items_moved:,} of "
        f"{plural(one.items, 'entry', 'entries')}, "
        f"{data_size(one.bytes_moved)}, in about {one.takes_s:.0f} s. All clients follow while they read and "
        "write; what moves is handed over, and no read of it goes to the store for that.",
        "Programs that are started later need the new list in their configuration.",
    ]
    if small:
        lines.append(f"Too little memory for what they are to hold: {', '.join(small)}.")
    return "\n".join(lines)


class NodeMoreScreen(ModalScreen[bool]):
    """Dismissed with True once an address was taken."""

    DEFAULT_CSS = """
    NodeMoreScreen { align: center middle; background: $background 60%; }
    NodeMoreScreen > VerticalScroll {
        width: 66; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $primary; border-title-color: $primary;
    }
    NodeMoreScreen Static { height: auto; color: $foreground 70%; }
    NodeMoreScreen Input { margin: 1 0 0 0; border: tall $panel-lighten-2; }
    NodeMoreScreen Input:focus { border: tall $primary; }
    NodeMoreScreen #wrong { color: $error; height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Leave", key_display="Esc")]

    def __init__(self, take: Callable[[str], None]) -> None:
        """``take`` is given what was typed, and raises `UsageError` for what is no further node."""
        super().__init__()
        self._take = take

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = "Try a node more"
            yield Static(
                "host:port or host:port=weight. Nothing is changed: the ring is worked out with it.",
                markup=False,
            )
            yield Input(placeholder="cache4:11211", max_length=120)
            yield Static("Enter tries it, Esc leaves the ring as it is", id="wrong", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        try:
            self._take(event.value)
        except UsageError as error:
            self.query_one("#wrong", Static).update(printable(str(error), 170))
        else:
            self.dismiss(True)
