"""What can be done to a node: the menu, the question for a value, and the words of the confirmation."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from iotcache.errors import UsageError
from iotcache.text import printable
from iotcache_tui.state.nodes.model import NodeAct, NodeFigures, NodeTuning

Values = tuple[float | str, ...]


class MenuEntry(Struct, frozen=True):
    """One entry of the menu."""

    act: NodeAct
    key: str
    title: str
    ask: str
    """What to ask for; empty when the act needs no value."""
    now: Callable[[NodeFigures], str]
    """The value as it stands, to begin from."""
    effect: Callable[[str, Values], str]
    """What it will do to the node of that name, in a sentence or two."""


def _tuned(figures: NodeFigures) -> NodeTuning:
    return figures.tuning or NodeTuning()


def _memory_now(figures: NodeFigures) -> str:
    return str(figures.limit_bytes >> 20)


def _tune_now(figures: NodeFigures) -> str:
    tuning = _tuned(figures)
    return (
        f"{tuning.hot_percent} {tuning.warm_percent} {tuning.hot_factor:g} {tuning.warm_factor:g}"
        if tuning.hot_percent
        else "20 40 0.2 2"
    )


def _temp_effect(name: str, values: Values) -> str:
    if float(values[0]) < 0:
        return f"{name} will put items of every life into its hot segment; none is safe from eviction."
    return (
        f"{name} will keep items that live less than {values[0]} s in a segment of their own. They are never "
        "evicted: many of them can fill the memory."
    )


def _nothing(figures: NodeFigures) -> str:
    return ""


ACTS = (
    MenuEntry(
        NodeAct.DRAIN, "d", "Drain: stop using it", "", _nothing,
        lambda name, _: f"This program will read and write nothing on {name} until it rejoins. Its keys go "
        "to the next nodes on the ring with a short life, and more reads fall to the store. Other programs "
        "stay off it, too, while this one writes to a stand-in. The node itself keeps running.",
    ),
    MenuEntry(
        NodeAct.REJOIN, "r", "Rejoin: use it again", "", _nothing,
        lambda name, _: f"{name} will be probed and fenced, then read and written again. What it held before "
        "counts as not there: its reads go to the store until it is filled anew.",
    ),
    MenuEntry(
        NodeAct.FLUSH, "f", "Flush everything (flush_all)", "", _nothing,
        lambda name, _: f"Everything on {name} will count as expired at once, also what other programs put "
        "there. Every read of its keys goes to the store until they are filled anew.",
    ),
    MenuEntry(
        NodeAct.MEMORY, "m", "Memory limit (cache_memlimit)", "megabytes", _memory_now,
        lambda name, values: f"{name} may use {values[0]} MB for items. A lower limit than now is reached by "
        "evicting items; a higher one needs the machine to have the memory.",
    ),
    MenuEntry(
        NodeAct.LRU_TUNE, "t", "Tune the LRU (lru tune)",
        "hot %, warm %, hot's and warm's greatest age as factors of cold's", _tune_now,
        lambda name, values: f"{name} will give {values[0]} % of each class's memory to hot and {values[1]} "
        f"% to warm, and move items on that are older than {values[2]} and {values[3]} times cold's age.",
    ),
    MenuEntry(
        NodeAct.LRU_MODE, "l", "LRU mode (lru mode)", "flat or segmented",
        lambda figures: "flat" if _tuned(figures).segmented else "segmented",
        lambda name, values: f"{name} will keep each class's items in "
        + ("one list, the least recently used evicted first." if values[0] == "flat" else
           "hot, warm and cold segments, so that one pass over many keys evicts no busy ones."),
    ),
    MenuEntry(
        NodeAct.TEMP_TTL, "T", "Temporary items (lru temp_ttl)", "seconds, -1 for off",
        lambda figures: str(_tuned(figures).temp_ttl_s), _temp_effect,
    ),
    MenuEntry(
        NodeAct.VERBOSITY, "v", "Verbosity of its own log", "level, 0 to 3",
        lambda figures: str(_tuned(figures).verbosity),
        lambda name, values: f"{name} will write level {values[0]} to its standard error: 0 is errors only, "
        "2 is every command of every client, which slows it down.",
    ),
)  # fmt: skip
BY_ACT = {act.act: act for act in ACTS}


def parse(act: MenuEntry, text: str) -> Values:
    """The values typed. Raises `UsageError` in words for the user."""
    values: Values = tuple(text.replace(",", " ").split()[:8])
    # The feed's own check, so that what passes here passes there; imported when somebody asks.
    from iotcache_tui.state.nodes.admin import admin_command

    if not values:
        raise UsageError(f"type {act.ask}")
    admin_command(act.act, values)
    return values


_BOX = """
    $NAME { align: center middle; background: $background 60%; }
    $NAME > VerticalScroll {
        width: 66; max-width: 96%; height: auto; max-height: 92%; background: $surface; padding: 1 2;
        border: round $primary; border-title-color: $primary;
    }
    $NAME Static { height: auto; color: $foreground 70%; }
"""


class ActMenu(ModalScreen[NodeAct]):
    """Everything that can be done to one node; dismissed with the act, or with ``None``."""

    DEFAULT_CSS = (
        _BOX.replace("$NAME", "ActMenu")
        + """
    ActMenu OptionList { height: auto; border: none; background: $surface; padding: 0; }
    ActMenu OptionList:focus { border: none; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", key_display="Esc"),
        *(Binding(act.key, f"choose('{act.act.name}')", act.title, show=False) for act in ACTS),
    ]

    def __init__(self, node: str, *, drained: bool) -> None:
        super().__init__()
        self._node = printable(node, 60)
        self._acts = tuple(
            act for act in ACTS if act.act is not (NodeAct.DRAIN if drained else NodeAct.REJOIN)
        )

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = self._node.replace("[", "\\[")
            box.border_subtitle = "Esc closes"
            yield OptionList(
                *(Option(f"{act.key}  {act.title}", id=act.act.name) for act in self._acts), markup=False
            )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.action_choose(str(event.option.id))

    def action_choose(self, name: str) -> None:
        if any(act.act.name == name for act in self._acts):
            self.dismiss(NodeAct[name])


class ValueScreen(ModalScreen[Values]):
    """Asks for an act's value; dismissed with what was typed, once it fits, or with ``None``."""

    DEFAULT_CSS = (
        _BOX.replace("$NAME", "ValueScreen")
        + """
    ValueScreen Input { margin: 1 0 0 0; border: tall $panel-lighten-2; }
    ValueScreen Input:focus { border: tall $primary; }
    ValueScreen #wrong { color: $error; height: 2; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Leave", key_display="Esc")]

    def __init__(self, act: MenuEntry, node: str, now: str) -> None:
        super().__init__()
        self._act, self._node, self._now = act, printable(node, 60), now

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = f"{self._act.act.value} on {self._node}".replace("[", "\\[")
            yield Static(f"{self._act.title}\n{self._act.ask}", markup=False)
            yield Input(value=self._now, max_length=80)
            yield Static("Enter goes on, Esc leaves it as it is", id="wrong", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(parse(self._act, event.value))
        except UsageError as error:
            self.query_one("#wrong", Static).update(printable(str(error), 160))
