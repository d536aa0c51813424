"""The fleet table's columns: how wide each wants to be, and what it says of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from msgspec import structs

from iotcache.text import printable
from iotcache_tui.format import aligned_value, bar, count, duration, fit, fit_middle, sparkline
from iotcache_tui.state.fleet.fleet_state import FROM_CACHE, FROM_NOWHERE, FROM_STORE, UNREAD, FleetState
from iotcache_tui.state.reasons import label_of
from iotcache_tui.units import shown_unit, shown_value
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.table_fields import Piece, TableField

SOURCE_LABELS = {UNREAD: "", FROM_CACHE: "cache", FROM_STORE: "store", FROM_NOWHERE: "none"}
_SOURCE_STYLES = {UNREAD: "dim", FROM_CACHE: "cache", FROM_STORE: "store", FROM_NOWHERE: "none"}
LOW_TTL_SHARE = 0.25
TTL_TEXT_CELLS = 4
FLASH_S = 0.7
NAME_CELLS_MOST = 40


Draw = Callable[[FleetState, int, int, RenderContext], Sequence[Piece]]


class Column(TableField, frozen=True, kw_only=True):
    """One column: ``key`` is its sort key, too."""

    draw: Draw


def _device(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit_middle(fleet.device[row], width), "name")]


def _sensor(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit_middle(fleet.sensor[row], width), "row")]


def _site(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit(fleet.site[row], width), "dim")]


def _class(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit(fleet.kind[row], width), "dim")]


def _mark(fleet: FleetState, row: int, moment: RenderContext) -> Piece:
    if row in fleet.marked:
        return ("+" if moment.ascii_only else "✓", "mark")
    if row in fleet.watched:
        return ("@" if moment.ascii_only else "◆", "mark")
    return (" ", "dim")


def _state(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    mark = _mark(fleet, row, moment)
    if fleet.value[row] is None:
        return [mark, (" ", "dim")]
    if fleet.is_stale(row):
        return [mark, ("o" if moment.ascii_only else "○", "stale")]
    return [mark, ("*" if moment.ascii_only else "●", "live")]


def flashes(fleet: FleetState, row: int, moment: RenderContext) -> bool:
    """Whether the value changed so lately that its cell still glows."""
    return moment.motion and moment.now_s - fleet.changed_at[row] < FLASH_S


def _value(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    value = shown_value(fleet.value[row], fleet.unit[row], moment.units)
    text = aligned_value(value, width, fleet.decimals(row))
    if fleet.is_stale(row):
        return [(text, "dim")]
    if not flashes(fleet, row, moment):
        return [(text, "value")]
    bare = text.lstrip(" ")
    return [(" " * (len(text) - len(bare)), "value"), (bare, "flash")]


def _unit(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit(shown_unit(fleet.unit[row], moment.units), width), "dim")]


def _trend(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(sparkline(fleet.trend(row), width, moment.ascii_only), "trend")]


def _age(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    stale = fleet.is_stale(row)
    age = moment.wall_s - fleet.measured_at[row]
    return [(fit(duration(age), width, right=True), "stale" if stale else "dim")]


def _ttl(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    left = fleet.ttl_left_s(row, moment.now_s)
    room = width - TTL_TEXT_CELLS
    if left != left:  # noqa: PLR0124 nan test
        text = "not cached" if width >= 10 else "gone"
        return [(fit(text if fleet.source[row] != UNREAD else "", width, right=True), "gone")]
    share = 1.0 if left == inf else left / fleet.ttl_span_s[row]
    style = "ttl-low" if share < LOW_TTL_SHARE else "ttl"
    return [
        (bar(share, room, moment.ascii_only), f"{style}-bar"),
        (fit(duration(left), TTL_TEXT_CELLS, right=True), style),
    ]


def _source(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    code = fleet.source[row]
    return [(fit(SOURCE_LABELS[code], width), _SOURCE_STYLES[code])]


def _hit(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    reads = fleet.reads[row]
    if not reads:
        return [(fit("–", width, right=True), "dim")]
    # Rounded down: 100 % is said only when no read ever missed.
    share = fleet.hits[row] * 100 // reads
    return [(fit(f"{share}%", width, right=True), "row" if share >= 90 else "ttl-low")]


def _node(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    name = fleet.node[row]
    return [(fit(moment.nodes.get(name) or printable(name) or "–", width), "dim")]


def _reads(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit(count(fleet.reads[row]), width, right=True), "dim")]


def _interval(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    interval = fleet.interval_s[row]
    return [(fit(duration(interval) if interval else "–", width, right=True), "dim")]


def _why(fleet: FleetState, row: int, width: int, moment: RenderContext) -> Sequence[Piece]:
    return [(fit(label_of(fleet.reason[row]), width), "store")]


def sized(column: Column, longest: int) -> Column:
    """A column as wide as its longest text, in cells; as it is where that is not known."""
    if not longest:
        return column
    most = min(max(longest, len(column.title) + 1), NAME_CELLS_MOST)
    return structs.replace(column, least=min(column.least, most), most=most)


COLUMNS = (
    Column("state", "  ", 2, 2, 0, draw=_state),
    Column("device", "Device", 13, 28, 0, draw=_device),
    Column("sensor", "Sensor", 11, 20, 1, draw=_sensor),
    Column("site", "Site", 14, 16, 9, draw=_site),
    Column("class", "Class", 9, 14, 8, draw=_class),
    Column("value", "Value", 7, 11, 0, draw=_value, right=True),
    Column("unit", "Unit", 4, 6, 3, draw=_unit),
    Column("trend", "Trend", 5, 24, 6, draw=_trend),
    Column("age", "Age", 4, 6, 4, draw=_age, right=True),
    Column("ttl", "TTL", 8, 26, 2, draw=_ttl, right=True),
    Column("source", "From", 5, 6, 1, draw=_source),
    Column("hit", "Hit", 4, 5, 5, draw=_hit, right=True),
    Column("reads", "Reads", 5, 6, 7, draw=_reads, right=True),
    Column("interval", "Every", 5, 5, 8, draw=_interval, right=True),
    Column("why", "Missed", 11, 11, 5, draw=_why),
    Column("node", "Node", 6, 16, 7, draw=_node),
)
BY_KEY = {column.key: column for column in COLUMNS}
DEFAULT_COLUMNS = (
    "state", "device", "sensor", "site", "value", "unit", "trend", "age", "ttl", "source", "hit", "node",
)  # fmt: skip
