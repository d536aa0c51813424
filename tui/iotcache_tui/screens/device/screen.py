"""Screen 2, Device: one device in depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from iotcache.model import Series
from iotcache_tui.export import Rows
from iotcache_tui.key_display import key_shown
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.device.queries import DeviceQueries
from iotcache_tui.screens.fleet.commands import invalidate, read_now, warm
from iotcache_tui.screens.fleet.screen import WATCHED_MOST
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.device.log import DeviceLog
from iotcache_tui.state.device.model import SPANS_S, Curve
from iotcache_tui.state.device.rows import DeviceRows
from iotcache_tui.state.fleet.view import SORTS
from iotcache_tui.state.snapshot import SERIES_FIELDS, series
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.panel_deck import PanelDeck
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.starting import why_no_device
from iotcache_tui.widgets.device.device_head import DeviceHead, head_of
from iotcache_tui.widgets.device.device_keys import DeviceKeyTable
from iotcache_tui.widgets.device.device_log import DeviceLogView
from iotcache_tui.widgets.device.documents_view import DocumentsView
from iotcache_tui.widgets.device.history_plot import HistoryPlot, plot_of
from iotcache_tui.widgets.device.sensor_table import SensorTable
from iotcache_tui.widgets.keys.value_view import ValueView

NO_SELECTION = (
    "No device is chosen.\n\nOn the Fleet screen ({fleet}) put the cursor on a row and press {open};\n"
    "or press {next} here for the first device."
)
NO_DEVICE = "No device has been seen yet."


class DeviceScreen(ViewScreen):
    """Its sensors, their past, its keys, what lies under them, and what happened to it."""

    NAME = "device"
    PANELS = (SensorTable, DeviceKeyTable, DeviceLogView, DocumentsView, ValueView)
    ACTS = frozenset({"warm", "invalidate"})
    LEGEND = (
        ("Curve", "the store's readings, with those that came in since at the end; texts are drawn as steps"),
        ("Shaded", "what is in the cache: minutes whose bucket lies there, and from the cached reading to "
         "the end of its entry's life, which may lie ahead of now"),
        ("▾", "a read that fell back to the store"),
        ("Keys", "as their nodes hold them, by a debug command that counts as no read; “not cached” is no "
         "mistake: a bucket or a document is put there when it is first written or read"),
        ("Idle", "since the key's last access; Read: whether anybody read it since it was set"),
        ("Value", "read from the node when a key is chosen, and again when a new reading came: one get each, "
         "which leaves the key's last access and its place in the LRU alone"),
        ("◆", "watched: its series are read all the time, whichever screen is shown"),
    )  # fmt: skip
    DEFAULT_CSS = """
    DeviceScreen #device-nothing { height: 1fr; content-align: center middle; text-align: center;
        color: $foreground 60%; background: $surface; }
    DeviceScreen #device-body { height: 1fr; }
    DeviceScreen #device-sensors { height: 6; }
    DeviceScreen #device-plot { height: 13; margin: 1 0 0 0; }
    DeviceScreen.-short #device-plot { height: 7; margin: 0; }
    DeviceScreen.-tiny #device-plot { display: none; }
    DeviceScreen.-wide #device-plot { height: 20; }
    DeviceScreen.-wide PanelDeck { grid-size: 3 2; grid-columns: 5fr 3fr 3fr; }
    DeviceScreen.-wide #device-value, DeviceScreen.-wide #device-documents { row-span: 2; }
    DeviceScreen.-short PanelDeck { layout: vertical; margin: 0; }
    DeviceScreen.-tiny PanelDeck { layout: vertical; margin: 0; }
    DeviceScreen.-narrow PanelDeck { layout: vertical; margin: 0; }
    DeviceScreen.-short .-behind { display: none; }
    DeviceScreen.-tiny .-behind { display: none; }
    DeviceScreen.-narrow .-behind { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "read", "Read", id="device.read"),
        Binding("w", "warm", "Warm", id="device.warm"),
        Binding(
            "i", "invalidate(False)", "Invalidate this sensor's entry", show=False, id="device.invalidate"
        ),
        Binding(
            "I",
            "invalidate(True)",
            "Invalidate every series of the device",
            show=False,
            id="device.invalidate_all",
        ),
        Binding("v", "watch", "Watch: keep reading it, on whatever screen", show=False, id="device.watch"),
        Binding("h", "span(1)", "Span", id="device.span"),
        Binding("H", "span(-1)", "A shorter history", show=False, id="device.span_before"),
        Binding("d", "detail(1)", "Details", id="device.details"),
        Binding("D", "detail(-1)", "Previous details", show=False, id="device.details_before"),
        Binding("n", "other(1)", "Next device", show=False, id="device.next"),
        Binding("N", "other(-1)", "Previous device", show=False, id="device.before"),
    ]
    AUTO_FOCUS = "#device-sensors"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        state, settings = self.state, self.settings
        ascii_only = settings.ascii
        self.rows = DeviceRows(state.fleet)
        self.curve = Curve()
        self._span = 0
        self._row: int | None = None
        self._version = -1
        self._measured_at = inf
        self._moment = RenderContext(0.0, 0.0, {})
        self._slow_at_s = -inf
        keys = settings.keys
        self._no_selection = NO_SELECTION.format(
            fleet=key_shown(keys, "app.fleet", "1"),
            open=key_shown(keys, "table.open", "Enter"),
            next=key_shown(keys, "device.next", "n"),
        )
        self._nothing_shown = ""
        self.nothing = Static("", id="device-nothing", markup=False)
        self.head = DeviceHead(ascii_only=ascii_only, id="device-head")
        self.sensors = SensorTable(self.rows, id="device-sensors")
        self.plot = HistoryPlot(ascii_only=ascii_only, id="device-plot")
        self.keys = DeviceKeyTable(ascii_only=ascii_only, id="device-keys")
        self.value_view = ValueView(id="device-value")
        self.documents_view = DocumentsView(id="device-documents")
        self.queries = DeviceQueries(
            self.context,
            curve=self.curve,
            keys=self.keys,
            documents=self.documents_view,
            value=self.value_view,
        )
        self.log_rows = DeviceLog(state.log)
        self.log_view = DeviceLogView(self.log_rows, ascii_only=ascii_only, id="device-log")
        self.deck = PanelDeck(
            self.keys, self.value_view, self.documents_view, self.log_view, id="device-panels"
        )
        self.whole = Vertical(self.head, self.sensors, self.plot, self.deck, id="device-body")
        self.whole.display = False

    def body(self) -> ComposeResult:
        yield self.nothing
        yield self.whole

    def on_screen_suspend(self) -> None:
        if not isinstance(self.app.screen, ModalScreen):
            self.queries.stop()

    @property
    def series(self) -> Series | None:
        """The chosen sensor."""
        return None if self._row is None else self.state.fleet.series[self._row]

    # One frame

    def draw(self, moment: RenderContext) -> None:
        went_back, self._moment = moment.wall_s < self._moment.wall_s - 1.0, moment
        selected = self.context.selected_row
        if selected is not None and selected >= len(self.state.fleet):
            selected = None
        if selected != self._row or went_back:  # back: in a replay
            self._choose(selected)
        series = self.series
        if series is None:
            self._say_nothing()
            return
        self._follow()
        slow = moment.now_s - self._slow_at_s >= 1.0
        if slow:
            self.sensors.resort()
        self.sensors.frame(moment)
        self.keys.frame(moment)
        self.log_view.frame()
        if self.state.ready:
            sensors = [self.state.fleet.series[row].sensor for row in self.rows.order]
            self.queries.poll(moment.now_s, series, sensors, SPANS_S[self._span])
        if slow:
            self._slow_at_s = moment.now_s
            self.sensors.grow(self._sensors_most)
            self.head.show(head_of(self.state, self.rows.order, moment, len(self.queries.alerts)))
            if self.log_rows.about(series.device, self.rows.order):
                self.log_view.changed()
        if self.plot.display:
            row, span_s = self.rows.fleet.row_of[series], SPANS_S[self._span]
            self.curve.forget_before(moment.wall_s - span_s)
            self.plot.show(self.curve, plot_of(self.state, row, span_s, moment, self.queries.message))

    def _say_nothing(self) -> None:
        message = self._no_selection
        if not len(self.state.fleet):
            message = f"{NO_DEVICE}\n\n{why_no_device(self.state)}"
        if message != self._nothing_shown:
            self._nothing_shown = message
            self.nothing.update(message)

    def export_rows(self) -> Rows | None:
        fleet, moment = self.state.fleet, self._moment
        made = [series(fleet, row, moment.now_s, moment.wall_s) for row in self.rows.order]
        return SERIES_FIELDS, [[one[field] for field in SERIES_FIELDS] for one in made]

    def visible_rows(self) -> Sequence[int]:
        return self.rows.order if self._row is not None else ()

    def _choose(self, row: int | None) -> None:
        """Another sensor, maybe of another device."""
        before, self._row = self.series, row
        series = self.series
        self.nothing.display, self.whole.display = series is None, series is not None
        if series is None:
            return
        if before is None or before.device != series.device:
            self.rows.show(series.device)
            self.queries.new_device()
            if before is None and self.focused is None:
                self.sensors.focus()
        self.rows.selected = row
        self.sensors.show_view()
        self.queries.new_sensor(series)
        self._version, self._measured_at = -1, inf
        self._slow_at_s = -inf

    @property
    def _sensors_most(self) -> int:
        return 4 if self.size.height < 32 else 8 if self.size.height < 50 else 12

    def on_resize(self) -> None:
        self.sensors.grow(self._sensors_most)

    def _follow(self) -> None:
        """Put the newest reading at the end of the curve; look at its cache entry anew."""
        row, fleet = self._row, self.state.fleet
        if row is None:
            return
        fleet.settle((row,))
        if fleet.version[row] == self._version:
            return
        self._version = fleet.version[row]
        value, at_s = fleet.value[row], fleet.measured_at[row]
        if value is not None and isfinite(at_s):
            if at_s > self._measured_at:
                self.queries.moved_on()
            self._measured_at = at_s
            self.curve.append(at_s, value)

    # What the user does

    @on(CursorTable.TitleClicked, "#device-sensors")
    def _title_clicked(self, event: CursorTable.TitleClicked) -> None:
        if event.field in SORTS:
            self.rows.set_sort(event.field, event.field == self.rows.sort and not self.rows.reverse)
            self.sensors.show_view()

    @on(CursorTable.Selected, "#device-sensors")
    def _sensor_selected(self, event: CursorTable.Selected) -> None:
        if isinstance(event.identity, int):
            self.context.selected_row = event.identity

    @on(CursorTable.Selected, "#device-keys")
    def _key_selected(self) -> None:
        key = self.keys.key_at_cursor()
        self.queries.selected_key = key.key if key is not None else ""

    @on(CursorTable.Opened, "#device-sensors")
    @on(CursorTable.Opened, "#device-keys")
    def _opened(self) -> None:
        self.deck.show_panel(1)

    def action_detail(self, step: int) -> None:
        self.deck.turn(step)

    def action_span(self, step: int) -> None:
        self._span = (self._span + step) % len(SPANS_S)
        series = self.series
        if series is not None:
            self.queries.new_curve(series)
            self._version = -1

    def action_other(self, step: int) -> None:
        series = self.state.fleet.series
        if not series:
            return
        names = sorted({one.device for one in series})
        selected = (
            self.context.selected_row
        )  # not what is drawn: the key may be pressed twice between two frames
        at = (
            names.index(series[selected].device) + step
            if selected is not None and selected < len(series)
            else 0
        )
        device = names[at % len(names)]
        self.context.selected_row = next(row for row, one in enumerate(series) if one.device == device)

    def action_watch(self) -> None:
        watched, rows = self.state.fleet.watched, self.rows.order
        if self.series is None:
            return
        if all(row in watched for row in rows):
            for row in rows:
                del watched[row]
        elif len(watched) + len(rows) > WATCHED_MOST:
            self.context.tell(f"no more than {WATCHED_MOST:,} series are watched at once", "warning")
        else:
            watched.update(dict.fromkeys(rows))
        self._slow_at_s = -inf

    def action_read(self) -> None:
        if self.series is not None:
            read_now(self.context, self.series, self.queries.changed)

    def action_warm(self) -> None:
        if self.series is not None:
            warm(self.context, self._all_series(), self.queries.changed)

    def action_invalidate(self, whole: bool) -> None:
        series = self.series
        if series is None:
            return
        several = self._all_series() if whole else (series,)
        name = f"{series.device}:{series.sensor}"
        if len(several) > 1:
            name = f"all {len(several)} series of {series.device}"
        invalidate(self, name, several, self.queries.changed)

    def _all_series(self) -> tuple[Series, ...]:
        return tuple(self.state.fleet.series[row] for row in self.rows.order)

    def commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Read this sensor now", "Through the cache", self.action_read)
        yield SystemCommand("Warm this device", "Put back what is missing", self.action_warm)
        yield SystemCommand(
            "Invalidate this sensor", "Delete its entry", lambda: self.action_invalidate(False)
        )
        yield SystemCommand(
            "Invalidate this device", "Delete all its entries", lambda: self.action_invalidate(True)
        )
        yield SystemCommand("Watch this device, or no longer", "Keep reading it", self.action_watch)
        yield SystemCommand("Longer or shorter history", "Of the chosen sensor", lambda: self.action_span(1))
        yield SystemCommand("Next device", "In the order of the names", lambda: self.action_other(1))
