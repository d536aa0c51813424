"""What the panel under the pipeline says of the box that stands out; pure functions from state to lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iotcache.text import printable
from iotcache_tui.format import count, data_size, duration, fit, milliseconds, percent, rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow import HISTORY_KEPT, WINDOW_S, figure, of_role, text
from iotcache_tui.state.updates import Worker
from iotcache_tui.widgets.common.area import area, round_top
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.fleet.fallback_log import REASON_WORDS
from iotcache_tui.widgets.nodes.node_columns import state_piece

Figure = tuple[str, int, Callable[[Worker], str]]
"""Title, cells and text of a figure of one process."""


def _whole(name: str) -> Callable[[Worker], str]:
    return lambda worker: count(int(figure(worker, name)))


def _per_s(name: str) -> Callable[[Worker], str]:
    return lambda worker: rate(figure(worker, name))


def _ms(name: str) -> Callable[[Worker], str]:
    return lambda worker: milliseconds(figure(worker, name))


_INGEST: tuple[Figure, ...] = (
    ("in/s", 6, _per_s("received_per_s")),
    ("stored/s", 8, _per_s("stored_per_s")),
    ("queued", 6, _whole("queued")),
    ("unacked", 7, _whole("unacked")),
    ("lag s", 6, lambda worker: f"{figure(worker, 'lag_s'):.1f}"),
    ("commit p50", 10, _ms("commit_p50_ms")),
    ("p99 ms", 6, _ms("commit_p99_ms")),
    ("dup", 5, _whole("duplicates")),
    ("dead", 5, _whole("dead_letters")),
    ("dirty", 5, _whole("dirty_keys")),
    ("RSS", 5, lambda worker: data_size(figure(worker, "max_rss_bytes"))),
)
_STORE: tuple[Figure, ...] = (
    ("stored/s", 8, _per_s("stored_per_s")),
    ("stored", 7, _whole("stored")),
    ("dup", 6, _whole("duplicates")),
    ("batches", 7, _whole("batches")),
    ("commit p50", 10, _ms("commit_p50_ms")),
    ("p99 ms", 6, _ms("commit_p99_ms")),
    ("failures", 8, _whole("commit_failures")),
)
_SIMULATOR: tuple[Figure, ...] = (
    ("sent/s", 7, _per_s("rate")),
    ("devices", 7, _whole("devices")),
    ("series", 7, _whole("series")),
    ("sent", 7, _whole("published")),
    ("unconfirmed", 11, _whole("unconfirmed")),
    ("late", 6, _whole("late")),
    ("lag p50", 7, _ms("lag_p50_ms")),
    ("p99 ms", 6, _ms("lag_p99_ms")),
    ("reconnects", 10, _whole("reconnects")),
)


def details(
    state: DashboardState, box: str, width: int, height: int, *, nodes: dict[str, str], ascii_only: bool
) -> Sequence[Line]:
    """Lines about one box."""
    match box:
        case "simulator":
            return _processes(
                of_role(state.workers, "simulator"), _SIMULATOR, width, "no simulator tells of itself"
            )
        case "broker":
            return _broker(state)
        case "workers":
            return _processes(of_role(state.workers, "ingest"), _INGEST, width, "no worker tells of itself")
        case "store":
            return _processes(
                of_role(state.workers, "ingest"), _STORE, width, "no worker tells of its commits"
            )
        case "nodes":
            return _nodes(state, nodes, width, ascii_only)
        case _:
            return _readers(state)


def history(
    rates: Sequence[tuple[float | None, ...]],
    place: int,
    total: int,
    width: int,
    height: int,
    *,
    ascii_only: bool,
) -> Sequence[Line]:
    """One arrow's rate over the last minutes as a filled curve, a column a few seconds.

    ``total`` seconds have been counted so far: columns are cut by it, so that a bar stays whole as it moves.
    """
    room = width - 7
    if room < 8 or height < 1:
        return ()
    step = -(-HISTORY_KEPT // room)
    columns: list[list[float]] = [[] for _ in range(room)]
    newest = (total - 1) // step
    for back, each in enumerate(reversed(rates)):
        at, value = room - 1 - (newest - (total - 1 - back) // step), each[place]
        if at < 0:
            break
        if value is not None:
            columns[at].append(value)
    values = [sum(column) / len(column) if column else None for column in columns]
    top = round_top(max((value for value in values if value is not None), default=0.0))
    rows = area(values, height, 0.0, top, ascii_only)
    labels = [rate(top), *[""] * (height - 2), "0"] if height > 1 else [rate(top)]
    return [[(row, "curve"), (f" {label}", "dim")] for row, label in zip(rows, labels, strict=True)]


def _processes(workers: Sequence[Worker], figures: Sequence[Figure], width: int, none: str) -> Sequence[Line]:
    if not workers:
        return [[(none, "dim")]]
    name_room = min(max(7, *(len(worker.instance) for worker in workers)), 24)
    room = width - name_room - 2 - 10
    shown: list[Figure] = []
    for each in figures:
        if sum(size + 1 for _, size, _ in shown) + each[1] + 1 > room:
            break
        shown.append(each)
    head = "".join(f" {fit(title, size, right=True)}" for title, size, _ in shown)
    lines: list[Line] = [[(fit("process", name_room) + fit(" state", 10) + head, "dim")]]
    for worker in workers:
        waiting, word = text(worker, "waiting_for", 200), text(worker, "state", 20) or "running"
        cells = "".join(f" {fit(tell(worker), size, right=True)}" for _, size, tell in shown)
        lines.append(
            [
                (fit(printable(worker.instance, 60), name_room), "row"),
                (" " + fit(word, 9), "warn" if waiting else "good"),
                (fit(" " + waiting, len(cells)), "warn") if waiting else (cells, "row"),
            ]
        )
    return lines


def _broker(state: DashboardState) -> Sequence[Line]:
    workers = of_role(state.workers, "ingest")
    part = next((part for part in state.parts if part.name == "broker"), None)
    connects = sum(int(figure(worker, "connects")) for worker in workers)
    lost = sum(int(figure(worker, "sessions_lost")) for worker in workers)
    return [
        [(f"{part.state} " if part else "unknown ", "strong"), (part.text if part else "", "row")],
        [(f"{sum(int(figure(worker, 'unacked')) for worker in workers):,}", "strong"),
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
        node, word = figures.get(health.name), state_piece(health, ascii_only)
        short = nodes.get(health.name) or printable(health.name)
        cells: Line = [(fit(short, 24) + " ", "row"), (fit(word[0], 10), word[1])]
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
        return [[("nothing has been read in the last seconds", "dim")]]
    reads = sum(second.reads for second in seconds)
    why: dict[str, int] = {}
    for second in seconds:
        for reason, times in second.misses.items():
            why[reason] = why.get(reason, 0) + times
    span = len(seconds)
    lines: list[Line] = [
        [(f"{rate(reads / span)} reads/s", "strong"), (f" over the last {duration(span)}: ", "dim"),
         (percent(state.hit_percent(WINDOW_S)), "strong"), (" from the cache", "dim")],
    ]  # fmt: skip
    for reason, times in sorted(why.items(), key=lambda item: -item[1]):
        word = REASON_WORDS.get(reason, printable(reason, 20))
        lines.append(
            [(f"{word:<12}", "warn"), (f"{rate(times / span):>7}/s ", "row"),
             (f"{100 * times / reads:>5.1f} % of reads went to the store for it", "dim")]
        )  # fmt: skip
    if not why:
        lines.append([("no read had to go to the store", "good")])
    return lines
