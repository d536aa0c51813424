"""The pipeline as one picture: its parts, what runs between them, and what holds it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from iotcache.model import NodeState
from iotcache.text import printable
from iotcache_tui.format import count, data_size, milliseconds, percent, rate

if TYPE_CHECKING:
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.updates import Second, Worker

HISTORY_KEPT = 300
"""Seconds of each arrow's rate that are kept."""
BOXES = ("simulator", "broker", "workers", "nodes", "store", "readers")
ARROWS = (
    ("simulator", "broker"),
    ("broker", "workers"),
    ("workers", "nodes"),
    ("workers", "store"),
    ("nodes", "readers"),
    ("store", "readers"),
)
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
    word: str
    facts: tuple[str, ...]
    """Short lines, the most important first."""


class Bottleneck(Struct, frozen=True):
    """What holds the pipeline up: in which box, in a word, and why."""

    box: str
    word: str
    reason: str


class Flow(Struct, frozen=True):
    boxes: Mapping[str, Box]
    rates: tuple[float | None, ...]
    """Of `ARROWS`, a second."""
    bottleneck: Bottleneck | None


def of_role(workers: Mapping[str, Worker], role: str) -> list[Worker]:
    """The processes of a role, by name."""
    return [worker for _, worker in sorted(workers.items()) if worker.role == role]


def figure(worker: Worker, name: str) -> float:
    """A number among another process's counters; 0 for what is none."""
    value: Any = worker.counters.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124
    return float(value) if usable and abs(value) < 1e18 else 0.0


def text(worker: Worker, name: str, limit: int = 120) -> str:
    """A text among another process's counters, made safe to show."""
    value = worker.counters.get(name)
    return printable(value, limit) if isinstance(value, str) else ""


def _total(workers: Iterable[Worker], name: str) -> float:
    return sum(figure(worker, name) for worker in workers)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def rates(state: DashboardState) -> tuple[float | None, ...]:
    """What runs along each of `ARROWS` now, a second; ``None`` where nobody tells."""
    workers, simulators = of_role(state.workers, "ingest"), of_role(state.workers, "simulator")
    seconds = state.recent(3)
    figures = state.node_figures
    sets = [node.sets_per_s for node in figures.nodes if node.sets_per_s is not None] if figures else []
    stored = _total(workers, "stored_per_s") if workers else None
    return (
        _total(simulators, "rate") if simulators else None,
        _total(workers, "received_per_s") if workers else None,
        sum(sets) if sets else stored,
        stored,
        _mean(float(second.hits) for second in seconds),
        _mean(float(second.fallbacks) for second in seconds),
    )


def history(state: DashboardState, seconds: Sequence[Second]) -> list[tuple[float | None, ...]]:
    """What ran in ``seconds``, the newest of which is now: of older ones only what they tell themselves."""
    now = rates(state)
    return [
        (
            second.published_per_s,
            second.ingest_per_s,
            now[2] if second is seconds[-1] else None,
            now[3] if second is seconds[-1] else None,
            float(second.hits),
            float(second.fallbacks),
        )
        for second in seconds
    ]


def flow(state: DashboardState) -> Flow:
    """The picture as it stands."""
    return Flow({box.name: box for box in _boxes(state)}, rates(state), bottleneck(state))


def _boxes(state: DashboardState) -> list[Box]:
    parts = {part.name: part for part in state.parts}
    workers, simulators = of_role(state.workers, "ingest"), of_role(state.workers, "simulator")
    broker, store = parts.get("broker"), parts.get("store")
    seconds = state.recent(WINDOW_S)
    return [
        _simulator(simulators),
        Box(
            "broker",
            broker.state if broker else "off",
            broker.state if broker else "unknown",
            (broker.text if broker else "", f"{count(int(_total(workers, 'unacked')))} unacked"),
        ),
        _workers(workers),
        _nodes(state),
        Box(
            "store",
            store.state if store else "off",
            store.state if store else "unknown",
            (
                store.text if store else "",
                f"p99 {_ms(_worst(workers, 'commit_p99_ms'))}",
                f"{count(int(_total(workers, 'commit_failures')))} failures",
            ),
        ),
        Box(
            "readers",
            "up" if any(second.reads for second in seconds) else "off",
            "reading" if any(second.reads for second in seconds) else "idle",
            (
                f"hit {percent(state.hit_percent(WINDOW_S))}",
                f"{rate(_mean(float(second.reads) for second in seconds))} reads/s",
                f"p99 {_ms(max((second.p99_ms for second in seconds), default=None))}",
            ),
        ),
    ]


def _worst(workers: Sequence[Worker], name: str) -> float:
    return max((figure(worker, name) for worker in workers), default=0.0)


def _ms(value: float | None) -> str:
    """Milliseconds with their unit; a dash alone where there is no figure."""
    return "–" if value is None else f"{milliseconds(value)} ms"


def _simulator(simulators: Sequence[Worker]) -> Box:
    if not simulators:
        return Box("simulator", "off", "not ours", ("devices that say", "nothing of", "themselves"))
    return Box(
        "simulator",
        "up",
        "running" if len(simulators) == 1 else f"{len(simulators)} running",
        (
            f"{count(int(_total(simulators, 'devices')))} devices",
            f"late {count(int(_total(simulators, 'late')))}",
            f"lag {_ms(_worst(simulators, 'lag_p99_ms'))}",
        ),
    )


def _workers(workers: Sequence[Worker]) -> Box:
    waiting = [worker for worker in workers if text(worker, "waiting_for")]
    state = "off" if not workers else "starting" if waiting else "up"
    word = (
        "none heard" if not workers else f"{len(waiting)} waiting" if waiting else f"{len(workers)} running"
    )
    return Box(
        "workers",
        state,
        word,
        (
            f"queue {count(int(_total(workers, 'queued')))}",
            f"lag {_worst(workers, 'lag_s'):.1f} s",
            f"dead {count(int(_total(workers, 'dead_letters')))}",
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
    workers, simulators = of_role(state.workers, "ingest"), of_role(state.workers, "simulator")
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
        or _late(simulators, tuple(state.late_counts))
        or _falling_through(seconds)
        or _short_of_memory(state)
        or _behind(workers)
    )


def _absent(workers: Sequence[Worker], simulators: Sequence[Worker]) -> Bottleneck | None:
    published = _total(simulators, "rate")
    if workers or published < 1:
        return None
    return Bottleneck(
        "workers", "absent", f"{rate(published)} messages/s are published, no worker is heard of"
    )


def _waiting(workers: Sequence[Worker]) -> Bottleneck | None:
    waits = [found for worker in workers if (found := text(worker, "waiting_for"))]
    if not waits:
        return None
    box = "store" if waits[0].startswith("store") else "broker"
    return Bottleneck(box, "waited for", f"{len(waits)} of {len(workers)} workers stand still: {waits[0]}")


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
    lag_s = _worst(workers, "lag_s")
    if lag_s < LAG_S:
        return None
    commit, through = _worst(workers, "commit_p99_ms"), _worst(workers, "write_through_p99_ms")
    waits = f"the oldest message waits {lag_s:.1f} s"
    if commit >= SLOW_COMMIT_MS and commit >= through:
        return Bottleneck("store", "slow", f"commits take p99 {milliseconds(commit)} ms; {waits}")
    if through >= SLOW_COMMIT_MS:
        return Bottleneck("nodes", "slow", f"writes through take p99 {milliseconds(through)} ms; {waits}")
    held = _total(workers, "queued") + _total(workers, "unacked")
    return Bottleneck("workers", "busy", f"{count(int(held))} messages are in hand; {waits}")


def _piling_up(seconds: Sequence[Second]) -> Bottleneck | None:
    published = _mean(second.published_per_s for second in seconds)
    taken = _mean(second.ingest_per_s for second in seconds)
    if published is None or taken is None or published - taken <= max(BACKLOG_SHARE * published, 5.0):
        return None
    return Bottleneck(
        "broker",
        "piles up",
        f"{rate(published)} messages/s come in and {rate(taken)} go out: "
        f"{rate(published - taken)}/s stay behind",
    )


def late_total(workers: Mapping[str, Worker]) -> float:
    """Messages that all simulators have sent later than planned, since their start."""
    return _total(of_role(workers, "simulator"), "late")


def _late(simulators: Sequence[Worker], counted: Sequence[float]) -> Bottleneck | None:
    sent = _total(simulators, "rate") * (len(counted) - 1)
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
    most = max(why, key=lambda reason: why[reason]).replace("_", " ") if why else "unknown"
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
        "nodes", "full", f"{rate(evicted)} items/s are evicted on {len(full)} nodes: memory is short"
    )


def _behind(workers: Sequence[Worker]) -> Bottleneck | None:
    dirty = int(_total(workers, "dirty_keys"))
    if not dirty:
        return None
    return Bottleneck("nodes", "behind", f"{count(dirty)} entries may be old until their node can be told")
