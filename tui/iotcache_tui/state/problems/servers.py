"""Problems of the servers: broker, store and cache nodes. Pure functions from facts to problems.

A server that this dashboard cannot reach may serve all others: what the workers tell, and whether readings go
on coming, decides which of the two is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from iotcache.model import NodeHealth, NodeState
from iotcache.text import plural, printable
from iotcache_tui.format import rate
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem, some_of
from iotcache_tui.state.updates import Part

SETTLE_S: Final = 2.0
"""What was on its way when a part went may still come in; workers tell of themselves once a second."""
REMEMBERED_S: Final = 30.0
"""How long it is told that a node lost its items at once."""
FLAP_S: Final = 60.0
FLAPS: Final = 3
"""One that went down so often within `FLAP_S` is not well when it is up."""
CAUSE_MOST: Final = 300


def _cause(text: str) -> str:
    return printable(text, CAUSE_MOST).strip() or "no reason is told"


def broker(facts: Facts) -> Iterator[Problem]:
    """It is away, hangs, or does not let this dashboard in."""
    part = facts.part("broker")
    if part is None or part.state not in ("down", "refused"):
        return
    cause, went_s = _cause(part.text), part.since_s
    flows = facts.fresh_since(went_s + SETTLE_S) > 0
    if part.state == "refused":
        yield Problem(
            "broker",
            "refuses this dashboard",
            "broker",
            cause,
            "readings go on coming; workers cannot be seen from here" if flows
            else "workers cannot be seen from here",
            Gravity.BLIND,
            went_s,
            kind="refused",
        )  # fmt: skip
    elif flows:
        yield Problem(
            "broker", "not reached from here", "broker", cause, "readings go on coming: others reach it",
            Gravity.BLIND, went_s, kind="down",
        )  # fmt: skip
    else:
        settled = facts.now_s - went_s > SETTLE_S + 1.0
        yield Problem(
            "broker", "down", "broker", cause, "no new reading comes in" if settled else "", Gravity.DOWN,
            went_s, kind="down",
        )  # fmt: skip


def store(facts: Facts) -> Iterator[Problem]:
    """It is away, for all or for this dashboard alone, or away for workers while it answers here."""
    part, workers = facts.part("store"), facts.processes.workers
    waiting = [one for one in workers if one.stats.waiting_store and not one.stats.is_new]
    waits = _waits(len(waiting), len(workers), "commit")
    if part is not None and part.state == "empty":
        yield Problem(
            "store", "empty", "store", _cause(part.text), "the first worker makes them", Gravity.WARNING,
            part.since_s,
        )  # fmt: skip
    elif part is not None and part.state in ("down", "refused"):
        yield _store_away(facts, part, waits)
    elif waiting:
        cause = _cause(waiting[0].stats.waiting_store)
        yield Problem(
            "store", "not reached by " + some_of(len(waiting), len(workers), "worker"), "store", cause,
            "they cannot commit" if len(waiting) > 1 else "it cannot commit", Gravity.DOWN, kind="waited for",
        )  # fmt: skip


def _store_away(facts: Facts, part: Part, waits: str) -> Problem:
    cause = _cause(part.text)
    refused = part.state == "refused"
    stored = facts.stored_per_s(part.since_s + SETTLE_S)
    label = "refuses this dashboard" if refused else "down"
    if waits:
        effect, gravity = waits, Gravity.DOWN
    elif stored >= 1:
        label = label if refused else "not reached from here"
        effect, gravity = f"the workers store {rate(stored)}/s", Gravity.BLIND
    elif refused:
        effect, gravity = "what is not in the cache cannot be shown", Gravity.BLIND
    else:
        effect, gravity = "what is not in the cache cannot be read", Gravity.DOWN
    return Problem(
        "store", label, "store", cause, effect, gravity, part.since_s, kind="refused" if refused else "down"
    )


def _waits(waiting: int, workers: int, act: str) -> str:
    """``2 of 3 workers cannot commit``, ``neither worker can commit``; empty when none waits."""
    if waiting == workers > 1:
        return f"neither worker can {act}" if workers == 2 else f"none of {workers} workers can {act}"
    return f"{some_of(waiting, workers, 'worker')} cannot {act}" if waiting else ""


def nodes(facts: Facts) -> Iterator[Problem]:
    """Nodes that are out, here or for workers; drained ones are wanted so."""
    known = facts.nodes
    out = [node for node in known if node.state in (NodeState.DOWN, NodeState.PROBING)]
    failed = [node for node in out if not node.drained]
    drained = [node for node in out if node.drained]
    if failed:
        yield _failed(facts, failed, len(known))
    if drained:
        whose = "its keys are" if len(drained) == 1 else "their keys are"
        elsewhere = "in the store alone" if len(out) == len(known) else "on the other nodes and in the store"
        yield Problem(
            "nodes", "drained", _names(drained, len(known)), f"{whose} {elsewhere}", "", Gravity.NOTE,
            max(node.since_s for node in drained), "nodes", place=drained[0].name, has_events=True,
        )  # fmt: skip
    yield from _out_for_workers(facts, {node.name for node in out})


def _names(out: Sequence[NodeHealth], total: int) -> str:
    return (
        f"node {printable(out[0].name, 100)}" if len(out) == 1 < total else some_of(len(out), total, "node")
    )


def _failed(facts: Facts, failed: Sequence[NodeHealth], total: int) -> Problem:
    first = max(failed, key=lambda node: (node.state is NodeState.DOWN, -node.since_s))
    cause = _cause(first.reason)
    if len(failed) > 1 or total == 1:
        names = ", ".join(printable(node.name, 60) for node in failed[:4])
        cause = f"{cause} ({names}{', …' if len(failed) > 4 else ''})"
    since_s = min(node.since_s for node in failed)
    told = {name for worker in facts.processes.workers for name in worker.stats.nodes_out}
    elsewhere = any(name.startswith(f"{node.name}: ") for node in failed for name in told)
    heard = [one for one in facts.processes.workers if one.at_s > since_s + SETTLE_S]
    label, gravity = "down", Gravity.DOWN
    if heard and not elsewhere:
        label, gravity = "not reached from here", Gravity.BLIND
        effect = "the workers use it" if len(failed) == 1 else "the workers use them"
    elif len(failed) == total:
        effect = "no read is answered from the cache"
    else:
        effect = "others stand in"
    return Problem(
        "nodes",
        label,
        _names(failed, total),
        cause,
        effect,
        gravity,
        since_s,
        "nodes",
        kind="down",
        place=first.name,
        has_events=True,
    )


def _out_for_workers(facts: Facts, out_here: set[str]) -> Iterator[Problem]:
    workers = facts.processes.workers
    for node in facts.nodes:
        if node.name in out_here or node.state is not NodeState.UP or facts.now_s - node.since_s < SETTLE_S:
            continue
        prefix = f"{node.name}: "
        reasons = [
            text.removeprefix(prefix)
            for worker in workers
            for text in worker.stats.nodes_out
            if text.startswith(prefix)
        ]
        if reasons:
            yield Problem(
                "nodes", "not reached by " + some_of(len(reasons), len(workers), "worker"),
                f"node {printable(node.name, 100)}", _cause(reasons[0]),
                "it answers here", Gravity.DOWN, screen="nodes", kind="split", subject=node.name,
            )  # fmt: skip


def emptied(facts: Facts) -> Iterator[Problem]:
    """Nodes that lost all their items at once, told for a while."""
    for node in facts.figures.nodes if facts.figures else ():
        name = f"node {printable(node.name, 100)}"
        for at_s, label, cause in (
            (node.flushed_at_s, "flushed", "somebody sent flush_all: its items are gone"),
            (node.restarted_at_s, "restarted", "it is another process now: its items are gone"),
        ):
            if at_s and facts.now_s - at_s < REMEMBERED_S:
                yield Problem(
                    "nodes", label, name, cause, "reads of them miss until they are written again",
                    Gravity.WARNING, at_s, "nodes", subject=node.name,
                )  # fmt: skip


def unsteady(facts: Facts) -> Iterator[Problem]:
    """Nodes that are up again, and go down time after time."""
    for node in facts.nodes:
        falls = [at_s for name, at_s in facts.falls if name == node.name and facts.now_s - at_s < FLAP_S]
        if node.state is NodeState.UP and len(falls) >= FLAPS:
            yield Problem(
                "nodes", "unsteady", f"node {printable(node.name, 100)}",
                f"it is up, and went down {len(falls)} times within a minute",
                "its keys are read from elsewhere each time", Gravity.WARNING, falls[0], "nodes",
                subject=node.name, has_events=True,
            )  # fmt: skip


def memory(facts: Facts) -> Iterator[Problem]:
    """Nodes that throw out items to make room."""
    full = [node for node in facts.figures.nodes if node.evictions_per_s] if facts.figures else []
    if full:
        evicted = sum(node.evictions_per_s or 0.0 for node in full)
        most = max(full, key=lambda node: node.evictions_per_s or 0.0)
        what = f"node {printable(full[0].name, 100)}" if len(full) == 1 else plural(len(full), "node")
        yield Problem(
            "nodes", "memory full", what, f"{rate(evicted)} items/s are evicted too soon",
            "reads of them miss: more memory (-m) or another node", screen="nodes", kind="full",
            place=most.name,
        )  # fmt: skip


def other_parts(facts: Facts) -> Iterator[Problem]:
    """What this program started itself and that is down: a worker, the fleet."""
    for part in facts.parts:
        if part.state == "down" and part.name not in ("broker", "nodes", "store"):
            box = {"ingest": "workers", "simulator": "simulator"}.get(part.name, "readers")
            name = {"ingest": "worker", "simulator": "fleet"}.get(part.name, part.name)
            effect = {"ingest": "nothing is stored", "simulator": "no reading is sent"}.get(part.name, "")
            if part.name == "ingest" and facts.processes.workers:
                effect = "others work"
            yield Problem(
                box, "down", name, _cause(part.text), effect, Gravity.DOWN, part.since_s,
                "lab", kind=f"{part.name} down",
            )  # fmt: skip
