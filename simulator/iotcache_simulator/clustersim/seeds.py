"""The plan of a seed: how large its world is, what befalls it, and what its clients do.

Small worlds and many of them: most have one or two faults, and end soon after the last.
"""

from __future__ import annotations

from random import Random
from typing import Final

from msgspec.structs import replace

from iotcache_simulator.clustersim.faults import OUTAGES_S, FaultDice, Steps
from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep

_SINGLE: Final = (
    "hang", "hang", "kill", "keep", "drain", "drain again", "slow", "block", "cut", "lose", "double",
    "evict", "stall", "start", "enter", "asleep", "late",
)  # fmt: skip
_RARE: Final = ("twice", "inherit", "forget")
"""They take long."""
_TOGETHER: Final = (
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
)
_PAUSES_S: Final = (0.15, 0.5, 1.5, 3.0)
_CHANGE_FAULTS: Final = (
    ("hang",),
    ("hang", "kill"),
    ("kill", "keep"),
    ("drain",),
    ("block", "cut"),
    ("block",),
    ("slow", "cut"),
    ("evict", "evict ring"),
    ("stall",),
    ("deaf",),
    ("deaf", "hang"),
    ("start",),
    ("hang", "start"),
    ("jump", "lose", "double"),
    ("late", "asleep"),
)
_UNHEARD: Final = 0.15
"""In so many of the worlds with faults all nodes hang as the first change begins."""
_STORMS: Final = 0.04
"""So many worlds whose ring changes are storms."""
_STORM_NODES: Final = ((1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3))
"""Nodes of the first ring, and others."""
_STORM_OUTAGES_S: Final = (0.05, 0.2, 0.5, 1.0, 1.5, 3.0)
_STORM_S: Final = 12.0
_HOT_CHANGES: Final = 0.4
"""So many of the worlds with hot keys change their rings as well."""
_HOT_LEAST_S: Final = 4.0
_NODES: Final = (2, 2, 2, 2, 2, 2, 3, 3, 3, 4)
_CLIENTS: Final = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (2, 1), (2, 2))
"""Writers and readers."""
_LOADS_S: Final = (0.0, 0.0, 0.01, 0.1, 0.4, 1.3)
_MEET_S: Final = 1.0
"""After an outage clients may need so long until all of them use the node again."""
_LEAST_S: Final = 0.35
_AFTER_S: Final = 0.1
"""So long a world goes on after its last fault, before everything is healed."""


def draw(seed: int) -> SimulationPlan:
    """The plan of a seed."""
    rng = Random(seed)
    dice = rng.random()
    nodes = rng.choice(_NODES)
    writers, readers = rng.choice(_CLIENTS)
    plan = SimulationPlan(
        seed=seed,
        nodes=nodes,
        writers=writers,
        readers=readers,
        tracks=rng.choice((1, 1, 1, 2)),
        keys=8,
        shuffle=rng.choice((0.0, 0.0, 0.02, 0.1)),
        alert=rng.random() < 0.7,
        open_min_s=0.1,
        open_max_s=rng.choice((0.2, 0.4, 1.0)),
        timeout_s=rng.choice((0.2, 0.25, 0.5)),
        steps=(),
        end_s=0.0,
    )
    plan = replace(plan, keys=max(plan.keys, 3 * plan.tracks * plan.writers))
    work_s = float("inf")
    if dice < 0.5:
        faults = _one(plan, rng, rng.choice(_SINGLE))
    elif dice < 0.55:
        kind = rng.choice(_RARE)
        plan = replace(plan, nodes=min(nodes, 3), tracks=1)
        if kind == "inherit":  # what nobody reads or writes meanwhile shows whether the fence is there
            plan = replace(plan, alert=False, writers=2)
        faults = _one(plan, rng, kind)
        if kind == "inherit":
            work_s = min(step.at_s for step in faults if step.verb == "resume")
    elif dice < 0.63:
        plan = replace(plan, nodes=1, strict=rng.random() < 0.5)
        faults = _several(plan, rng, ("kill",) if plan.strict else rng.choice(_TOGETHER))
    elif dice < 0.705:
        plan = replace(plan, readers_only=True, adds=rng.random() < 0.5)
        faults = _several(plan, rng, ("block", "drain", "stall", "cut"))
    elif dice < 0.72:
        plan = replace(plan, storm=True, writers=1, readers=1, tracks=3, keys=9)
        faults = _one(plan, rng, rng.choice(("hang", "drain", "kill")))
    elif dice < 0.74:
        plan = replace(plan, nodes=3, tracks=1)
        faults = _one(plan, rng, "nested")
    elif dice < 0.755:
        plan = replace(plan, writers=2, readers=1, tracks=1, timeout_s=0.2)
        faults = _one(plan, rng, "claimed")
    elif dice < 0.96:
        faults = _several(plan, rng, rng.choice(_TOGETHER))
    else:
        return draw_change(seed, plan, rng)
    end_s = max([_LEAST_S, *(step.at_s for step in faults)]) + _AFTER_S
    steps = [*faults, *_work(replace(plan, end_s=min(end_s, work_s)), rng)]
    steps.sort(key=lambda step: step.at_s)
    return replace(plan, steps=tuple(steps), end_s=end_s)


def draw_resize(seed: int) -> SimulationPlan:
    """The plan of a seed for a world whose ring changes, whatever `draw` makes of it."""
    if Random(f"storm {seed}").random() < _STORMS:
        return draw_storm(seed)
    plan = draw(seed)
    plain = replace(plan, steps=(), readers_only=False, adds=False, storm=False, strict=False, failover=True)
    return draw_change(seed, plain, Random(seed))


def draw_hot(seed: int) -> SimulationPlan:
    """The plan of a seed for a world some of whose keys have copies, now these and now those, whatever `draw`
    or `draw_resize` make of it.
    """
    rng = Random(f"hot keys of seed {seed}")
    plan = draw_resize(seed) if rng.random() < _HOT_CHANGES else draw(seed)
    if plan.nodes + plan.spares < 2:
        plan = draw(seed * 1_000_003 + 1) if plan.nodes < 2 else plan
    # Who changes the list has a vote.
    every = range(plan.writers if plan.readers_only else plan.writers + plan.readers)
    steps = list(plan.steps)
    at_s = rng.random() * 0.4
    end_s = max(plan.end_s, _HOT_LEAST_S)
    while at_s < end_s:
        keys = rng.sample(range(plan.keys), rng.choice((1, 2, 3)) if rng.random() < 0.9 else 0)
        who = rng.choice(every)
        steps.append(SimulationStep(at_s, "hot", who, keys=tuple(keys), value=rng.choice((2.0, 2.0, 3.0))))
        at_s += rng.choice((0.05, 1.2, 2.0, 4.0))
    steps += _hot_work(replace(plan, end_s=end_s), rng)
    steps.sort(key=lambda step: step.at_s)
    return replace(plan, steps=tuple(steps), end_s=end_s)


def _hot_work(plan: SimulationPlan, rng: Random) -> Steps:
    """More reads and writes than `draw` has: lists of hot keys take a while to be gone by."""
    steps: Steps = []
    pause_s = rng.choice((0.03, 0.1, 0.3))
    for client in range(plan.writers + plan.readers):
        at_s = rng.random() * 0.1
        while at_s < plan.end_s:
            if client < plan.writers and rng.random() < 0.7:
                track = rng.randrange(plan.tracks)
                own = plan.keys_of(client, track)
                keys = tuple(rng.sample(own, rng.randint(1, len(own)))) if own else ()
                verb = "delete" if rng.random() < 0.05 and not plan.whole else "set"
            else:
                track = 7
                keys = tuple(rng.sample(range(plan.keys), rng.randint(1, plan.keys)))
                verb = "get" if rng.random() < 0.8 else "fill"
            if keys:
                steps.append(SimulationStep(at_s, verb, client, track=track, keys=keys))
            at_s += rng.expovariate(1.0 / pause_s)
    return steps


def draw_change(seed: int, plan: SimulationPlan, rng: Random) -> SimulationPlan:
    """A world whose ring changes: once or twice, under faults or none, with drivers that die, stand still or
    give up."""
    nodes = rng.choice((1, 2, 2, 2, 3, 3))
    writers, readers = rng.choice(((1, 1), (1, 2), (2, 1), (2, 2)))
    plan = replace(
        plan, seed=seed, nodes=nodes, spares=rng.choice((1, 1, 2)), writers=writers, readers=readers,
        tracks=1, keys=rng.choice((8, 16)), timeout_s=rng.choice((0.2, 0.25)),
    )  # fmt: skip
    kinds = rng.choice(_CHANGE_FAULTS) if rng.random() < 0.7 else ()
    if "slow" in kinds:
        plan = replace(plan, timeout_s=rng.choice((0.25, 1.5)))
    # What is written seldom shows what was left from before.
    plan = replace(plan, alert=rng.random() < 0.5)
    at_s = 0.1 + rng.random() * 0.3
    steps, until_s = _changes(plan, rng, at_s)
    if kinds:
        world = replace(plan, nodes=plan.nodes + plan.spares)
        faults = FaultDice(world, rng)
        fault_s = at_s + rng.random() * 0.3
        while fault_s < until_s:
            node, lasts_s = rng.randrange(world.nodes), rng.choice(OUTAGES_S)
            steps += faults.fault(rng.choice(kinds), node, fault_s, lasts_s)
            fault_s += lasts_s + rng.expovariate(1.0 / 0.6)
        again = Random(f"unheard {seed}")
        if again.random() < _UNHEARD:
            unheard = FaultDice(world, again)
            steps += unheard.fault("unheard", 0, at_s + again.random() * 0.01, again.choice(OUTAGES_S))
    end_s = max(until_s, *(step.at_s for step in steps)) + _AFTER_S
    plan = replace(plan, whole=not kinds, end_s=end_s)
    work = _work(plan, rng, _PAUSES_S)
    if plan.whole:
        work = [replace(step, cancel_s=-1.0) for step in work if step.verb != "delete"]
    steps += work
    steps.sort(key=lambda step: step.at_s)
    return replace(plan, steps=tuple(steps))


def _changes(plan: SimulationPlan, rng: Random, at_s: float) -> tuple[Steps, float]:
    """Changes of the ring, and when they should be over."""
    steps: Steps = []
    every = range(plan.nodes + plan.spares)
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        who = rng.randrange(plan.writers + plan.readers if rng.random() < 0.2 else plan.writers)
        size = rng.randint(1, len(every))
        ring = tuple((node, rng.choice((1, 1, 1, 2))) for node in sorted(rng.sample(every, size)))
        cancel_s = rng.random() * 2.5 if rng.random() < 0.2 else -1.0
        steps.append(SimulationStep(at_s, "resize", who, ring=ring, cancel_s=cancel_s))
        dice = rng.random()
        if dice < 0.1:
            other = rng.randrange(plan.writers + plan.readers)
            some = tuple((node, 1) for node in sorted(rng.sample(every, rng.randint(1, len(every)))))
            second_s = at_s + rng.choice((0.0, 0.01, 0.1, 0.5))
            steps.append(SimulationStep(second_s, "resize", other, ring=some))
        elif dice < 0.2:
            steps.append(SimulationStep(at_s + rng.random() * 2.5, "end", who, value=rng.choice((0.0, 1.0))))
            steps.append(SimulationStep(at_s + 2.5 + rng.random() * 3.0, "start", who))
        elif dice < 0.3:
            steps.append(SimulationStep(at_s + rng.random() * 2.0, "stall", who, value=rng.random() * 6.0))
        elif dice < 0.4:
            undoer = rng.randrange(plan.writers + plan.readers)
            steps.append(SimulationStep(at_s + rng.random() * 2.8, "undo", undoer))
        at_s += rng.choice((0.6, 2.9, 3.4, 4.5))
    return steps, max(at_s, 3.0)


def draw_storm(seed: int) -> SimulationPlan:
    """Ring after ring, while nodes hang and die all the time, any number at once, and all are busy.

    What `tests.long.hunt` does with real nodes. Small worlds with a fault or two do not come to what is left
    over from the outage or the ring before the last.
    """
    rng = Random(f"a storm of seed {seed}")
    nodes, spares = rng.choice(_STORM_NODES)
    writers, readers = rng.choice(((1, 1), (2, 1), (2, 2)))
    plan = SimulationPlan(
        seed=seed, nodes=nodes, spares=spares, writers=writers, readers=readers, tracks=1, keys=12,
        shuffle=rng.choice((0.0, 0.0, 0.02)), open_min_s=0.05, open_max_s=rng.choice((0.5, 0.5, 2.0)),
        timeout_s=0.25, steps=(), end_s=_STORM_S, busy=rng.random() < 0.5,
    )  # fmt: skip
    every = range(nodes + spares)
    steps: Steps = []
    at_s = 0.2 + rng.random()
    while at_s < _STORM_S:
        ring = tuple(
            (node, rng.choice((1, 1, 1, 2))) for node in sorted(rng.sample(every, rng.randint(1, len(every))))
        )
        steps.append(SimulationStep(at_s, "resize", rng.randrange(writers), ring=ring))
        at_s += rng.choice((0.6, 2.0, 2.6, 3.2, 4.0))
    dice, free_s = FaultDice(replace(plan, nodes=len(every)), rng), [0.0] * len(every)
    pause_s = rng.choice((0.5, 0.5, 1.0))
    at_s = 0.2
    while at_s < _STORM_S:
        node, lasts_s = rng.choice(every), rng.choice(_STORM_OUTAGES_S)
        if free_s[node] <= at_s:
            steps += dice.fault(rng.choice(("hang", "hang", "hang", "kill", "kill")), node, at_s, lasts_s)
            free_s[node] = at_s + lasts_s
        at_s += rng.expovariate(len(every) / 6 / pause_s)
    steps += _busy(plan, rng)
    steps.sort(key=lambda step: step.at_s)
    return replace(plan, steps=tuple(steps), end_s=max(step.at_s for step in steps) + _AFTER_S)


def _busy(plan: SimulationPlan, rng: Random) -> Steps:
    """Every client writes or reads some of its keys, and again after some hundredths of a second."""
    steps: Steps = []
    for client in range(plan.writers + plan.readers):
        writes = client < plan.writers
        own = plan.keys_of(client, 0) if writes else list(range(plan.keys))
        at_s = 0.0
        while at_s < plan.end_s:
            keys = tuple(rng.sample(own, rng.randint(1, len(own))))
            verb = "set" if writes else rng.choice(("get", "fill"))
            load_s = rng.random() * 0.02 if verb == "fill" else 0.0
            steps.append(SimulationStep(at_s, verb, client, keys=keys, value=load_s))
            at_s += rng.expovariate(1 / 0.04)
    return steps


def _one(plan: SimulationPlan, rng: Random, kind: str) -> Steps:
    """One fault, and nothing else."""
    dice = FaultDice(plan, rng)
    lasts_s = rng.choice((0.1, 0.4, 0.8, 1.1, 1.5))
    return dice.fault(kind, rng.randrange(plan.nodes), 0.08 + rng.random() * 0.12, lasts_s)


def _several(plan: SimulationPlan, rng: Random, kinds: tuple[str, ...]) -> Steps:
    """Faults of several kinds, that may overlap."""
    weak = rng.randrange(plan.writers, plan.writers + plan.readers) if plan.readers_only else None
    dice = FaultDice(plan, rng, weak=weak)
    steps: Steps = []
    free_s = [0.0] * plan.nodes
    overlap = plan.nodes == 1 or rng.random() < 0.7
    at_s = 0.08 + rng.random() * 0.12
    until_s = rng.choice((0.3, 0.6, 1.0))
    while at_s < until_s:
        kind, node, lasts_s = rng.choice(kinds), rng.randrange(plan.nodes), rng.choice(OUTAGES_S)
        others = sum(free > at_s - _MEET_S for at, free in enumerate(free_s) if at != node)
        # Where each client reaches only nodes that the other does not, nothing is promised.
        share = plan.readers_only or "block" not in kinds or others < max(1, plan.nodes - 1)
        if share and free_s[node] <= at_s and (overlap or max(free_s) <= at_s):
            steps += dice.fault(kind, node, at_s, lasts_s)
            free_s[node] = at_s + lasts_s + 0.05
        at_s += rng.expovariate(1.0 / 0.3)
    return steps


def _work(plan: SimulationPlan, rng: Random, pauses_s: tuple[float, ...] = (0.08, 0.2, 0.4)) -> Steps:
    """What the clients do."""
    steps: Steps = []
    pause_s = rng.choice(pauses_s)
    cancels = rng.random() < 0.15
    deletes = rng.random() < 0.25
    for client in range(plan.writers):
        for track in range(plan.tracks):
            own = plan.keys_of(client, track)
            at_s = rng.random() * 0.05
            most = len(own) if pause_s < 0.4 or rng.random() < 0.5 else 2
            steps.append(SimulationStep(at_s, "set", client, track=track, keys=tuple(own)))
            while own:
                at_s += rng.expovariate(1.0 / (pause_s * plan.tracks))
                if at_s > plan.end_s:
                    break
                some = rng.sample(own, rng.randint(1, most))
                verb = "delete" if deletes and rng.random() < 0.1 else "set"
                cancel_s = rng.random() * 0.3 if cancels and rng.random() < 0.1 else -1.0
                steps.append(
                    SimulationStep(at_s, verb, client, track=track, keys=tuple(some), cancel_s=cancel_s)
                )
    for client in range(plan.writers, plan.writers + plan.readers):
        fills = rng.random() < 0.6
        for track in range(2):
            at_s = rng.random() * 0.1
            while at_s < plan.end_s:
                keys = tuple(rng.sample(range(plan.keys), rng.randint(1, plan.keys)))
                if fills and track == 1:
                    load_s = rng.choice(_LOADS_S)
                    steps.append(SimulationStep(at_s, "fill", client, track=track, keys=keys, value=load_s))
                else:
                    steps.append(SimulationStep(at_s, "get", client, track=track, keys=keys))
                at_s += rng.expovariate(1.0 / (pause_s * (2 + 2 * track)))
    return steps
