"""Screen 1, Fleet: figures, plots, every series, and the fallbacks as they happen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from iotcache.config.schema import DashboardSettings
from iotcache.model import NodeState
from tui.format import milliseconds, percent, rate
from tui.screens.view import ViewScreen
from tui.state.dashboard import DashboardState
from tui.state.view import SORTS, FleetView
from tui.widgets.columns import Moment
from tui.widgets.fallback_log import FallbackLog
from tui.widgets.fleet_table import FleetTable
from tui.widgets.kpi import Kpi
from tui.widgets.starting import Starting

if TYPE_CHECKING:
    from tui.widgets.plots import MinutePlot


KPIS = {
    "hit": "Hit ratio",
    "fallbacks": "Fallbacks",
    "ingest": "Ingest",
    "p99": "Read p99",
    "devices": "Devices",
    "nodes": "Nodes",
}
"""The tiles, by name, from the one that matters most to the one that a narrow screen does without."""


class FleetScreen(ViewScreen):
    """The whole job on one screen."""

    NAME = "fleet"
    LEGEND = (
        (
            "Hit ratio",
            "the share of this dashboard's own reads that the cache answered; its polling of TTLs uses the "
            "node's debug command and counts as no read",
        ),
        ("From", "where the last read found the value: cache, store (a fallback), or none"),
        ("TTL", "how long the cache entry lives on, as the node says; the bar is full when it is new"),
        ("Age", "time since the device measured the value: ● on time, ○ three of its intervals overdue"),
        (
            "Fallback",
            "a read that the cache could not answer, and why: never set, expired, evicted, invalidated "
            "(deleted), node down, timeout, restarted, corrupt",
        ),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort(1)", "Sort"),
        Binding("S", "sort(-1)", "Sort by the column before", show=False),
        Binding("r", "reverse", "Reverse the order", show=False),
        Binding("g", "toggle_plots", "Plots"),
        Binding("l", "toggle_log", "Log"),
        Binding("escape", "clear_filter", "Clear the filter", show=False, key_display="Esc"),
    ]
    AUTO_FOCUS = "#fleet"

    def __init__(self, state: DashboardState, settings: DashboardSettings) -> None:
        super().__init__(state, settings)
        self.fleet_view = FleetView(state.fleet)
        self._history_s = settings.history_s
        self._ascii = settings.ascii
        self._plotted_at_s = self._sorted_at_s = -1.0
        self._live_and_stale = (0, 0)
        self.kpis = {name: Kpi(title, id=f"kpi-{name}") for name, title in KPIS.items()}
        self.starting = Starting(id="starting")
        self.table = FleetTable(self.fleet_view, id="fleet")
        self.table.display = False
        self.filter_box = Input(placeholder="words of device, sensor or site; !word excludes", id="filter")
        self.filter_box.display = False
        self.plots = Horizontal(id="plots")
        self.hit_plot: MinutePlot | None = None
        self.fallback_plot: MinutePlot | None = None
        self.log_view = FallbackLog(state, id="log")
        self._plots_wanted: bool | None = None
        """What the user asked for; until then plots show where there is room."""

    def body(self) -> ComposeResult:
        with Horizontal(id="kpis"):
            yield from self.kpis.values()
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield self.starting
                yield self.table
                yield self.filter_box
            with Vertical(id="side"):
                yield self.plots
                yield self.log_view

    def on_mount(self) -> None:
        self.call_after_refresh(self._add_plots)

    def _add_plots(self) -> None:
        """The plotting library is loaded once the first frame is out."""
        from tui.widgets.plots import MinutePlot

        span_s, ascii_only = self._history_s, self._ascii
        self.hit_plot = MinutePlot(
            "Read hit ratio, %", "success", span_s=span_s, share=True, ascii_only=ascii_only, id="plot-hit"
        )
        self.fallback_plot = MinutePlot(
            "Fallbacks, reads/s", "warning", span_s=span_s, ascii_only=ascii_only, id="plot-fallbacks"
        )
        self.plots.mount(self.hit_plot, self.fallback_plot)
        self._plotted_at_s = -1.0

    # One frame

    def draw(self, moment: Moment) -> None:
        state, now_s = self.state, moment.now_s
        starting, table = self.starting, self.table
        if starting.display:
            starting.show(state.parts)
            if state.ready:
                starting.display, table.display = False, True
                table.focus()
        if now_s - self._sorted_at_s >= 1.0:
            # What walks over the whole fleet is done on a slower beat.
            self._sorted_at_s = now_s
            table.resort()
            self._live_and_stale = state.fleet.live_and_stale_devices(now_s, moment.wall_s)
        table.frame(moment)
        self._show_kpis()
        if self.log_view.display:
            self.log_view.frame(moment.nodes)
        if self.plots.display and now_s - self._plotted_at_s >= 1.0:
            self._plotted_at_s = now_s
            seconds = state.recent(self._history_s)
            if self.hit_plot is None or self.fallback_plot is None:
                return
            self.hit_plot.show([second.hit_percent for second in seconds])
            self.fallback_plot.show([second.fallbacks for second in seconds])

    def visible_rows(self) -> Sequence[int]:
        return self.table.visible_rows()

    def commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Filter the fleet", "Show only some series", self.action_filter)
        yield SystemCommand("Show or hide the plots", "Hit ratio and fallbacks", self.action_toggle_plots)
        yield SystemCommand("Show or hide the log", "Fallbacks as they happen", self.action_toggle_log)
        for column in SORTS:
            yield SystemCommand(
                f"Sort by {column}", "Order the fleet table", lambda column=column: self.sort_by(column)
            )

    def _show_kpis(self) -> None:
        state, window = self.state, self.state.recent()
        reads = sum(second.reads for second in window)
        hit, before = state.hit_percent(), state.hit_percent(60, before=10)
        level = "quiet" if hit is None else "ok" if hit >= 90 else "warn" if hit >= 70 else "bad"
        note = "no reads yet" if hit is None else f"{rate(reads / max(len(window), 1))} reads/s"
        if hit is not None and before is not None and abs(hit - before) >= 0.1:
            note += f"  {'▲' if hit > before else '▼'}{abs(hit - before):.1f}"
        self.kpis["hit"].show(percent(hit), "", note, level)
        per_s = sum(second.fallbacks for second in window) / len(window) if window else None
        self.kpis["fallbacks"].show(
            rate(per_s), "/s", f"{state.fallbacks_total:,} in all", "warn" if per_s else "quiet"
        )
        last = window[-1] if window else None
        heard = last.ingest_per_s if last else None
        workers = sum(worker.role == "ingest" for worker in state.workers.values())
        self.kpis["ingest"].show(
            rate(heard), "msg/s" if heard is not None else "",
            f"{workers} worker{'s' if workers != 1 else ''}" if workers else "no worker",
            "ok" if heard else "quiet" if heard is None else "warn",
        )  # fmt: skip
        p99 = max((second.p99_ms for second in window if second.reads), default=None)
        p50 = [second.p50_ms for second in window if second.reads]
        self.kpis["p99"].show(
            milliseconds(p99), "ms" if p99 is not None else "",
            f"p50 {milliseconds(sorted(p50)[len(p50) // 2])} ms" if p50 else "",
            "quiet" if p99 is None else "warn" if p99 > 100 else "ok",
        )  # fmt: skip
        live, stale = self._live_and_stale
        self.kpis["devices"].show(
            f"{live:,}", "live", f"{stale:,} stale", "warn" if stale else "ok" if live else "quiet"
        )
        up, total = state.nodes_up(), len(state.nodes)
        out = [node for node in state.nodes if node.state is not NodeState.UP]
        names = self.table.moment.nodes
        bundled = any(node.bundled for node in state.nodes)
        note = f"{names.get(out[0].name, '')} {out[0].state}" if out else ("bundled" if bundled else "all up")
        self.kpis["nodes"].show(
            f"{up}/{total}" if total else "–", "up" if total else "", note if total else "",
            "quiet" if not total else "ok" if up == total else "bad",
        )  # fmt: skip

    # Acts

    def action_filter(self) -> None:
        box = self.filter_box
        box.display = True
        # At once: what is typed right after the key belongs to the filter.
        self.set_focus(box)

    def action_clear_filter(self) -> None:
        box = self.filter_box
        box.value = ""
        box.display = False
        self.table.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.fleet_view.set_filter(event.value)
        self.table.show_view()

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self) -> None:
        if not self.filter_box.value:
            self.filter_box.display = False
        self.table.focus()

    def action_sort(self, step: int) -> None:
        names = list(SORTS)
        self.sort_by(names[(names.index(self.fleet_view.sort) + step) % len(names)])

    def sort_by(self, column: str, reverse: bool = False) -> None:
        """Order the table by a column; the title shows it."""
        self.fleet_view.set_sort(column, reverse)
        self.table.show_view()

    def action_reverse(self) -> None:
        self.sort_by(self.fleet_view.sort, not self.fleet_view.reverse)

    @on(FleetTable.SortClicked)
    def _sort_clicked(self, event: FleetTable.SortClicked) -> None:
        again = event.column == self.fleet_view.sort
        self.sort_by(event.column, not self.fleet_view.reverse if again else False)

    def action_toggle_plots(self) -> None:
        plots = self.plots
        self._plots_wanted = not plots.display
        plots.display = self._plots_wanted
        self._plotted_at_s = -1.0

    def action_toggle_log(self) -> None:
        log = self.log_view
        log.display = not log.display
