"""The node table's columns: how wide each wants to be, and what it says of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from iotcache.model import NodeHealth, NodeState
from iotcache.text import printable
from iotcache_tui.format import (
    bar,
    count,
    data_size,
    duration,
    fit,
    fit_middle,
    milliseconds,
    percent,
    rate,
)
from iotcache_tui.state.nodes.model import NodeFigures
from iotcache_tui.widgets.common.table_fields import Piece, TableField

_GLYPHS = {
    NodeState.UP: ("●", "*", "good"),
    NodeState.DOWN: ("✗", "x", "bad"),
    NodeState.PROBING: ("◌", "?", "warn"),
    NodeState.STARTING: ("◌", "?", "warn"),
}
LOW_HIT_PERCENT = 80.0
FULL_SHARE = 0.9


class NodeRow(Struct, frozen=True):
    """One node as the table and the panels see it."""

    health: NodeHealth
    figures: NodeFigures | None
    short: str
    """Its name without what all share; safe to show."""

    @property
    def name(self) -> str:
        return self.health.name

    @property
    def answered(self) -> bool:
        return self.figures is not None and self.figures.answered


def state_piece(health: NodeHealth, ascii_only: bool) -> Piece:
    """Glyph and word of a node's state."""
    if health.drained:
        return ("o" if ascii_only else "◇") + " drained", "warn"
    glyph, plain, tone = _GLYPHS[health.state]
    return f"{plain if ascii_only else glyph} {health.state.value}", tone


Draw = Callable[[NodeRow, int, bool], Sequence[Piece]]


class NodeColumn(TableField, frozen=True, kw_only=True):
    draw: Draw
    right: bool = True


def _figure(tell: Callable[[NodeFigures], str], tone: str = "row") -> Draw:
    """A column that is one figure of a node that answered."""

    def draw(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
        text = tell(row.figures) if row.figures is not None and row.figures.answered else ""
        return [(fit(text, width, right=True), tone)]

    return draw


def _hit(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    value = row.figures.hit_percent if row.figures is not None else None
    tone = "row" if value is None or value >= LOW_HIT_PERCENT else "warn"
    return [(fit(percent(value) if row.answered else "", width, right=True), tone)]


def _memory(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    figures = row.figures
    if figures is None or not figures.answered:
        return [(" " * width, "row")]
    limit = figures.limit_bytes or 1
    used = figures.used_bytes / limit
    # A node evicts when all its pages are held by some class, however little is used of them.
    held = max(used, sum(slab.held_bytes for slab in figures.slabs) / limit)
    full = used >= FULL_SHARE or (held >= FULL_SHARE and bool(figures.evictions_per_s))
    text = f"{data_size(figures.used_bytes)}/{data_size(figures.limit_bytes)}"
    room = width - 12
    return [(bar(held, room, ascii_only), "full" if full else "bar"), (fit(text, 12, right=True), "row")]


def _evictions(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    figures = row.figures
    if figures is None or not figures.answered:
        return [(" " * width, "row")]
    evicting = bool(figures.evictions_per_s)
    return [(fit(rate(figures.evictions_per_s), width, right=True), "warn" if evicting else "row")]


def _state(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    text, tone = state_piece(row.health, ascii_only)
    return [(fit(text, width), tone)]


def _name(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    return [(fit_middle(row.short, width), "name")]


def _share(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    share = percent(row.figures.share * 100) if row.figures is not None else "–"
    return [(fit(share, width, right=True), "row")]


def _version(row: NodeRow, width: int, ascii_only: bool) -> Sequence[Piece]:
    text = printable(row.health.version or "–", 20)
    return [(fit(text, width), "dim")]


COLUMNS = (
    NodeColumn("state", "State", 10, 10, 0, draw=_state, right=False),
    NodeColumn("node", "Node", 7, 30, 0, draw=_name, right=False),
    NodeColumn("ring", "Ring", 5, 6, 3, draw=_share),
    NodeColumn("ops", "Ops/s", 6, 7, 1, draw=_figure(lambda node: rate(node.ops_per_s), "strong")),
    NodeColumn("hit", "Hit", 5, 6, 0, draw=_hit),
    NodeColumn("p50", "p50 ms", 6, 6, 6, draw=_figure(lambda node: milliseconds(node.p50_ms))),
    NodeColumn("p99", "p99 ms", 6, 6, 2, draw=_figure(lambda node: milliseconds(node.p99_ms))),
    NodeColumn("memory", "Memory", 17, 76, 1, draw=_memory),
    NodeColumn("items", "Items", 5, 7, 3, draw=_figure(lambda node: count(node.items))),
    NodeColumn("evict", "Evict/s", 7, 7, 4, draw=_evictions),
    NodeColumn("conns", "Conns", 5, 6, 7, draw=_figure(lambda node: count(node.connections))),
    NodeColumn("errors", "Errors", 6, 6, 9, draw=_figure(lambda node: count(node.errors))),
    NodeColumn("up", "Up", 4, 5, 8, draw=_figure(lambda node: duration(node.uptime_s))),
    NodeColumn("version", "Version", 7, 16, 5, draw=_version, right=False),
)
BY_KEY = {column.key: column for column in COLUMNS}
