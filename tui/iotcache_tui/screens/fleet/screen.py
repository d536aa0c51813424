"""Screen 1, Fleet: figures, plots, every series, and the fallbacks as they happen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from iotcache.model import Series
from iotcache_tui.export import Rows
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.fleet.anatomy import AnatomyScreen
from iotcache_tui.screens.fleet.choose_columns import ChooseColumns
from iotcache_tui.screens.fleet.commands import invalidate, may_act, warm
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.fleet.view import GROUPS, SORTS, FleetView
from iotcache_tui.state.snapshot import SERIES_FIELDS, series
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.starting import Starting, why_no_device
from iotcache_tui.widgets.fleet.fallback_log import FallbackLog
from iotcache_tui.widgets.fleet.filter_line import FilterInput, FilterLine
from iotcache_tui.widgets.fleet.fleet_columns import BY_KEY
from iotcache_tui.widgets.fleet.fleet_table import FleetTable
from iotcache_tui.widgets.fleet.kpi_row import KpiRow

if TYPE_CHECKING:
    from iotcache_tui.widgets.fleet.plots import MinutePlot


ROWS_WITHIN_S = 1.0
"""So long after it began the plots wait for rows."""
WATCHED_MOST = 1_000


class FleetScreen(ViewScreen):
    """The whole job on one screen."""

    NAME = "fleet"
    PANELS = (FleetTable, FallbackLog, FilterInput)
    ACTS = frozenset({"warm", "invalidate"})
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
        Binding("slash", "filter", "Filter", key_display="/", id="fleet.filter"),
        Binding("s", "sort(1)", "Sort", id="fleet.sort"),
        Binding("S", "sort(-1)", "Sort by the previous column", show=False, id="fleet.sort_before"),
        Binding("r", "reverse", "Reverse the order", show=False, id="fleet.reverse"),
        Binding("G", "group", "Group by site, by class, or not", show=False, id="fleet.group"),
        Binding("z", "fold", "Fold or unfold the groups", show=False, id="fleet.fold"),
        Binding("a", "anatomy", "Misses", id="fleet.anatomy"),
        Binding("c", "columns", "Columns", show=False, id="fleet.columns"),
        Binding("m", "mark", "Mark this row", show=False, id="fleet.mark"),
        Binding("M", "mark_all", "Mark all shown, or none", show=False, id="fleet.mark_all"),
        Binding("v", "watch", "Watch: keep reading it, on whatever screen", show=False, id="fleet.watch"),
        Binding("w", "warm", "Warm: put it back into the cache", show=False, id="fleet.warm"),
        Binding("i", "invalidate", "Invalidate: delete its cache entry", show=False, id="fleet.invalidate"),
        Binding("g", "toggle_plots", "Plots", id="fleet.plots"),
        Binding("l", "toggle_log", "Log", show=False, id="fleet.log"),
        Binding(
            "escape", "clear_filter", "Clear the filter", show=False, key_display="Esc", id="fleet.clear"
        ),
    ]
    AUTO_FOCUS = "#fleet"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        state, settings = self.state, self.settings
        self.fleet_view = FleetView(state.fleet)
        self._history_s = settings.history_s
        self._ascii = settings.ascii
        self._plotted_at_s = self._sorted_at_s = -1.0
        self._ready_at_s = 0.0
        self._drawn = -1
        """How much the state had taken in when all of it was drawn."""
        self.kpis = KpiRow(ascii_only=settings.ascii, id="kpis")
        self.starting = Starting(id="starting")
        self.table = FleetTable(self.fleet_view, id="fleet")
        self.table.display = False
        self.filter_box = FilterLine(state.fleet, id="filter")
        self.filter_box.display = False
        self.plots = Horizontal(id="plots")
        self.hit_plot: MinutePlot | None = None
        self.fallback_plot: MinutePlot | None = None
        self.log_view = FallbackLog(state, id="log")

    def body(self) -> ComposeResult:
        yield self.kpis
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield self.starting
                yield self.table
                yield self.filter_box
            with Vertical(id="side"):
                yield self.plots
                yield self.log_view

    def on_mount(self) -> None:
        self._restore_preferences()
        if self.state.ready:
            self.call_after_refresh(self._add_plots)

    def _restore_preferences(self) -> None:
        """As the user left it the last time; names that this version does not know are passed over."""
        preferences = self.context.preferences
        columns = tuple(key for key in preferences.columns if key in BY_KEY)
        if columns:
            self.table.columns = columns
        if preferences.sort in SORTS:
            self.fleet_view.set_sort(preferences.sort, preferences.reverse)
        if preferences.group in GROUPS:
            self.fleet_view.set_group(preferences.group)
        if preferences.plots is False:  # shown is how they are where there is room
            self.plots.styles.display = "none"
        if preferences.log is not None:
            self.log_view.styles.display = "block" if preferences.log else "none"

    def _add_plots(self) -> None:
        """The plotting library is loaded once rows are out, and only where there is room for plots."""
        if self.hit_plot is not None or not self.plots.display:
            return
        from iotcache_tui.widgets.fleet.plots import MinutePlot

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

    def draw(self, moment: RenderContext) -> None:
        state, now_s = self.state, moment.now_s
        starting, table = self.starting, self.table
        if starting.display:
            starting.show(state.parts)
            if state.ready:
                starting.display, table.display = False, True
                self._ready_at_s = now_s
                table.focus()
        if abs(now_s - self._sorted_at_s) >= 1.0:
            # What walks over the whole fleet is done on a slower beat.
            self._sorted_at_s = now_s
            table.resort()
        if not len(state.fleet):
            self._say_why_empty()
        table.frame(moment)
        if self.hit_plot is None and self.plots.display and self._has_begun(now_s):
            self.call_after_refresh(self._add_plots)
        if state.changes == self._drawn and not self.context.input_is_recent:
            return  # what follows tells of nothing but what was taken in
        self.kpis.show(state, moment.nodes)
        if self.filter_box.display:
            self._show_filter()
        if self.log_view.display:
            self.log_view.frame(moment.nodes)
        if self.plots.display:
            if abs(now_s - self._plotted_at_s) < 1.0:
                return
            self._plotted_at_s = now_s
            seconds = state.recent(self._history_s)
            if self.hit_plot is None or self.fallback_plot is None:
                return
            self.hit_plot.show([second.hit_percent for second in seconds])
            self.fallback_plot.show([second.fallbacks for second in seconds])
        self._drawn = state.changes

    def _has_begun(self, now_s: float) -> bool:
        waits = not len(self.state.fleet) and now_s - self._ready_at_s < ROWS_WITHIN_S
        return self.state.ready and not waits

    def _say_why_empty(self) -> None:
        text = why_no_device(self.state)
        if text != self.table.waiting_text:
            self.table.waiting_text = text
            self.table.redraw()

    @property
    def restless(self) -> bool:
        return self.starting.display or self.table.moving

    def visible_rows(self) -> Sequence[int]:
        return self.table.visible_rows()

    def export_rows(self) -> Rows | None:
        moment = self.table.moment
        fleet = self.state.fleet
        made = [series(fleet, row, moment.now_s, moment.wall_s) for row in self.fleet_view.order]
        return SERIES_FIELDS, [[one[field] for field in SERIES_FIELDS] for one in made]

    def commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Filter the fleet", "Show only some series", self.action_filter)
        yield SystemCommand("Miss anatomy", "Why reads missed, and the TTL lens", self.action_anatomy)
        yield SystemCommand("Show or hide the plots", "Hit ratio and fallbacks", self.action_toggle_plots)
        yield SystemCommand("Show or hide the log", "Fallbacks as they happen", self.action_toggle_log)
        for column in SORTS:
            yield SystemCommand(
                f"Sort by {column}", "Order the fleet table", lambda column=column: self.sort_by(column)
            )

    # Filter

    def action_filter(self) -> None:
        box = self.filter_box
        box.display = True
        self._show_filter()
        # At once: what is typed right after the key belongs to the filter.
        self.set_focus(box.input)

    def filter_by(self, text: str) -> None:
        """Show the rows that pass ``text``, as if it had been typed."""
        self.filter_box.display = bool(text)
        self.filter_box.input.value = text

    def action_clear_filter(self) -> None:
        if not self.filter_box.display and self.state.fleet.marked:
            self.state.fleet.marked.clear()
        self.filter_by("")
        self.table.focus()

    def action_leave_filter(self) -> None:
        self.table.focus()

    def _show_filter(self) -> None:
        view = self.fleet_view
        self.filter_box.show(view.filter_error, len(view.order), len(view.fleet))

    @on(FilterLine.Changed)
    def _filter_changed(self, event: FilterLine.Changed) -> None:
        self.fleet_view.set_filter(event.text)
        self.table.show_view()
        self._show_filter()

    @on(FilterLine.Left)
    def _filter_left(self) -> None:
        if not self.filter_box.input.value:
            self.filter_box.display = False
        self.table.focus()

    # Order, groups, columns

    def action_sort(self, step: int) -> None:
        names = [name for name in self.table.columns if name in SORTS]
        at = names.index(self.fleet_view.sort) if self.fleet_view.sort in names else -step
        self.sort_by(names[(at + step) % len(names)])

    def sort_by(self, column: str, reverse: bool = False) -> None:
        """Order the table by a column; the title shows it."""
        self.fleet_view.set_sort(column, reverse)
        self.table.show_view()
        self.context.keep(sort=column, reverse=reverse)

    def action_reverse(self) -> None:
        self.sort_by(self.fleet_view.sort, not self.fleet_view.reverse)

    @on(FleetTable.TitleClicked, "#fleet")
    def _title_clicked(self, event: FleetTable.TitleClicked) -> None:
        if event.field in SORTS:
            again = event.field == self.fleet_view.sort
            self.sort_by(event.field, not self.fleet_view.reverse if again else False)

    def group_by(self, name: str, folded: bool = False) -> None:
        """Put the rows under headings; an empty name takes the headings away."""
        self.fleet_view.set_group(name, folded)
        self.table.show_view()
        self.context.keep(group=name)

    def action_group(self) -> None:
        names = ["", *GROUPS]
        self.group_by(names[(names.index(self.fleet_view.group) + 1) % len(names)], self.fleet_view.folded)

    def action_fold(self) -> None:
        view = self.fleet_view
        self.group_by(view.group or next(iter(GROUPS)), not view.folded)

    def action_anatomy(self) -> None:
        def decided(onward: bool | None) -> None:
            if onward:
                self.context.show_screen("advisor")

        self.app.push_screen(
            AnatomyScreen(self.state, span_s=self._history_s, ascii_only=self._ascii), decided
        )

    def action_columns(self) -> None:
        self.app.push_screen(ChooseColumns(self.table.columns, self._set_columns))

    def _set_columns(self, columns: tuple[str, ...]) -> None:
        self.table.columns = columns
        self.table.show_view()
        self.context.keep(columns=columns)

    # Panels

    def action_toggle_plots(self) -> None:
        self.plots.display = not self.plots.display
        self._plotted_at_s = -1.0
        self._add_plots()
        if not self.has_class("-short") and not self.has_class("-tiny"):
            # On a small screen they go by its room: it says nothing of what is wanted on another.
            self.context.keep(plots=self.plots.display)

    def action_toggle_log(self) -> None:
        self.log_view.display = not self.log_view.display
        self.context.keep(log=self.log_view.display)

    # Rows

    @on(FleetTable.Selected, "#fleet")
    def _row_selected(self, event: FleetTable.Selected) -> None:
        if isinstance(event.identity, int):
            self.context.selected_row = event.identity

    @on(FleetTable.Opened, "#fleet")
    def _row_opened(self, event: FleetTable.Opened) -> None:
        if isinstance(event.identity, str):
            field = self.fleet_view.group
            self.fleet_view.set_group("")
            self.filter_by(f'{field}:"{event.identity}"')
        elif isinstance(event.identity, int):
            self.context.selected_row = event.identity
            self.context.show_screen("device")

    def action_mark(self) -> None:
        selected = self.fleet_view.selected_row
        if selected is not None:
            self.state.fleet.marked ^= {selected}
            self.table.action_move(1)
        elif self.fleet_view.has_selection:
            unfold = self.context.key_of("fleet.fold", "z")
            self.context.tell(f"a group is no row: {unfold} unfolds it", "warning")

    def action_mark_all(self) -> None:
        marked = self.state.fleet.marked
        if marked:
            marked.clear()
        else:
            marked.update(self.fleet_view.order)
        self.table.sync_lines()

    def action_watch(self) -> None:
        watched = self.state.fleet.watched
        rows = self.fleet_view.acted_on()
        if rows and all(row in watched for row in rows):
            for row in rows:
                del watched[row]
        else:
            room = WATCHED_MOST - len(watched)
            watched.update(dict.fromkeys([row for row in rows if row not in watched][:room]))
            if len(rows) > room:
                self.context.tell(f"no more than {WATCHED_MOST:,} series are watched at once", "warning")
        self.table.sync_lines()

    def action_warm(self) -> None:
        if series := self._acted_on():
            warm(self.context, series, self.table.sync_lines)

    def action_invalidate(self) -> None:
        if series := self._acted_on():
            one = f"{series[0].device}:{series[0].sensor}" if len(series) == 1 else f"{len(series):,} series"
            invalidate(self, one, series, self.table.sync_lines)

    def _acted_on(self) -> tuple[Series, ...]:
        if not may_act(self.context):
            return ()
        rows = self.fleet_view.acted_on()
        if not rows:
            mark = self.context.key_of("fleet.mark", "m")
            self.context.tell(f"choose a row first: arrow keys, or {mark} to mark several", "warning")
        return tuple(self.state.fleet.series[row] for row in rows)
