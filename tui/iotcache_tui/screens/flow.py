"""Screen 5, Flow: the pipeline as a live picture, what runs where, and what holds it up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Center, Grid

from iotcache_tui.format import rate, span_text
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.nodes.stats_subscription import NodeStatsSubscription
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.flow import BOXES, Flow, flow, worst
from iotcache_tui.state.flow_history import ARROWS, Rates
from iotcache_tui.state.nodes.model import SPANS_S
from iotcache_tui.state.problems.problem import Problem
from iotcache_tui.widgets.common.panel import Line, Panel
from iotcache_tui.widgets.common.problem_line import ALL_WELL
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.flow.flow_detail import details, history
from iotcache_tui.widgets.flow.flow_picture import TITLES, FlowPicture

OPENS = {
    "simulator": "lab",
    "broker": "events",
    "workers": "events",
    "store": "events",
    "nodes": "nodes",
    "readers": "fleet",
}
"""The screen that each box opens."""


def _title(arrow: tuple[str, str], ascii_only: bool) -> str:
    source, target = arrow
    return f"{TITLES[source]} {'->' if ascii_only else '→'} {TITLES[target]}"


def _plot(  # noqa: PLR0917 all but the last two are given beforehand
    rates: Sequence[Rates],
    index: int,
    total: int,
    ascii_only: bool,
    span_s: int,
    width: int,
    height: int,
) -> Sequence[Line]:
    return history(rates, index, total, width, height, ascii_only=ascii_only, span_s=span_s)


class FlowScreen(ViewScreen):
    """The picture, and the figures of the box that stands out below it."""

    NAME = "flow"
    PANELS = (FlowPicture,)
    LEGEND = (
        ("Arrows", "what runs between two parts a second, and below or beside it the last seconds"),
        ("✗  ▲", "a part that is down, or that works worse than it should, and how; b goes to the gravest"),
        (
            "Lag",
            "of a worker: age of its oldest unacknowledged message; of the simulator: behind its own plan",
        ),
        ("Unacked", "messages that the broker keeps until a worker has committed them"),
        ("Dead", "messages that could not be decoded; they are kept in the store with the reason"),
        ("store → readers", "fallbacks: reads that the cache could not answer"),
    )
    DEFAULT_CSS = """
    FlowScreen #flow { margin: 1 0 0 0; width: 100%; }
    FlowScreen.-short #flow, FlowScreen.-tiny #flow { margin: 0; }
    FlowScreen #flow-detail { height: 1fr; min-height: 2; margin: 1 0 0 0; }
    FlowScreen.-short #flow-detail, FlowScreen.-tiny #flow-detail { margin: 0; }
    FlowScreen #flow-plots { display: none; grid-size: 3 2; grid-gutter: 1; height: 1fr; margin: 1 0 0 0; }
    FlowScreen.-normal.-tall #flow-plots, FlowScreen.-wide.-tall #flow-plots { display: block; }
    FlowScreen.-normal.-tall #flow-detail, FlowScreen.-wide.-tall #flow-detail { height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "bottleneck", "Bottleneck", id="flow.bottleneck"),
        Binding("t", "span", "How far back the curves go", show=False, id="flow.span"),
    ]
    AUTO_FOCUS = "FlowPicture"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        settings = self.settings
        self._ascii = settings.ascii
        self.picture = FlowPicture(ascii_only=settings.ascii, id="flow")
        self.panel = Panel("", ascii_only=settings.ascii, id="flow-detail")
        self.plots = tuple(
            Panel(_title(arrow, settings.ascii), ascii_only=settings.ascii) for arrow in ARROWS
        )
        self._plots = Grid(id="flow-plots")
        self._span_s = SPANS_S[0]
        self._stats = NodeStatsSubscription()
        self._moment = RenderContext(0.0, 0.0, {})

    def body(self) -> ComposeResult:
        with Center():
            yield self.picture
        yield self.panel
        with self._plots:
            yield from self.plots

    def on_screen_suspend(self) -> None:
        self._stats.drop(self.context)

    def draw(self, moment: RenderContext) -> None:
        self._moment = moment
        self._stats.keep(self.context, moment.now_s)
        now = flow(self.state)
        self.picture.show(now, tuple(self.state.flow_history.rates)[-12:], moment.now_s, motion=moment.motion)
        self._show_details()
        if self._plots.display:
            self._show_plots(now)

    def _show_plots(self, now: Flow) -> None:
        rates, total = self.state.flow_history.rates, self.state.flow_history.seconds_total
        for index, panel in enumerate(self.plots):
            draw = partial(_plot, rates, index, total, self._ascii, self._span_s)
            panel.show(
                (total, self._span_s), draw, note=f"{rate(now.rates[index])}/s, {span_text(self._span_s)}"
            )

    def _show_details(self) -> None:
        state, name, moment = self.state, self.picture.selected, self._moment
        lines = details(
            state, name, self.panel.size.width - 2, self.panel.size.height - 1,
            nodes=moment.nodes, ascii_only=self._ascii,
        )  # fmt: skip
        key = tuple(tuple(line) for line in lines)
        self.panel.show(
            key,
            lambda w, h: lines,
            title=TITLES[name].capitalize(),
            note=f"{self.context.key_of('flow.open', 'Enter')} opens {OPENS[name].capitalize()}",
        )

    # Keys

    @on(FlowPicture.BoxSelected)
    def _box_selected(self) -> None:
        self.picture.show(
            flow(self.state),
            tuple(self.state.flow_history.rates)[-12:],
            self._moment.now_s,
            motion=self._moment.motion,
        )
        self._show_details()

    @on(FlowPicture.Opened)
    def _box_opened(self, event: FlowPicture.Opened) -> None:
        wanted = OPENS[event.name]
        if any(entry.name == wanted for entry in SCREENS):
            self.context.show_screen(wanted)
        else:
            self.context.tell(f"there is no {wanted} screen in this version", "warning")

    def action_span(self) -> None:
        """Show a longer stretch of the past; after the longest the shortest again."""
        self._span_s = SPANS_S[(SPANS_S.index(self._span_s) + 1) % len(SPANS_S)]
        self._show_plots(flow(self.state))

    def point_at(self, problem: Problem) -> None:
        if problem.part in BOXES:
            self.picture.select(problem.part)

    def action_bottleneck(self) -> None:
        found = worst(self.state)
        if found is None:
            self.context.tell(ALL_WELL)
        else:
            self.picture.select(found.part)

    def commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand(
            "Flow: to the bottleneck", "Choose the part that holds it up", self.action_bottleneck
        )
        for name in BOXES:
            yield SystemCommand(
                f"Flow: {TITLES[name]}", "Choose this part", lambda name=name: self.picture.select(name)
            )
