"""What the panels under the node table say of the chosen node; pure functions from figures to lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from iotcache.model import NodeState, Severity
from iotcache.text import plural, printable
from iotcache_tui.format import (
    bar,
    clock_text,
    count,
    data_size,
    duration,
    fit,
    percent,
    rate,
    span_text,
)
from iotcache_tui.state.log import LogEntry
from iotcache_tui.state.nodes.model import SPANS_S, NodeCurves, NodeFigures, SlabFigures, explain_gap
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.nodes.node_columns import NodeRow, state_piece

SILENT: Sequence[Line] = ([("no figures: the node does not answer", "dim")],)
WAITING: Sequence[Line] = ([("asking the node …", "dim")],)
_BAR_MOST = 40


def figures_of(row: NodeRow) -> NodeFigures | Sequence[Line]:
    """The node's figures, or what to say in their place."""
    if row.figures is not None and row.figures.answered:
        return row.figures
    if row.health.drained:
        return [[("not asked while it is drained", "dim")]]
    return WAITING if row.health.state is NodeState.UP else SILENT


def memory(row: NodeRow, width: int, height: int, *, ascii_only: bool) -> Sequence[Line]:
    """Memory by slab class, those that hold most: what is used of what they hold."""
    node = figures_of(row)
    if not isinstance(node, NodeFigures):
        return node
    if not node.slabs:
        return [[("nothing is stored here yet", "dim")]]
    slabs = sorted(node.slabs, key=lambda slab: (-slab.held_bytes, slab.number))
    room = max(min(width - 49, _BAR_MOST), 4)
    head = (
        f"{'class':>5} {'chunk':>5} {'items':>6} {'used':>5} {'held':>5} "
        f"{fit('of limit', room)} {'oldest':>6} {'evicted':>7}"
    )
    lines: list[Line] = [[(head, "dim")]]
    # With more classes than lines the rest is summed up in the last one.
    shown = slabs if len(slabs) < height else slabs[: max(height - 2, 0)]
    rest = slabs[len(shown) :]
    shown = sorted(shown, key=lambda slab: slab.number)
    limit = max(node.limit_bytes, sum(slab.held_bytes for slab in slabs), 1)
    for slab in shown:
        used = round(slab.used_bytes / limit * room * 8)
        held = bar(slab.held_bytes / limit, room, ascii_only)
        mark = bar(used / (room * 8), room, ascii_only) if slab.used_bytes else " " * room
        lines.append(
            [
                (
                    f"{slab.number:>5} {data_size(slab.chunk_bytes):>5} {count(slab.items):>6} "
                    f"{data_size(slab.used_bytes):>5} {data_size(slab.held_bytes):>5} ",
                    "row",
                ),
                *_overlaid(mark, held),
                (f" {duration(slab.age_s):>6}", "row"),
                (f" {count(slab.evicted):>7}", "warn" if slab.evicted else "dim"),
            ]
        )
    if rest:
        text = f"{len(rest)} more, {data_size(sum(slab.held_bytes for slab in rest))}"
        lines.append([(fit(text, width, right=False), "dim")])
    return lines


def _overlaid(used: str, held: str) -> Sequence[tuple[str, str]]:
    """The used part in one tone, what is held beyond it in another."""
    size = len(used.rstrip(" ."))
    return [(used[:size], "bar"), (held[size:], "rest")]


def segments(row: NodeRow, width: int, height: int, *, ascii_only: bool) -> Sequence[Line]:
    """The LRU's segments over all classes: items, and when the oldest was last used."""
    node = figures_of(row)
    if not isinstance(node, NodeFigures):
        return node
    if not any(slab.hot + slab.warm + slab.cold + slab.temp for slab in node.slabs):
        what = "nothing is stored here yet" if not node.items else "this node does not tell its segments"
        return [[(what, "dim")]]
    total = sum(slab.items for slab in node.slabs) or 1
    room = max(min(width - 34, _BAR_MOST), 4)
    lines: list[Line] = []
    for name, items, age_s in _segment_rows(node.slabs):
        lines.append(
            [
                (f"{name:<5}", "strong"),
                (f"{count(items):>6} ", "row"),
                (f"{percent(100 * items / total):>5} ", "dim"),
                (bar(items / total, room, ascii_only), "bar"),
                (f"  {'oldest ' + duration(age_s) if age_s is not None and items else '':<12}", "dim"),
            ]
        )
    tuning = node.tuning
    if tuning is not None and tuning.segmented and len(lines) < height:
        lines.append(
            [
                (
                    f"limits: hot {tuning.hot_percent} % or {tuning.hot_factor:g} × cold's age, "
                    f"warm {tuning.warm_percent} % or {tuning.warm_factor:g} ×",
                    "dim",
                )
            ]
        )
    return lines


def segments_note(row: NodeRow) -> str:
    """How the LRU is set, for the panel's title line."""
    tuning = row.figures.tuning if row.figures is not None else None
    if tuning is None:
        return ""
    temp = "off" if tuning.temp_ttl_s < 0 else f"< {tuning.temp_ttl_s} s"
    return f"{'segmented' if tuning.segmented else 'flat'}, temp {temp}"


def _segment_rows(slabs: Sequence[SlabFigures]) -> list[tuple[str, int, int | None]]:
    def oldest(ages: list[int]) -> int | None:
        return max(ages, default=None)

    return [
        ("hot", sum(s.hot for s in slabs), oldest([s.hot_age_s for s in slabs if s.hot])),
        ("warm", sum(s.warm for s in slabs), oldest([s.warm_age_s for s in slabs if s.warm])),
        ("cold", sum(s.cold for s in slabs), oldest([s.age_s for s in slabs if s.cold])),
        ("temp", sum(s.temp for s in slabs), None),
    ]


def load(  # noqa: PLR0917 what a plot is drawn from
    row: NodeRow,
    history: NodeCurves,
    now_s: float,
    width: int,
    height: int,
    ascii_only: bool,
    span_s: float = SPANS_S[0],
) -> Sequence[Line]:
    """Operations a second and the node's hit ratio over the last ``span_s``, as two filled curves."""
    node = row.figures
    room = width - 7
    tall = max((height - 3) // 2, 1)
    ops = history.ops(row.name, now_s, room, span_s)
    hits = history.hits(row.name, now_s, room, span_s)
    known = [value for value in ops if value is not None]
    if node is None or not (known or node.answered):
        figures = figures_of(row)
        return WAITING if isinstance(figures, NodeFigures) else figures
    top = round_top(max(known, default=0.0))
    least = min((value for value in hits if value is not None), default=100.0)
    low = next(end for end in (90.0, 80.0, 50.0, 0.0) if least >= end)
    lines: list[Line] = [[("ops/s ", "dim"), (rate(node.ops_per_s), "strong")]]
    lines += _curve(area(ops, tall, 0.0, top, ascii_only), rate(top), "0")
    lines.append([("hit % ", "dim"), (percent(node.hit_percent), "strong")])
    lines += _curve(area(hits, tall, low - 1e-6, 100.0, ascii_only), "100", f"{low:g}")
    if height >= 7:
        lines.append([(fit(f"{span_text(span_s)} ago", room, right=False)[: room - 3] + "now", "dim")])
    return lines


def _curve(rows: list[str], top: str, bottom: str) -> list[Line]:
    labels = [top, *[""] * (len(rows) - 2), bottom] if len(rows) > 1 else [top]
    return [[(text, "curve"), (f" {label:<5}", "dim")] for text, label in zip(rows, labels, strict=True)]


def ratios(row: NodeRow, width: int, height: int) -> Sequence[Line]:
    """The two hit ratios side by side, and why they are not one."""
    node = figures_of(row)
    if not isinstance(node, NodeFigures):
        return node
    lines: list[Line] = [
        [
            ("the node  ", "dim"),
            (f"{percent(node.hit_percent):>6}", "strong"),
            (f"  of {rate(node.gets_per_s):>6} gets/s, by all its clients", "dim"),
        ],
        [
            ("readers   ", "dim"),
            (f"{percent(node.read_hit_percent):>6}", "strong"),
            (f"  of {rate(node.reads_per_s):>6} reads/s, by this program", "dim"),
        ],
    ]
    if node.hit_percent is None or node.read_hit_percent is None:
        lines.append([("no gap to explain until both have reads", "dim")])
        return lines
    gap = abs(node.hit_percent - node.read_hit_percent)
    reasons = explain_gap(node)
    lines.append([("gap       ", "dim"), (f"{gap:>5.1f}", "warn" if gap >= 1 else "row"), (" points", "dim")])
    for reason in reasons or ["the two agree"]:
        wrapped = textwrap.wrap(reason, max(width - 4, 20))
        lines += [[("· " if not at else "  ", "dim"), (text, "row")] for at, text in enumerate(wrapped)]
    return lines


def story(  # noqa: PLR0917
    row: NodeRow, entries: Sequence[LogEntry], now_s: float, width: int, height: int, ascii_only: bool
) -> Sequence[Line]:
    """How the node stands and since when, then its changes of state, the newest first."""
    health = row.health
    text, tone = state_piece(health, ascii_only)
    lines: list[Line] = [[(text, tone), (f" for {duration(now_s - health.since_s)}", "row")]]
    if health.reason and health.state is not NodeState.UP:
        lines.append([(printable(health.reason, max(width - 2, 10)), "warn" if health.drained else "bad")])
    node = row.figures
    if node is not None and node.answered:
        failed, threads = (
            plural(node.errors, "failed batch", "failed batches"),
            plural(node.threads, "thread"),
        )
        lines.append([(f"{node.in_flight} in flight, {failed} since the start", "dim")])
        lines.append(
            [
                (f"{node.connections}/{plural(node.max_connections, 'connection')}, {threads}, ", "dim"),
                (f"running for {duration(node.uptime_s)}", "dim"),
            ]
        )
        if node.missing:
            lines.append([("lacks " + printable(", ".join(node.missing), 200), "dim")])
    name = printable(row.name, 120)
    changes = [entry for entry in reversed(entries) if entry.subject == name][: max(height, 0)]
    for entry in changes:
        tone = "good" if entry.severity is Severity.INFO else "bad"
        text = entry.text.removeprefix("node ").removeprefix(name).strip().removeprefix("is ")
        lines.append([(f"{clock_text(entry.wall_s)} ", "dim"), (printable(text, max(width - 11, 10)), tone)])
    if not changes:
        lines.append([("no change of state since this dashboard started", "dim")])
    return lines
