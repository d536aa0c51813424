"""What a simulation does, as data: programs of the clients and faults of the world, drawn from a seed.

A plan is a flat list of steps, so that one that fails can be shortened step by step and printed.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

OUTAGES_S: Final = (0.1, 0.4, 0.8, 1.2, 1.6)


class SimulationStep(Struct, frozen=True):
    """One thing that is done, by a client or to the world."""

    at_s: float
    verb: str
    client: int = -1
    node: int = -1
    track: int = 0
    """Steps of one track of a client follow each other; tracks run side by side."""
    keys: tuple[int, ...] = ()
    value: float = 0.0
    """Seconds, or 1 for yes, as the verb has it."""
    cancel_s: float = -1.0
    """The operation is cancelled after so many seconds; negative: never."""

    def text(self) -> str:
        """For a person."""
        parts = [f"{self.at_s:7.3f} s", self.verb]
        if self.client >= 0:
            parts.append(f"client={self.client} track={self.track}")
        if self.node >= 0:
            parts.append(f"node={self.node}")
        if self.keys:
            parts.append(f"keys={','.join(map(str, self.keys))}")
        if self.value:
            parts.append(f"value={self.value:g}")
        if self.cancel_s >= 0:
            parts.append(f"cancelled after {self.cancel_s:.3f} s")
        return " ".join(parts)


class SimulationPlan(Struct, frozen=True):
    """A whole simulation. The same plan gives the same history."""

    seed: int
    nodes: int
    writers: int
    """Clients 0 to ``writers`` - 1 write; each key is one track's of one of them."""
    readers: int
    tracks: int
    keys: int
    shuffle: float
    open_min_s: float
    open_max_s: float
    timeout_s: float
    steps: tuple[SimulationStep, ...]
    end_s: float
    """When all faults end; what comes after must find everything well."""
    failover: bool = True
    alert: bool = False
    """Whenever a client sees a node change, all read and write soon after: that is when it matters."""
    storm: bool = False
    """Writers write without pause while they miss a node."""
    readers_only: bool = False
    """Faults befall readers alone: no other client may notice."""
    strict: bool = False
    """A read gives nothing older than a write that has *ended* before, confirmed or not."""

    def writer_of(self, key: int) -> tuple[int, int]:
        """Client and track that write ``key``."""
        return key % self.writers, key // self.writers % self.tracks

    def keys_of(self, client: int, track: int) -> list[int]:
        """What that track writes."""
        return [key for key in range(self.keys) if self.writer_of(key) == (client, track)]


def draw(seed: int) -> SimulationPlan:
    """The plan of a seed."""
    rng = Random(seed)
    nodes = rng.choice((1, 2, 2, 3, 3, 3, 4))
    writers, readers = rng.choice(((1, 1), (1, 1), (1, 2), (2, 1), (2, 1), (2, 2)))
    tracks = rng.choice((1, 1, 2, 4))
    end_s = rng.choice((1.2, 2.0, 2.8))
    storm = nodes > 1 and rng.random() < 0.1
    if storm:
        writers, readers, tracks, end_s = 1, 1, 4, 1.6
    readers_only = nodes > 1 and rng.random() < 0.08
    strict = nodes == 1 and rng.random() < 0.5
    plan = SimulationPlan(
        seed=seed,
        nodes=nodes,
        writers=writers,
        readers=readers,
        tracks=tracks,
        keys=max(8, 3 * tracks * writers),
        shuffle=rng.choice((0.0, 0.0, 0.02, 0.1)),
        alert=rng.random() < 0.6,
        storm=storm,
        readers_only=readers_only,
        strict=strict,
        open_min_s=0.1,
        open_max_s=rng.choice((0.2, 0.4, 3.0)),
        timeout_s=rng.choice((0.2, 0.25, 0.5)),
        steps=(),
        end_s=end_s,
    )
    steps = [*_faults(plan, rng), *_work(plan, rng)]
    steps.sort(key=lambda step: step.at_s)
    last_s = max((step.at_s for step in steps), default=0.0)
    return _with(plan, steps=tuple(steps), end_s=max(plan.end_s, last_s + 0.1))


def _with(plan: SimulationPlan, **changes: Any) -> SimulationPlan:
    return msgspec.structs.replace(plan, **changes)


def _work(plan: SimulationPlan, rng: Random) -> list[SimulationStep]:
    """What the clients do."""
    steps = []
    busy = rng.choice((0.03, 0.06, 0.12))
    cancels = rng.random() < 0.2
    deletes = rng.random() < 0.3
    for client in range(plan.writers):
        for track in range(plan.tracks):
            own = plan.keys_of(client, track)
            at_s = rng.random() * 0.1
            while own and at_s < plan.end_s:
                keys = rng.sample(own, rng.randint(1, len(own)))
                verb = "delete" if deletes and rng.random() < 0.1 else "set"
                cancel_s = rng.random() * 0.3 if cancels and rng.random() < 0.1 else -1.0
                steps.append(
                    SimulationStep(at_s, verb, client, track=track, keys=tuple(keys), cancel_s=cancel_s)
                )
                at_s += rng.expovariate(1.0 / (busy * plan.tracks))
    for client in range(plan.writers, plan.writers + plan.readers):
        fills = rng.random() < 0.6
        for track in range(2):
            at_s = rng.random() * 0.1
            while at_s < plan.end_s:
                keys = rng.sample(range(plan.keys), rng.randint(1, plan.keys))
                if fills and track == 1:
                    load_s = rng.choice((0.0, 0.01, 0.1, 0.4, 1.3))
                    steps.append(
                        SimulationStep(at_s, "fill", client, track=track, keys=tuple(keys), value=load_s)
                    )
                else:
                    steps.append(SimulationStep(at_s, "get", client, track=track, keys=tuple(keys)))
                at_s += rng.expovariate(1.0 / (busy * 3))
    return steps


def _faults(plan: SimulationPlan, rng: Random) -> list[SimulationStep]:
    """What befalls the world: node faults that may overlap, and at most one client with bad links."""
    steps: list[SimulationStep] = []
    kinds: tuple[str, ...] = rng.choice(
        (
            ("hang",),
            ("hang", "kill"),
            ("kill", "keep"),
            ("drain",),
            ("drain", "hang"),
            ("hang", "slow", "cut"),
            ("block", "cut"),
            ("block", "hang"),
            ("lose", "double", "cut"),
            ("evict", "hang"),
            ("stall", "hang"),
            ("jump", "kill"),
            ("start", "hang"),
            ("enter", "hang"),
            ("forget", "hang"),
            ("forget",),
        )
    )
    clients = plan.writers + plan.readers
    weak = rng.randrange(clients)
    if plan.readers_only:
        kinds, weak = ("block", "drain", "stall", "cut"), rng.randrange(plan.writers, clients)
    elif plan.strict:
        kinds = ("kill",)
    elif plan.storm:
        kinds = rng.choice((("hang",), ("drain",), ("kill", "hang")))
    free_s = [0.0] * plan.nodes
    overlap = plan.nodes == 1 or rng.random() < 0.5
    at_s = 0.2 + rng.random() * 0.3
    while at_s < plan.end_s - 0.3:
        kind, node, lasts_s = rng.choice(kinds), rng.randrange(plan.nodes), rng.choice(OUTAGES_S)
        if free_s[node] <= at_s and (overlap or max(free_s) <= at_s):
            steps += _fault(
                kind,
                node,
                weak,
                range(weak, weak + 1) if plan.readers_only else range(clients),
                at_s,
                lasts_s,
                rng,
            )
            free_s[node] = at_s + lasts_s + 0.05
        at_s += rng.expovariate(1.0 / 0.4)
    return steps


def _fault(  # noqa: PLR0917
    kind: str, node: int, weak: int, clients: range, at_s: float, lasts_s: float, rng: Random
) -> list[SimulationStep]:
    until_s = at_s + lasts_s
    match kind:
        case "hang":
            return [SimulationStep(at_s, "hang", node=node), SimulationStep(until_s, "resume", node=node)]
        case "kill" | "keep":
            keep = float(kind == "keep")
            return [
                SimulationStep(at_s, "kill", node=node),
                SimulationStep(until_s, "restart", node=node, value=keep),
            ]
        case "slow":
            slow_s = rng.choice((0.05, 0.2, 0.6))
            return [
                SimulationStep(at_s, "slow", node=node, value=slow_s),
                SimulationStep(until_s, "slow", node=node),
            ]
        case "block":
            way = rng.choice(("block", "block up", "block down"))
            return [SimulationStep(at_s, way, weak, node), SimulationStep(until_s, "unblock", weak, node)]
        case "cut":
            return [SimulationStep(at_s, "cut", rng.choice(clients), node)]
        case "lose" | "double":
            return [SimulationStep(at_s, kind, node=node)]
        case "evict":
            return [
                SimulationStep(
                    at_s + rng.random() * lasts_s, "evict", node=node, value=float(rng.randrange(3))
                )
            ]
        case "stall":
            return [SimulationStep(at_s, "stall", rng.choice(clients), value=lasts_s)]
        case "jump":
            return [
                SimulationStep(at_s, "jump", rng.choice(clients), value=rng.choice((-30.0, 5.0, 3_600.0)))
            ]
        case "drain":
            who = rng.choice(clients)
            steps = [SimulationStep(at_s, "drain", who, node), SimulationStep(until_s, "rejoin", who, node)]
            if rng.random() < 0.4:
                again_s = until_s + rng.random() * 0.6
                steps += [
                    SimulationStep(again_s, "drain", who, node),
                    SimulationStep(again_s + lasts_s, "rejoin", who, node),
                ]
            return steps
        case "enter":
            return [SimulationStep(at_s, "enter", rng.choice(clients), value=rng.random() * 0.3)]
        case "forget":  # a node returns, loses its fence, and somebody starts who has never seen it
            back_s = at_s + max(lasts_s, 0.8)
            late_s = back_s + 0.8 + rng.random() * 0.6
            who = rng.choice(clients)
            return [
                SimulationStep(at_s, "hang", node=node), SimulationStep(back_s, "resume", node=node),
                SimulationStep(late_s, "evict", node=node),
                SimulationStep(late_s + 0.15, "end", who), SimulationStep(late_s + 0.3, "start", who),
            ]  # fmt: skip
        case "start":
            who = rng.choice(clients)
            return [
                SimulationStep(at_s, "end", who, value=rng.choice((0.0, 1.0))),
                SimulationStep(until_s, "start", who),
            ]
    raise AssertionError(kind)
