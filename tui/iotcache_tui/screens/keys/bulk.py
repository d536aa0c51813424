"""Deleting all keys that pass the filter, or giving them another life: counted, asked for, and stoppable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from iotcache.text import plural, printable_bytes
from iotcache_tui.format import data_size
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.state.keys.model import CLASSES, ChangeKeys
from iotcache_tui.state.keys.view import KeyView
from iotcache_tui.state.requests import ActionProgress, Answer

TTL_MOST_S: Final = 2_592_000
"""Above it memcached takes the number for a date."""
_EXAMPLES: Final = 3


def dry_run(view: KeyView, names: dict[str, str]) -> str:
    """What would be changed: exactly how many, where, of what classes, and some of them by name."""
    columns = view.columns
    nodes = Counter(columns.node_name(row) for row in view.order)
    kinds = Counter(CLASSES[columns.kind[row]] for row in view.order)
    size = sum(columns.size[row] for row in view.order)
    lines = [
        f"{plural(len(view.order), 'key')}, {data_size(size)}B, as the last crawl found them"
        + (f", that pass “{view.filter}”" if view.filter else ": all that are listed, as there is no filter"),
        "on " + ", ".join(f"{names.get(name, name)} {number:,}" for name, number in nodes.most_common(8)),
        "of " + ", ".join(f"{name} {number:,}" for name, number in kinds.most_common()),
        "among them "
        + ", ".join(printable_bytes(columns.key[row], 60) for row in view.order[:_EXAMPLES])
        + (", …" if len(view.order) > _EXAMPLES else ""),
    ]
    return "\n".join(lines)


def change_of(view: KeyView, ttl_s: int) -> ChangeKeys:
    """The act on all keys on show, node by node."""
    columns = view.columns
    by_node: defaultdict[str, list[bytes]] = defaultdict(list)
    for row in view.order:
        by_node[columns.node_name(row)].append(columns.key[row])
    return ChangeKeys(tuple((name, tuple(keys)) for name, keys in by_node.items()), ttl_s)


class BulkChange:
    """One change that is under way, or none."""

    def __init__(self, context: DashboardContext, on_end: Callable[[], None]) -> None:
        self._context = context
        self._on_end = on_end
        self._ticket = 0
        self._what = ""
        self._progress = ActionProgress(0, 0, 0)

    @property
    def running(self) -> bool:
        return self._ticket > 0

    def note(self, stop_key: str) -> str:
        """How far it is; empty while none is under way."""
        if not self.running:
            return ""
        return f"{self._what} {self._progress.done:,} of {self._progress.total:,}   {stop_key} stops"

    def begin(self, request: ChangeKeys) -> None:
        total = sum(len(keys) for _, keys in request.keys)
        self._what = "touching" if request.ttl_s else "deleting"
        self._progress = ActionProgress(0, total, 0)
        self._ticket = self._context.ask(request, self._on_answer)

    def stop(self) -> None:
        """Leave it; what was done until then is done."""
        self._context.forget(self._ticket)
        self._ticket = 0
        self._tell("stopped: ", "warning")

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer.value, ActionProgress):
            self._progress = answer.value
        if answer.error:
            self._context.tell(answer.error, "error")
        if answer.done:
            self._ticket = 0
            if not answer.error:
                self._tell("", "warning" if self._progress.failed else "information")

    def _tell(self, before: str, severity: str) -> None:
        one = self._progress
        verb = "touched" if self._what == "touching" else "deleted"
        gone = one.done - one.changed - one.failed
        text = f"{before}{one.changed:,} of {plural(one.total, 'key')} {verb}"
        if gone > 0:
            text += f", {gone:,} were not there any more"
        if one.failed:
            text += f", {one.failed:,} failed ({one.why})"
        self._context.tell(text, "warning" if severity == "warning" else "information")
        self._on_end()


class LifeScreen(ModalScreen[int]):
    """Asks how long keys are to live; dismissed with seconds, or with ``None``."""

    DEFAULT_CSS = """
    LifeScreen { align: center middle; background: $background 60%; }
    LifeScreen > VerticalScroll {
        width: 66; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $primary; border-title-color: $primary;
    }
    LifeScreen Static { height: auto; color: $foreground 70%; }
    LifeScreen Input { margin: 1 0 0 0; border: tall $panel-lighten-2; }
    LifeScreen Input:focus { border: tall $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Leave", key_display="Esc")]

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = f"Another life for {plural(self._number, 'key')}"
            yield Static(f"seconds from now, 1 to {TTL_MOST_S:,}", markup=False)
            yield Input(value="60", max_length=8, type="integer")
            yield Static("Enter goes on, Esc leaves them as they are", id="wrong", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.isdigit() and 1 <= int(event.value) <= TTL_MOST_S:
            self.dismiss(int(event.value))
        else:
            self.query_one("#wrong", Static).update(f"a whole number from 1 to {TTL_MOST_S}, please")
