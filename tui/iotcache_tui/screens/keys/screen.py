"""Screen 4, Keys: what lies in the nodes, key by key, and what it adds up to."""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from iotcache.keys import unescape
from iotcache.model import Series
from iotcache.text import plural, printable, printable_bytes
from iotcache_tui.export import Rows
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.keys.acts import KeyActs
from iotcache_tui.screens.keys.bulk import BulkChange
from iotcache_tui.screens.keys.value import KeyValueScreen
from iotcache_tui.state.absent_parts import nodes_missing
from iotcache_tui.state.keys.crawl import LIVE_EVERY_S, LIVE_ITEMS, KeyCrawl
from iotcache_tui.state.keys.model import (
    CLASSES,
    COSTLY_ITEMS,
    DELETED,
    Deleted,
    DeleteKey,
    KeyColumns,
)
from iotcache_tui.state.keys.view import SORTS, KeyView
from iotcache_tui.state.requests import READ_ONLY, Answer
from iotcache_tui.widgets.common.cursor_table import CursorTable
from iotcache_tui.widgets.common.panel import Panel
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.fleet.filter_line import TypedLine
from iotcache_tui.widgets.keys.crawl_head import CrawlHead, CrawlShown, age_text
from iotcache_tui.widgets.keys.key_table import KeyTable
from iotcache_tui.widgets.keys.key_totals import TotalsTable

DUMP_BYTES_PER_ITEM = 90
"""A line of a crawl, about."""
HOLD_S = 3.0
"""While the user moves about, the keys hold still for this long."""


class KeyFilterInput(TypedLine):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Done", key_display="↵", id="keys.filter_done"),
        Binding("escape", "screen.back", "Clear", key_display="Esc", id="keys.filter_clear"),
    ]


class KeysScreen(KeyActs):
    """A browser over the nodes."""

    NAME = "keys"
    PANELS = (KeyTable, TotalsTable, Input)
    ACTS = frozenset({"delete", "delete_all", "touch_all"})
    LEGEND = (
        ("Crawl", "the node's own crawler lists its items, which counts as no read and moves nothing. Up to "
         f"{LIVE_ITEMS:,} items: every {LIVE_EVERY_S:g} s; above {COSTLY_ITEMS:,} you are asked first"),
        ("TTL", "how long the item lives on; the bar is full when it was just written; was due: its time is "
         "over since the walk, and it may have been written again"),
        ("Idle", "since the last access, as the node notes it: a set, or a read once a minute"),
        ("Bytes", "of the whole item, memcached's own overhead of some 50 bytes included"),
        ("Class", "latest, bucket, meta, cfg, agg: this program's keys by their shape; own: by which its "
         "clients agree on nodes that are out; foreign: somebody else's"),
        ("Filter", "words and patterns (pump* *:latest); class:bucket node:21001 ttl<30 idle>5m size>10k"),
    )  # fmt: skip
    DEFAULT_CSS = """
    KeysScreen #keys-table { height: 1fr; }
    KeysScreen #keys-body { height: 1fr; layout: vertical; }
    KeysScreen #keys-totals { height: 10; margin: 1 0 0 0; }
    KeysScreen #by-class { width: 1fr; margin: 0 1 0 0; }
    KeysScreen #by-group { width: 1fr; }
    KeysScreen #keys-histograms { width: 1fr; height: 1fr; display: none; }
    KeysScreen.-short #keys-totals { height: 7; margin: 0; }
    KeysScreen.-tiny #keys-totals { display: none; }
    KeysScreen.-narrow #by-group { display: none; }
    KeysScreen.-narrow #by-class { margin: 0; }
    KeysScreen.-wide #keys-body { layout: horizontal; }
    KeysScreen.-wide #keys-totals { layout: vertical; width: 72; height: 1fr; margin: 0 0 0 1; }
    KeysScreen.-wide #by-class { height: 9; margin: 0 0 1 0; width: 1fr; }
    KeysScreen.-wide #by-group { height: 1fr; }
    KeysScreen #keys-filter {
        dock: bottom; height: 1; border: none; padding: 0 1; background: $panel; color: $foreground;
    }
    KeysScreen #keys-filter:focus { border: none; background: $panel-lighten-1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="keys.filter"),
        Binding("s", "sort(1)", "Sort", id="keys.sort"),
        Binding("S", "sort(-1)", "Sort by the previous column", show=False, id="keys.sort_before"),
        Binding("r", "reverse", "Reverse the order", show=False, id="keys.reverse"),
        Binding("c", "crawl", "Crawl", id="keys.crawl"),
        Binding("b", "sort_by('size')", "Biggest first", show=False, id="keys.biggest"),
        Binding("e", "sort_by('ttl')", "Soonest to expire first", show=False, id="keys.nearest_expiry"),
        Binding("t", "totals", "Totals", id="keys.totals"),
        Binding("g", "device", "Go to its device", show=False, id="keys.device"),
        Binding("d,delete", "delete", "Delete this key", show=False, id="keys.delete"),
        Binding("D", "delete_all", "Delete all keys on show", show=False, id="keys.delete_all"),
        Binding("T", "touch_all", "Give all keys on show another life", show=False, id="keys.touch_all"),
        Binding("y", "copy_key", "Copy the key", show=False, id="keys.copy_key"),
        Binding("Y", "copy_value", "Copy the value", show=False, id="keys.copy_value"),
        Binding("h", "histograms", "Histograms", show=False, id="keys.histograms"),
        Binding(
            "escape",
            "back",
            "Stop the crawl, clear the filter",
            show=False,
            key_display="Esc",
            id="keys.clear",
        ),
    ]
    AUTO_FOCUS = "#keys-table"

    def __init__(self, context: DashboardContext) -> None:
        super().__init__(context)
        settings = self.settings
        self.key_view = KeyView()
        self._moment = RenderContext(0.0, 0.0, {})
        self._sorted_at_s = 0.0
        ascii_only = settings.ascii
        self.crawl = KeyCrawl(
            self.context,
            warn=self._ask_leave,
            show=self._put_on_show,
        )
        self.head = CrawlHead(ascii_only=ascii_only, id="keys-head")
        self.table = KeyTable(self.key_view, ascii_only=ascii_only, id="keys-table")
        self.by_class = TotalsTable("By class", ascii_only=ascii_only, id="by-class")
        self.by_group = TotalsTable("Beginning with", ascii_only=ascii_only, id="by-group")
        self.histograms = Panel("Spread of the keys on show", ascii_only=ascii_only, id="keys-histograms")
        self.totals = Horizontal(self.by_class, self.by_group, self.histograms, id="keys-totals")
        self.bulk = BulkChange(context, self.action_crawl)
        self.filter_box = KeyFilterInput(
            placeholder="part of a key, a*b, class:bucket, ttl<30, size>10k", id="keys-filter"
        )
        self.filter_box.display = False

    def body(self) -> ComposeResult:
        yield self.head
        with Vertical(id="keys-body"):
            yield self.table
            yield self.totals
        yield self.filter_box

    def on_screen_suspend(self) -> None:
        if not isinstance(self.app.screen, ModalScreen):
            self.crawl.stop()

    # One frame

    def draw(self, moment: RenderContext) -> None:
        self._moment = moment
        crawl, table = self.crawl, self.table
        missing = nodes_missing(self.state.attachment)
        if self.state.ready and not missing:
            crawl.poll(moment.now_s)
        if (missing or crawl.message) != table.message:
            table.message = missing or crawl.message
            table.redraw()
        ageing = self.key_view.sort == "ttl" and crawl.live and not crawl.held
        if ageing and moment.now_s - self._sorted_at_s >= 1.0:
            # What expires goes to the end; unless the user is moving about.
            self._sorted_at_s = moment.now_s
            self.key_view.rebuild(moment.wall_s)
        table.frame(moment)
        if self.totals.display and self.histograms.display:
            self._show_histograms()
        elif self.totals.display:
            self.by_class.show(crawl.classes)
            self.by_group.show(crawl.groups)
        self._show_head()

    def _show_head(self) -> None:
        crawl, view = self.crawl, self.key_view
        old = not crawl.first and not crawl.live
        self.head.show(
            CrawlShown(
                crawl.nodes,
                tuple(self._short(node.name) for node in crawl.nodes),
                crawl.classes,
                crawl.running,
                crawl.first,
                len(view.columns),
                len(view.order),
                age_text(self._moment.now_s - crawl.over_at_s) if old else "",
                crawl.live,
                self.bulk.note(self._stop_key()) or crawl.note,
                view.error,
                bool(view.filter),
            )
        )

    def _short(self, node: str) -> str:
        return self._moment.nodes.get(node) or printable(node, 60)

    # Crawling

    def _stop_key(self) -> str:
        return self.context.key_of("keys.clear", "Esc")

    def _ask_leave(self, items: int) -> None:
        megabytes = items * DUMP_BYTES_PER_ITEM // 1_000_000
        self.app.push_screen(
            ConfirmScreen(
                f"Crawl {plural(items, 'item')}?",
                f"The crawler of each node will walk over all it holds and send about {megabytes:,} MB. "
                f"Its reads and writes go on meanwhile, a little slower. {self._stop_key()} stops it.",
                yes="Crawl",
            ),
            lambda yes: self.crawl.begin() if yes else None,
        )

    def action_crawl(self) -> None:
        if self.crawl.running and self.crawl.first:
            self.context.tell(f"a crawl is under way: {self._stop_key()} stops it", "warning")
        else:
            self.crawl.count(wanted=True)

    def _put_on_show(self, columns: KeyColumns) -> None:
        view, table = self.key_view, self.table
        if columns is not view.columns:
            under = table.selected
            if isinstance(under, int) and under < len(view.columns):
                table.selected = columns.find(view.columns.key[under], view.columns.node_name(under))
            view.replace(columns)
        self._rebuild()

    def _rebuild(self) -> None:
        self._sorted_at_s = self._moment.now_s
        self.key_view.rebuild(self._moment.wall_s)
        if self.table.selected is not None and self.table.cursor is None:
            self.table.selected = None
        self.table.sync_size()
        self.table.keep_cursor_visible()
        self.table.redraw()

    # What the user does

    def action_back(self) -> None:
        if self.bulk.running:
            self.bulk.stop()
        elif self.crawl.running and self.crawl.first:
            self.crawl.stop()
        else:
            self.filter_box.value = ""
            self.filter_box.display = False
        self.table.focus()

    def action_filter(self) -> None:
        self.filter_box.display = True
        self.set_focus(self.filter_box)

    def filter_by(self, text: str) -> None:
        """Show the keys that pass, as if it had been typed."""
        self.filter_box.display = bool(text)
        self.filter_box.value = text
        self.table.focus()

    @on(Input.Changed, "#keys-filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        if self.key_view.set_filter(event.value):
            self._rebuild()
        self._show_head()

    @on(Input.Submitted, "#keys-filter")
    def _filter_submitted(self) -> None:
        self.filter_box.display = bool(self.filter_box.value)
        self.table.focus()

    def action_sort(self, step: int) -> None:
        self.action_sort_by(SORTS[(SORTS.index(self.key_view.sort) + step) % len(SORTS)])

    def action_sort_by(self, field: str) -> None:
        self.key_view.sort, self.key_view.reverse = field, False
        self._rebuild()

    def action_reverse(self) -> None:
        self.key_view.reverse = not self.key_view.reverse
        self._rebuild()

    def action_totals(self) -> None:
        self.totals.display = not self.totals.display

    @on(CursorTable.TitleClicked, "#keys-table")
    def _title_clicked(self, event: CursorTable.TitleClicked) -> None:
        if event.field == self.key_view.sort:
            self.action_reverse()
        elif event.field in SORTS:
            self.action_sort_by(event.field)

    @on(CursorTable.Selected, "#keys-table")
    def _moved(self) -> None:
        self.crawl.hold(HOLD_S)

    @on(CursorTable.Opened, "#by-class")
    def _class_opened(self, event: CursorTable.Opened) -> None:
        self.filter_by(f"class:{event.identity}")

    @on(CursorTable.Opened, "#by-group")
    def _group_opened(self, event: CursorTable.Opened) -> None:
        self.filter_by(f"{event.identity}*" if event.identity != "(others)" else "")

    def _under_cursor(self) -> int | None:
        row = self.table.selected
        if not isinstance(row, int) or self.table.cursor is None:
            self.context.tell("choose a key first: arrow keys", "warning")
            return None
        return row

    @on(CursorTable.Opened, "#keys-table")
    def _key_opened(self) -> None:
        row = self._under_cursor()
        if row is not None:
            node = self.key_view.columns.node_name(row)
            self.app.push_screen(
                KeyValueScreen(self.context, self.key_view.columns.key[row], node, self._short(node))
            )

    def action_device(self) -> None:
        row = self._under_cursor()
        if row is None:
            return
        device, _, rest = self.key_view.columns.key[row].decode("ascii", "replace").partition(":")
        fleet = self.state.fleet
        series = Series(unescape(device), unescape(rest.partition(":")[0]))
        row_found = fleet.row_of.get(series)
        if row_found is None:
            row_found = next((at for at, one in enumerate(fleet.series) if one.device == series.device), None)
        if row_found is None:
            self.context.tell("no device of this fleet has that key", "warning")
        else:
            self.context.selected_row = row_found
            self.context.show_screen("device")

    def action_delete(self) -> None:
        if self.context.read_only:
            self.context.tell(READ_ONLY, "warning")
            return
        row = self._under_cursor()
        if row is None:
            return
        columns = self.key_view.columns
        key, node = columns.key[row], columns.node_name(row)
        shown, where = printable_bytes(key, 80), self._short(node)

        def on_answer(answer: Answer) -> None:
            if answer.error:
                self.context.tell(f"{shown}: {answer.error}", "error")
            elif isinstance(answer.value, Deleted):
                columns.expires_at[row] = DELETED
                self.context.tell(
                    f"{shown} is deleted" if answer.value.there else f"{shown} was not there any more"
                )

        def decided(yes: bool | None) -> None:
            if yes:
                self.context.ask(DeleteKey(key, node), on_answer)

        self.app.push_screen(
            ConfirmScreen(
                f"Delete {shown}?",
                f"The item under {shown} on {where} will be deleted from that node. Nothing else changes: "
                "where a store stands behind it, the next read goes there.",
                yes="Delete",
            ),
            decided,
        )

    def export_rows(self) -> Rows | None:
        columns, wall_s = self.key_view.columns, self._moment.wall_s
        return ("key", "class", "node", "ttl_s", "idle_s", "bytes", "slab_class"), [
            (
                printable_bytes(columns.key[row], 300), CLASSES[columns.kind[row]], columns.node_name(row),
                None if isinf(columns.expires_at[row]) else round(columns.expires_at[row] - wall_s, 1),
                round(wall_s - columns.used_at[row], 1), columns.size[row], columns.slab[row],
            )
            for row in self.key_view.order
        ]  # fmt: skip

    def commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Crawl the nodes", "List what lies in them", self.action_crawl)
        yield SystemCommand("Filter the keys", "Show only some of them", self.action_filter)
        yield SystemCommand("The biggest keys", "Sort by size", lambda: self.action_sort_by("size"))
        yield SystemCommand("Keys nearest to expiry", "Sort by TTL", lambda: self.action_sort_by("ttl"))
        yield SystemCommand("Show or hide the totals", "Bytes by class and by prefix", self.action_totals)
        yield SystemCommand("Histograms of the keys", "TTL, size and idle time", self.action_histograms)
        yield SystemCommand("Copy the key", "To the terminal's clipboard", self.action_copy_key)
        yield SystemCommand("Copy the value", "To the terminal's clipboard", self.action_copy_value)
        yield SystemCommand("Delete all keys on show", "Counted first, then asked", self.action_delete_all)
        yield SystemCommand("Another life for all keys on show", "Asked first", self.action_touch_all)
        yield SystemCommand("Delete this key", "From its node, after a question", self.action_delete)
