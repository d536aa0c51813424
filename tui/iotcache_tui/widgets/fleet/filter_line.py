"""Where a filter is typed: the line itself, and above it what is wrong with it or how it may go on."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.keys import REPLACED_KEYS, key_to_character
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from iotcache.text import printable
from iotcache_tui.format import fit
from iotcache_tui.state.fleet.filter import complete, completed, completions, describe
from iotcache_tui.state.fleet.fleet_state import FleetState


class _Completer(Suggester):
    def __init__(self, fleet: FleetState) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._fleet = fleet

    async def get_suggestion(self, value: str) -> str | None:
        return complete(value, self._fleet)


class TypedLine(Input):
    """An input that swallows every printable key, so that the footer offers none of them meanwhile."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        # Textual finds no character for the slash: it knows it by Unicode's name alone.
        return super().check_consume_key(key, character or key_to_character(REPLACED_KEYS.get(key, key)))


class FilterInput(TypedLine):
    BINDINGS = [  # noqa: RUF012 declared by the base class
        Binding("tab", "complete", "Complete", key_display="Tab", id="filter.complete"),
        Binding("enter", "submit", "Done", key_display="↵", id="filter.done"),
        Binding("down", "screen.leave_filter", "To the table", show=False, id="filter.leave"),
        Binding("escape", "screen.clear_filter", "Clear", key_display="Esc", id="filter.clear"),
    ]

    def __init__(self, fleet: FleetState) -> None:
        super().__init__(placeholder="filter", suggester=_Completer(fleet), id="filter-text")
        self._fleet = fleet
        self._cycle: list[str] = []
        """The completions that the key goes through; the last one leads back to the first."""

    def action_complete(self) -> None:
        """Put the first completion in; again, the next one, or what follows the only one."""
        if self.value in self._cycle and len(self._cycle) > 1:
            at = self._cycle.index(self.value) + 1
            self.value = self._cycle[at % len(self._cycle)]
        elif ways := completed(self.value, self._fleet):
            self._cycle = ways
            self.value = ways[0]
        self.cursor_position = len(self.value)


class _Hint(Widget):
    """One line: an error, or completions, or the count."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[str, str] = ("", "")

    def show(self, text: str, tone: str) -> None:
        if (text, tone) != self._shown:
            self._shown = text, tone
            self.refresh()

    def render(self) -> Text:
        text, tone = self._shown
        colours = self.app.theme_variables
        return Text(fit(text, self.content_size.width), f"bold {colours[tone]}" if tone else "dim", end="")


class FilterLine(Vertical):
    """Filters as it is typed; posts `Changed`, and `Left` when the user is done with it."""

    DEFAULT_CSS = """
    FilterLine { dock: bottom; height: 2; background: $panel; }
    FilterLine > _Hint { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    FilterLine > FilterInput {
        height: 1; border: none; padding: 0 1; background: $panel; color: $foreground;
    }
    FilterLine > FilterInput:focus { border: none; background: $panel-lighten-1; }
    """

    class Changed(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """Enter: the table is wanted again."""

    def __init__(self, fleet: FleetState, *, id: str) -> None:
        super().__init__(id=id)
        self._fleet = fleet
        self.hint = _Hint()
        self.input = FilterInput(fleet)

    def compose(self) -> ComposeResult:
        yield self.hint
        yield self.input

    def show(self, error: str, shown: int, total: int) -> None:
        """What stands above the line."""
        text = self.input.value
        going_on = completions(text, self._fleet)
        if error and not going_on:
            self.hint.show(f"✗ {error}", "error")
        elif not text:
            self.hint.show(describe(), "")
        elif going_on:
            self.hint.show("tab: " + "  ".join(printable(one, 40) for one in going_on[:12]), "primary")
        else:
            self.hint.show(f"{shown:,} of {total:,} series", "")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Left())
