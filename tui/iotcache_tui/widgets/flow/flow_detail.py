"""What the panel under the pipeline says of the box that stands out; pure functions from state to lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from iotcache.model import MissReason
from iotcache.published_stats import FleetStats, IngestStats
from iotcache.text import printable
from iotcache_tui.format import count, data_size, duration, fit, milliseconds, percent, rate
from iotcache_tui.state.absent_parts import processes_missing
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow import WINDOW_S
from iotcache_tui.state.flow_history import Rates
from iotcache_tui.state.nodes.model import SPANS_S
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.state.updates import Process
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.nodes.node_columns import state_piece

S = TypeVar("S", IngestStats, FleetStats)


class Figure(NamedTuple, Generic[S]):
    """One figure of a process: title, cells, and its text."""

    title: str
    cells: int
    text: Callable[[S], str]


_INGEST: tuple[Figure[IngestStats], ...] = (
    Figure("in/s", 6, lambda stats: rate(stats.received_per_s)),
    Figure("stored/s", 8, lambda stats: rate(stats.stored_per_s)),
    Figure("queued", 6, lambda stats: count(stats.queued)),
    Figure("unacked", 7, lambda stats: count(stats.unacked)),
    Figure("lag s", 6, lambda stats: f"{stats.lag_s:.1f}"),
    Figure("commit p50", 10, lambda stats: milliseconds(stats.commit_p50_ms)),
    Figure("p99 ms", 6, lambda stats: milliseconds(stats.commit_p99_ms)),
    Figure("dup", 5, lambda stats: count(stats.duplicates)),
    Figure("conflict", 8, lambda stats: count(stats.conflicts)),
    Figure("dead", 5, lambda stats: count(stats.dead_letters)),
    Figure("nothing in it", 13, lambda stats: count(stats.nothing_in_it)),
    Figure("dirty", 5, lambda stats: count(stats.dirty_keys)),
    Figure("RSS", 5, lambda stats: data_size(stats.max_rss_bytes)),
)
_STORE: tuple[Figure[IngestStats], ...] = (
    Figure("stored/s", 8, lambda stats: rate(stats.stored_per_s)),
    Figure("stored", 7, lambda stats: count(stats.stored)),
    Figure("dup", 6, lambda stats: count(stats.duplicates)),
    Figure("conflict", 8, lambda stats: count(stats.conflicts)),
    Figure("batches", 7, lambda stats: count(stats.batches)),
    Figure("commit p50", 10, lambda stats: milliseconds(stats.commit_p50_ms)),
    Figure("p99 ms", 6, lambda stats: milliseconds(stats.commit_p99_ms)),
    Figure("failures", 8, lambda stats: count(stats.commit_failures)),
)
_SIMULATOR: tuple[Figure[FleetStats], ...] = (
    Figure("sent/s", 7, lambda stats: rate(stats.rate)),
    Figure("devices", 7, lambda stats: count(stats.devices)),
    Figure("series", 7, lambda stats: count(stats.series)),
    Figure("sent", 7, lambda stats: count(stats.published)),
    Figure("unconfirmed", 11, lambda stats: count(stats.unconfirmed)),
    Figure("late", 6, lambda stats: count(stats.late)),
    Figure("lag p50", 7, lambda stats: milliseconds(stats.lag_p50_ms)),
    Figure("p99 ms", 6, lambda stats: milliseconds(stats.lag_p99_ms)),
    Figure("reconnects", 10, lambda stats: count(stats.reconnects)),
)


def details(
    state: DashboardState, box: str, width: int, height: int, *, nodes: dict[str, str], ascii_only: bool
) -> Sequence[Line]:
    """Lines about one box."""
    missing = processes_missing(state.attachment)
    match box:
        case "simulator":
            none = missing or "no simulator tells of itself"
            return _processes(state.processes.simulators, _SIMULATOR, width, none)
        case "broker":
            return _broker(state)
        case "workers":
            return _processes(state.processes.workers, _INGEST, width, missing or "no worker tells of itself")
        case "store":
            return _processes(
                state.processes.workers, _STORE, width, missing or "no worker tells of its commits"
            )
        case "nodes":
            return _nodes(state, nodes, width, ascii_only)
        case _:
            return _readers(state)


def history(
    rates: Sequence[Rates],
    index: int,
    total: int,
    width: int,
    height: int,
    *,
    ascii_only: bool,
    span_s: int = SPANS_S[0],
) -> Sequence[Line]:
    """One arrow's rate over the last ``span_s`` seconds as a filled curve, a column a few seconds.

    ``total`` seconds have been counted so far: columns are cut by it, so that a bar stays whole as it moves.
    """
    room = width - 7
    if room < 8 or height < 1:
        return ()
    step = -(-span_s // room)
    columns: list[list[float]] = [[] for _ in range(room)]
    newest = (total - 1) // step
    for back, each in enumerate(reversed(rates)):
        at, value = room - 1 - (newest - (total - 1 - back) // step), each[index]
        if at < 0:
            break
        if value is not None:
            columns[at].append(value)
    values = [sum(column) / len(column) if column else None for column in columns]
    top = round_top(max((value for value in values if value is not None), default=0.0))
    rows = area(values, height, 0.0, top, ascii_only)
    labels = [rate(top), *[""] * (height - 2), "0"] if height > 1 else [rate(top)]
    return [[(row, "curve"), (f" {label}", "dim")] for row, label in zip(rows, labels, strict=True)]


def _processes(
    processes: Sequence[Process[S]], figures: Sequence[Figure[S]], width: int, none: str
) -> Sequence[Line]:
    if not processes:
        return [[(none, "dim")]]
    name_room = min(max(7, *(len(process.instance) for process in processes)), 24)
    room = width - name_room - 2 - 10
    shown: list[Figure[S]] = []
    for each in figures:
        if sum(size + 1 for _, size, _ in shown) + each.cells + 1 > room:
            break
        shown.append(each)
    head = "".join(f" {fit(title, size, right=True)}" for title, size, _ in shown)
    lines: list[Line] = [[(fit("process", name_room) + fit(" state", 10) + head, "dim")]]
    for process in processes:
        stats = process.stats
        waiting, label = printable(stats.waiting_for, 200), printable(stats.state, 20) or "running"
        cells = "".join(f" {fit(text(stats), size, right=True)}" for _, size, text in shown)
        lines.append(
            [
                (fit(printable(process.instance, 60), name_room), "row"),
                (" " + fit(label, 9), "warn" if waiting else "good"),
                (fit(" " + waiting, len(cells)), "warn") if waiting else (cells, "row"),
            ]
        )
    return lines


def _broker(state: DashboardState) -> Sequence[Line]:
    workers = state.processes.workers
    part = next((part for part in state.parts if part.name == "broker"), None)
    connects = sum(worker.stats.connects for worker in workers)
    lost = sum(worker.stats.sessions_lost for worker in workers)
    return [
        [(f"{part.state} " if part else "unknown ", "strong"), (part.text if part else "", "row")],
        [(f"{sum(worker.stats.unacked for worker in workers):,}", "strong"),
         (" QoS 1 messages that it holds until a worker has committed them", "dim")],
        [(f"{connects:,}", "strong"), (" connects of the workers so far, ", "dim"),
         (f"{lost:,}", "bad" if lost else "strong"), (" sessions that it had forgotten", "dim")],
    ]  # fmt: skip


def _nodes(state: DashboardState, nodes: dict[str, str], width: int, ascii_only: bool) -> Sequence[Line]:
    figures = {node.name: node for node in state.node_figures.nodes} if state.node_figures else {}
    if not state.nodes:
        return [[("no cache node is known yet", "dim")]]
    lines: list[Line] = [
        [
            (
                f"{'node':<24} {'state':<10} {'ops/s':>6} {'sets/s':>6} {'hit':>5} {'p99 ms':>6} "
                f"{'in flight':>9} {'memory':>12} {'evict/s':>7}",
                "dim",
            )
        ]
    ]
    for health in state.nodes:
        node, label = figures.get(health.name), state_piece(health, ascii_only)
        short = nodes.get(health.name) or printable(health.name)
        cells: Line = [(fit(short, 24) + " ", "row"), (fit(label[0], 10), label[1])]
        if node is not None and node.answered:
            memory = f"{data_size(node.used_bytes)}/{data_size(node.limit_bytes)}"
            tail = (
                f" {rate(node.ops_per_s):>6} {rate(node.sets_per_s):>6} {percent(node.hit_percent):>5} "
                f"{milliseconds(node.p99_ms):>6} {node.in_flight:>9} {memory:>12} "
                f"{rate(node.evictions_per_s):>7}"
            )
            lines.append([*cells, (tail, "row")])
        else:
            lines.append([*cells, (" " + printable(health.reason, max(width - 38, 10)), "bad")])
    return lines


def _readers(state: DashboardState) -> Sequence[Line]:
    seconds = state.recent(WINDOW_S)
    if not any(second.reads for second in seconds):
        return [[("this dashboard has looked at nothing in the last seconds", "dim")]]
    reads = sum(second.reads for second in seconds)
    why: dict[MissReason, int] = {}
    for second in seconds:
        for reason, times in second.misses.items():
            why[reason] = why.get(reason, 0) + times
    span = len(seconds)
    lines: list[Line] = [
        [(f"{rate(reads / span)} looks/s", "strong"), (f" by this dashboard, last {duration(span)}: ", "dim"),
         (percent(state.hit_percent(WINDOW_S)), "strong"), (" from the cache; an application would", "dim"),
         (" have had", "dim")],
    ]  # fmt: skip
    for reason, times in sorted(why.items(), key=lambda item: -item[1]):
        lines.append(
            [(f"{REASONS[reason].label:<12}", "warn"), (f"{rate(times / span):>7}/s ", "row"),
             (f"{100 * times / reads:>5.1f} % of looks would have gone to the store for it", "dim")]
        )  # fmt: skip
    if not why:
        lines.append([("no read would have had to go to the store", "good")])
    return lines
