"""The pipeline as one picture: its parts, what runs between them, and what holds it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.format import count, data_size, milliseconds, percent, plural, rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow_history import Rates, mean, mean_rates
from iotcache_tui.state.reasons import label_of
from iotcache_tui.state.updates import Second, Simulator, Worker

BOXES = ("simulator", "broker", "workers", "nodes", "store", "readers")
WINDOW_S = 5

LAG_S = 1.0
SLOW_COMMIT_MS = 100.0
LATE_SHARE = 0.2
BACKLOG_SHARE = 0.1
FALLBACK_SHARE = 0.2


class Box(Struct, frozen=True):
    """One part. Every text is safe to show."""

    name: str
    state: str
    """"up", "starting", "down" or "off"."""
    label: str
    facts: tuple[str, ...]
    """Short lines, the most important first."""


class Bottleneck(Struct, frozen=True):
    """What holds the pipeline up: in which box, in a word, and why."""

    box: str
    label: str
    reason: str


class Flow(Struct, frozen=True):
    boxes: Mapping[str, Box]
    rates: Rates
    bottleneck: Bottleneck | None


def _rates(state: DashboardState) -> Rates:
    return mean_rates(state.recent(3))


def flow(state: DashboardState) -> Flow:
    """The picture as it stands."""
    return Flow({box.name: box for box in _boxes(state)}, _rates(state), bottleneck(state))


def _boxes(state: DashboardState) -> list[Box]:
    parts = {part.name: part for part in state.parts}
    workers, simulators = state.processes.workers, state.processes.simulators
    broker, store = parts.get("broker"), parts.get("store")
    seconds = state.recent(WINDOW_S)
    return [
        _simulator(simulators),
        Box(
            "broker",
            broker.state if broker else "off",
            broker.state if broker else "unknown",
            (
                broker.text if broker else "",
                f"{count(sum(one.stats.unacked for one in workers))} unacked",
            ),
        ),
        _workers(workers),
        _nodes(state),
        Box(
            "store",
            store.state if store else "off",
            store.state if store else "unknown",
            (
                store.text if store else "",
                f"p99 {_ms(_worst(one.stats.commit_p99_ms for one in workers))}",
                f"{count(sum(one.stats.commit_failures for one in workers))} failures",
            ),
        ),
        Box(
            "readers",
            "up" if any(second.reads for second in seconds) else "off",
            "reading" if any(second.reads for second in seconds) else "idle",
            (
                f"hit {percent(state.hit_percent(WINDOW_S))}",
                f"{rate(mean(float(second.reads) for second in seconds))} reads/s",
                f"p99 {_ms(max((second.p99_ms for second in seconds), default=None))}",
            ),
        ),
    ]


def _worst(values: Iterable[float]) -> float:
    return max(values, default=0.0)


def _ms(value: float | None) -> str:
    """Milliseconds with their unit; a dash alone where there is no figure."""
    if value is None:
        return "–"
    return f"{milliseconds(value)} ms" if value < 10_000 else f"{value / 1e3:.1f} s"


def _simulator(simulators: Sequence[Simulator]) -> Box:
    if not simulators:
        return Box("simulator", "off", "not ours", ("devices that say", "nothing of", "themselves"))
    return Box(
        "simulator",
        "up",
        "running" if len(simulators) == 1 else f"{len(simulators)} running",
        (
            f"{count(sum(one.stats.devices for one in simulators))} devices",
            f"late {count(sum(one.stats.late for one in simulators))}",
            f"lag {_ms(_worst(one.stats.lag_p99_ms for one in simulators))}",
        ),
    )


def _workers(workers: Sequence[Worker]) -> Box:
    waiting = [worker for worker in workers if worker.stats.waiting_for]
    state = "off" if not workers else "starting" if waiting else "up"
    label = (
        "none heard" if not workers else f"{len(waiting)} waiting" if waiting else f"{len(workers)} running"
    )
    return Box(
        "workers",
        state,
        label,
        (
            f"queue {count(sum(one.stats.queued for one in workers))}",
            f"lag {_worst(one.stats.lag_s for one in workers):.1f} s",
            f"dead {count(sum(one.stats.dead_letters for one in workers))}",
        ),
    )


def _nodes(state: DashboardState) -> Box:
    up, total = state.nodes_up(), len(state.nodes)
    figures = state.node_figures
    answered = [node for node in figures.nodes if node.answered] if figures else []
    used, limit = sum(node.used_bytes for node in answered), sum(node.limit_bytes for node in answered)
    p99 = max((node.p99_ms for node in answered if node.p99_ms is not None), default=None)
    return Box(
        "nodes",
        "off" if not total else "up" if up == total else "down",
        f"{up} of {total} up" if total else "unknown",
        (
            f"p99 {_ms(p99)}",
            f"{count(sum(node.items for node in answered))} items" if answered else "– items",
            f"{data_size(used)}/{data_size(limit)}" if answered else "–",
        ),
    )


# What holds it up ------------------------------------------------------------------------------


def bottleneck(state: DashboardState) -> Bottleneck | None:
    """The part that holds the others up, the gravest first; ``None`` when nothing does."""
    parts = {part.name: part for part in state.parts}
    workers, simulators = state.processes.workers, state.processes.simulators
    seconds = state.recent(WINDOW_S)
    if (broker := parts.get("broker")) is not None and broker.state == "down":
        return Bottleneck("broker", "down", printable(f"nothing gets through: {broker.text}", 160))
    if (store := parts.get("store")) is not None and store.state == "down":
        return Bottleneck("store", "down", printable(f"misses and commits have to wait: {store.text}", 160))
    return (
        _absent(workers, simulators)
        or _waiting(workers)
        or _out(state)
        or _lagging(workers)
        or _piling_up(seconds)
        or _late(simulators, tuple(state.flow_history.late_counts))
        or _falling_through(seconds)
        or _short_of_memory(state)
        or _behind(workers)
    )


def _absent(workers: Sequence[Worker], simulators: Sequence[Simulator]) -> Bottleneck | None:
    published = sum(one.stats.rate for one in simulators)
    if workers or published < 1:
        return None
    return Bottleneck(
        "workers", "absent", f"{rate(published)} messages/s are published, no worker is heard of"
    )


def _waiting(workers: Sequence[Worker]) -> Bottleneck | None:
    waiting = [worker.stats for worker in workers if worker.stats.waiting_for]
    if not waiting:
        return None
    box = "store" if waiting[0].waiting_store else "broker"
    why = printable(waiting[0].waiting_for, 120)
    return Bottleneck(box, "waited for", f"{len(waiting)} of {len(workers)} workers stand still: {why}")


def _out(state: DashboardState) -> Bottleneck | None:
    out = [node for node in state.nodes if node.state is not NodeState.UP]
    if not out:
        return None
    what = "drained" if all(node.drained for node in out) else "out"
    return Bottleneck(
        "nodes",
        what,
        f"{len(out)} of {len(state.nodes)} {what}: reads of {'its' if len(out) == 1 else 'their'} keys "
        "fall to stand-ins and the store",
    )


def _lagging(workers: Sequence[Worker]) -> Bottleneck | None:
    lag_s = _worst(one.stats.lag_s for one in workers)
    if lag_s < LAG_S:
        return None
    commit, through = (
        _worst(one.stats.commit_p99_ms for one in workers),
        _worst(one.stats.write_through_p99_ms for one in workers),
    )
    waits = f"the oldest message waits {lag_s:.1f} s"
    if commit >= SLOW_COMMIT_MS and commit >= through:
        return Bottleneck("store", "slow", f"commits take p99 {milliseconds(commit)} ms; {waits}")
    if through >= SLOW_COMMIT_MS:
        return Bottleneck("nodes", "slow", f"writes through take p99 {milliseconds(through)} ms; {waits}")
    held = sum(one.stats.queued for one in workers) + sum(one.stats.unacked for one in workers)
    return Bottleneck("workers", "busy", f"{count(held)} messages are in hand; {waits}")


def _piling_up(seconds: Sequence[Second]) -> Bottleneck | None:
    published = mean(second.published_per_s for second in seconds)
    taken = mean(second.ingest_per_s for second in seconds)
    if published is None or taken is None or published - taken <= max(BACKLOG_SHARE * published, 5.0):
        return None
    return Bottleneck(
        "broker",
        "piles up",
        f"{rate(published)} messages/s come in and {rate(taken)} go out: "
        f"{rate(published - taken)}/s stay behind",
    )


def _late(simulators: Sequence[Simulator], counted: Sequence[float]) -> Bottleneck | None:
    sent = sum(one.stats.rate for one in simulators) * (len(counted) - 1)
    late = counted[-1] - counted[0] if counted else 0.0
    if sent <= 0 or late <= LATE_SHARE * sent:
        return None
    share = min(100 * late / sent, 100)
    return Bottleneck("simulator", "late", f"{share:.0f} % of its messages go out later than planned")


def _falling_through(seconds: Sequence[Second]) -> Bottleneck | None:
    reads = sum(second.reads for second in seconds)
    fallbacks = sum(second.fallbacks for second in seconds)
    if reads < 10 or fallbacks <= FALLBACK_SHARE * reads:
        return None
    why: dict[str, int] = {}
    for second in seconds:
        for reason, times in second.misses.items():
            why[reason] = why.get(reason, 0) + times
    most = label_of(max(why, key=lambda reason: why[reason])) if why else "unknown"
    return Bottleneck(
        "nodes", "missed", f"{100 * fallbacks / reads:.0f} % of reads fall to the store, mostly: {most}"
    )


def _short_of_memory(state: DashboardState) -> Bottleneck | None:
    figures = state.node_figures
    full = [node for node in figures.nodes if node.evictions_per_s] if figures else []
    if not full:
        return None
    evicted = sum(node.evictions_per_s or 0.0 for node in full)
    return Bottleneck(
        "nodes",
        "full",
        f"{rate(evicted)} items/s are evicted on {plural(len(full), 'node')}: memory is short",
    )


def _behind(workers: Sequence[Worker]) -> Bottleneck | None:
    dirty = sum(one.stats.dirty_keys for one in workers)
    if not dirty:
        return None
    return Bottleneck("nodes", "behind", f"{count(dirty)} entries may be old until their node can be told")
