"""Fault switches for a presenter: kill, pause and restart parts, turn the load, slow the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from iotcache.text import printable
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.state.lab import LabImprovise
from iotcache_tui.state.requests import Answer, Request, SlowStore, SwitchPart, TurnLoad

_LOADS = (0.1, 0.5, 1.0, 2.0, 5.0)
_DELAYS_MS = (0, 50, 250, 1_000)
_WHAT = {
    "kill": "ends it as a crash would; it stays down until it is restarted",
    "pause": "it hangs: keeps its connections and answers nothing",
    "resume": "lets it go on",
    "restart": "ends it if it runs, and starts it on its old address",
}


OF_THIS_DASHBOARD: Final = "Faults, in the servers that this dashboard started"


class Switch(NamedTuple):
    """One thing to be done."""

    name: str
    effect: str
    request: Request


def lesson_switches(nodes: int) -> list[Switch]:
    """What a presenter may do to the servers of a scenario."""
    made: list[Switch] = []
    for what, effect in _WHAT.items():
        made += [
            Switch(f"{what} node {node}", effect, LabImprovise(what, node)) for node in range(1, nodes + 1)
        ]
        made.append(Switch(f"{what} broker", effect, LabImprovise(what)))
    made.append(Switch("flush every node", "flush_all: every entry is gone", LabImprovise("flush")))
    for delay in _DELAYS_MS:
        name = f"store {delay} ms slower" if delay else "store as quick as it is"
        made.append(Switch(name, "for the scenario's readers", LabImprovise("store", value=float(delay))))
    made += [
        Switch(f"fleet at {load:g} times its rate", "", LabImprovise("fleet", value=load)) for load in _LOADS
    ]
    return made


class SwitchesScreen(ModalScreen[None]):
    """A list to choose from; it stays open, for faults come in turns."""

    DEFAULT_CSS = """
    SwitchesScreen { align: center middle; background: $background 60%; }
    SwitchesScreen > Vertical {
        width: 58; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 0 1;
        border: round $warning; border-title-color: $warning;
    }
    SwitchesScreen OptionList { height: auto; max-height: 50vh; border: none; background: $surface; }
    SwitchesScreen OptionList:focus { border: none; }
    SwitchesScreen Static { height: auto; color: $foreground 70%; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f,F,q", "dismiss(None)", "Done", key_display="Esc")
    ]

    def __init__(
        self, context: DashboardContext, acts: Sequence[Switch] = (), title: str = OF_THIS_DASHBOARD
    ) -> None:
        """``acts`` are those of other servers than the dashboard's own, which ``title`` names."""
        super().__init__()
        self.context = context
        self.effect = Static("", markup=False)
        self._title = title
        self._acts: list[Switch] = list(acts)
        if acts:
            return
        nodes = [f"node {node.name}" for node in context.state.nodes]
        for part in (*nodes, "broker", "ingest", "simulator"):
            for what, effect in _WHAT.items():
                self._acts.append(Switch(f"{what} {part}", effect, SwitchPart(part, what)))
        for factor in _LOADS:
            self._acts.append(Switch(f"fleet at {factor:g} times its rate", "", TurnLoad(factor)))
        for delay in _DELAYS_MS:
            name = f"store {delay} ms slower" if delay else "store as quick as it is"
            self._acts.append(Switch(name, "for the reads of this dashboard", SlowStore(float(delay))))

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            yield OptionList(*(Option(Text(printable(name, 60))) for name, _, _ in self._acts))
            yield self.effect

    @on(OptionList.OptionHighlighted)
    def _explain(self, event: OptionList.OptionHighlighted) -> None:
        effect = self._acts[event.option_index][1]
        self.effect.update(f"{effect or 'at once'}\nEnter does it · Esc closes")

    @on(OptionList.OptionSelected)
    def _on_selected(self, event: OptionList.OptionSelected) -> None:
        name, _, request = self._acts[event.option_index]

        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(answer.error, "error")
            elif answer.done:
                self.context.tell(f"done: {name}")

        self.context.ask(request, on_answer)
