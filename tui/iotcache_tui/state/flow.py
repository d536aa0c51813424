"""The pipeline as one picture: its parts, what runs between them, and what holds it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from iotcache_tui.format import count, counted, data_size, milliseconds, percent, rate
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.flow_history import Rates, mean_rates
from iotcache_tui.state.nodes.model import applications
from iotcache_tui.state.problems.problem import Gravity, Problem
from iotcache_tui.state.problems.shown import shown_parts
from iotcache_tui.state.updates import Part, Simulator

BOXES = ("simulator", "broker", "workers", "nodes", "store", "readers")
WINDOW_S = 5
_LABELS = {"empty": "empty yet", "refused": "refuses us", "unreached": "not reached"}


class Box(Struct, frozen=True):
    """One part. Every text is safe to show."""

    name: str
    state: str
    """"up", "starting", "down" or "off"."""
    label: str
    facts: tuple[str, ...]
    """Short lines, the most important first."""


class Flow(Struct, frozen=True):
    boxes: Mapping[str, Box]
    rates: Rates
    problems: Mapping[str, Problem]
    """The gravest problem of each box that has one."""


def _rates(state: DashboardState) -> Rates:
    return mean_rates(state.recent(3))


def flow(state: DashboardState) -> Flow:
    """The picture as it stands."""
    return Flow({box.name: box for box in _boxes(state)}, _rates(state), gravest(state))


def gravest(state: DashboardState) -> dict[str, Problem]:
    """The gravest problem of each box that has one; what is only noted is none."""
    found: dict[str, Problem] = {}
    for problem in state.problems:
        if problem.part in BOXES and problem.gravity is not Gravity.NOTE:
            found.setdefault(problem.part, problem)
    return found


def worst(state: DashboardState) -> Problem | None:
    """The gravest problem that is one box's; alerts have none."""
    return next((problem for problem in state.problems if problem.part in BOXES), None)


def _boxes(state: DashboardState) -> list[Box]:
    parts = {part.name: part for part in shown_parts(state.parts, state.problems)}
    workers, simulators = state.processes.workers, state.processes.simulators
    broker, store = parts.get("broker"), parts.get("store")
    return [
        _simulator(simulators),
        Box(
            "broker",
            broker.state if broker else "off",
            _label(broker),
            (
                broker.text if broker and broker.state != "off" else "",
                f"{count(sum(one.stats.unacked for one in workers))} unacked",
            ),
        ),
        _workers(state),
        _nodes(state),
        Box(
            "store",
            store.state if store else "off",
            _label(store),
            (
                store.text if store and store.state != "off" else "",
                f"p99 {_ms(_worst(one.stats.commit_p99_ms for one in workers))}",
                counted(sum(one.stats.commit_failures for one in workers), "failure"),
            ),
        ),
        _readers(state),
    ]


def _readers(state: DashboardState) -> Box:
    """Who reads the cache: readers of ours that tell of themselves, else whoever the nodes counted."""
    readers, others = state.processes.readers, applications(state.node_figures)
    looks, _ = state.own_load() or (0.0, 0.0)
    ours = f"we look {rate(looks)}/s"
    if readers:
        reads = sum(one.stats.reads_per_s for one in readers)
        hits = sum(one.stats.hits_per_s for one in readers)
        return Box(
            "readers",
            "up",
            f"{len(readers)} of ours",
            (f"hit {percent(100 * hits / reads if reads else None)}", f"{rate(reads)} reads/s", ours),
        )
    if others is None:
        return Box("readers", "off", "unknown", ("applications", "– gets/s", ours))
    return Box(
        "readers",
        "off" if others.hit_percent is None else "up",
        "none read" if others.hit_percent is None else "applications",
        (f"hit {percent(others.hit_percent)}", f"{rate(others.gets_per_s)} gets/s", ours),
    )


def _label(part: Part | None) -> str:
    """How a server stands, in a word; one that there is not is none."""
    return (
        "unknown"
        if part is None
        else "none named"
        if part.state == "off"
        else _LABELS.get(part.state, part.state)
    )


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
            counted(sum(one.stats.devices for one in simulators), "device"),
            f"late {count(sum(one.stats.late for one in simulators))}",
            f"lag {_ms(_worst(one.stats.lag_p99_ms for one in simulators))}",
        ),
    )


def workers_label(state: DashboardState) -> str:
    """How many there are, as far as they can be heard."""
    broker = next((part for part in state.parts if part.name == "broker"), None)
    workers, silent = state.processes.workers, len(state.processes.silent)
    if broker is not None and broker.state not in ("up", "starting"):
        return "not heard"
    if not workers:
        return f"{silent} silent" if silent else "none heard"
    waiting = sum(bool(worker.stats.waiting_for) for worker in workers)
    if waiting:
        return f"{waiting} of {len(workers) + silent} waiting"
    return f"{len(workers)} of {len(workers) + silent} running" if silent else f"{len(workers)} running"


def _workers(state: DashboardState) -> Box:
    workers = state.processes.workers
    hindered = state.processes.silent or any(worker.stats.waiting_for for worker in workers)
    return Box(
        "workers",
        "off" if not workers else "starting" if hindered else "up",
        workers_label(state),
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
        f"{up} of {total} up"
        if total
        else "none named"
        if "cache.nodes" in state.attachment.absent
        else "unknown",
        (
            f"p99 {_ms(p99)}",
            counted(sum(node.items for node in answered), "item") if answered else "– items",
            f"{data_size(used)}/{data_size(limit)}" if answered else "–",
        ),
    )
