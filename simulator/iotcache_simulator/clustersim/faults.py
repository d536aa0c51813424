"""What befalls the simulated world: single faults, and the courses of events that once went wrong.

A course is a short list of steps at their times, so that plans can put several into one world.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from iotcache_simulator.clustersim.plan import SimulationPlan, SimulationStep

OUTAGES_S: Final = (0.1, 0.3, 0.7, 1.1)
_JUMPS_S: Final = (-30.0, 5.0, 3_600.0)

Steps = list[SimulationStep]


class FaultDice:
    """Draws faults for one plan; at most one of its clients, ``weak``, has bad links."""

    def __init__(self, plan: SimulationPlan, rng: Random, *, weak: int | None = None) -> None:
        self.plan = plan
        self.rng = rng
        self.clients = range(plan.writers + plan.readers)
        self.weak = rng.choice(self.clients) if weak is None else weak
        if plan.readers_only:
            self.clients = range(self.weak, self.weak + 1)

    def someone(self) -> int:
        """A client to whom something may happen."""
        return self.rng.choice(self.clients)

    def writer(self) -> int:
        """A client that writes."""
        return self.rng.randrange(self.plan.writers)

    def another(self, client: int) -> int:
        """A client other than ``client``."""
        return self.rng.choice([one for one in range(self.plan.writers + self.plan.readers) if one != client])

    def everything(self) -> tuple[int, ...]:
        """All keys."""
        return tuple(range(self.plan.keys))

    def fault(self, kind: str, node: int, at_s: float, lasts_s: float) -> Steps:
        """The steps of one fault of ``kind``."""
        return _FAULTS[kind](self, node, at_s, lasts_s)


def _hang(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "hang", node=node), SimulationStep(at_s + lasts_s, "resume", node=node)]


def _kill(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "kill", node=node), SimulationStep(at_s + lasts_s, "restart", node=node)]


def _kill_and_keep(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """As memcached's ``-e``: the next process has the items of the last."""
    return [
        SimulationStep(at_s, "kill", node=node),
        SimulationStep(at_s + lasts_s, "restart", node=node, value=1.0),
    ]


def _slow(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    slow_s = dice.rng.choice((0.05, 0.2, 0.6))
    return [
        SimulationStep(at_s, "slow", node=node, value=slow_s),
        SimulationStep(at_s + lasts_s, "slow", node=node),
    ]


def _block(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    way = dice.rng.choice(("block", "block up", "block down"))
    return [
        SimulationStep(at_s, way, dice.weak, node),
        SimulationStep(at_s + lasts_s, "unblock", dice.weak, node),
    ]


def _deaf(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A client is cut off from all nodes, maybe for as long as a change of the ring takes."""
    lasts_s *= dice.rng.choice((1.0, 4.0))
    every = range(dice.plan.nodes)
    return [
        *(SimulationStep(at_s, "block", dice.weak, one) for one in every),
        *(SimulationStep(at_s + lasts_s, "unblock", dice.weak, one) for one in every),
        SimulationStep(at_s + lasts_s, "get", dice.weak, track=8, keys=dice.everything()),
    ]


def _unheard(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """All nodes that clients know hang as a change begins: who has not heard of it hears of it from none."""
    steps: Steps = []
    for one in range(dice.plan.nodes - dice.plan.spares):
        steps += _hang(dice, one, at_s, dice.rng.choice((1.0, 2.0, 3.1)) + lasts_s)
    return steps


def _cut(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "cut", dice.someone(), node)]


def _lose(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "lose", node=node)]


def _double(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "double", node=node)]


def _evict(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    what = float(dice.rng.randrange(3))
    return [SimulationStep(at_s + dice.rng.random() * lasts_s, "evict", node=node, value=what)]


def _evict_ring(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A node loses the ring record, or the floors that bound what counts of keys it gained."""
    what = float(3 + dice.rng.randrange(2))
    return [SimulationStep(at_s + dice.rng.random() * lasts_s, "evict", node=node, value=what)]


def _stall(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "stall", dice.someone(), value=lasts_s)]


def _jump(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    return [SimulationStep(at_s, "jump", dice.someone(), value=dice.rng.choice(_JUMPS_S))]


def _enter(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A client starts another one while a node hangs, and is cancelled."""
    who, value = dice.someone(), dice.rng.random() * 0.15
    return [*_hang(dice, node, at_s, 0.2), SimulationStep(at_s + 0.01, "enter", who, value=value)]


def _start(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    who = dice.someone()
    return [
        SimulationStep(at_s, "end", who, value=dice.rng.choice((0.0, 1.0))),
        SimulationStep(at_s + lasts_s, "start", who),
    ]


def _drain(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    lasts_s = min(lasts_s, 1.0)
    who, until_s = dice.someone(), at_s + lasts_s
    steps = [SimulationStep(at_s, "drain", who, node), SimulationStep(until_s, "rejoin", who, node)]
    if dice.rng.random() < 0.3:
        again_s = until_s + dice.rng.random() * 0.6
        steps += [
            SimulationStep(again_s, "drain", who, node),
            SimulationStep(again_s + lasts_s, "rejoin", who, node),
        ]
    return steps


def _drain_again(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A writer drains a node, rejoins and drains it again within 0.3 s; then it must be able to write."""
    who, rng = dice.writer(), dice.rng
    back_s = at_s + rng.random() * 0.2
    again_s = back_s + rng.random() * 0.1
    end_s = again_s + 1.3
    return [
        SimulationStep(at_s, "drain", who, node),
        SimulationStep(back_s, "rejoin", who, node),
        SimulationStep(again_s, "drain", who, node),
        *(
            SimulationStep(end_s - 0.3, "sure", who, track=track, keys=tuple(dice.plan.keys_of(who, track)))
            for track in range(dice.plan.tracks)
        ),
        SimulationStep(end_s, "rejoin", who, node),
    ]  # fmt: skip


def _forget(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A node returns, loses its fence, and somebody starts who has never seen it."""
    back_s = at_s + max(lasts_s, 0.8)
    late_s = back_s + 0.8 + dice.rng.random() * 0.6
    who = dice.someone()
    return [
        SimulationStep(at_s, "hang", node=node),
        SimulationStep(back_s, "resume", node=node),
        SimulationStep(late_s, "evict", node=node),
        SimulationStep(late_s + 0.15, "end", who),
        SimulationStep(late_s + 0.3, "start", who),
    ]


def _inherit(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """As `_forget`, and who wrote past the node is not there when it returns."""
    who = dice.writer()
    back_s = at_s + 1.5
    late_s = back_s + 1.1 + dice.rng.random() * 0.3
    return [
        SimulationStep(at_s, "hang", node=node),
        SimulationStep(back_s - 0.1, "end", who, value=1.0),
        SimulationStep(back_s, "resume", node=node),
        SimulationStep(late_s, "evict", node=node),
        SimulationStep(late_s + 0.3, "start", who),
        SimulationStep(late_s + 0.4, "get", who, track=8, keys=dice.everything()),
    ]


def _twice(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A node is out twice, so soon that the first time's values are still on the failover node."""
    again_s = at_s + 2.3 + dice.rng.random() * 0.4
    return [*_hang(dice, node, at_s, 1.2), *_hang(dice, node, again_s, 1.3)]


def _nested(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """While a node is out another one is, too, for everybody or for one writer, and for a shorter time."""
    other = dice.rng.choice([one for one in range(dice.plan.nodes) if one != node])
    second_s = at_s + 0.9 + dice.rng.random() * 0.3
    steps = _hang(dice, node, at_s, 2.3)
    if dice.rng.random() < 0.3:
        return [*steps, *_hang(dice, other, second_s, 0.9)]
    who = dice.writer()
    return [
        *steps,
        SimulationStep(second_s, "drain", who, other),
        SimulationStep(second_s + 0.9, "rejoin", who, other),
    ]


def _claimed(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A writer is cut off from a node that the others reach, and all are busy: it is not theirs to use."""
    rng, keys = dice.rng, dice.everything()
    steps = [SimulationStep(at_s, "block", 0, node), SimulationStep(at_s + 1.8, "unblock", 0, node)]
    for who, verb, some in ((0, "set", tuple(dice.plan.keys_of(0, 0))), (1, "fill", keys), (2, "get", keys)):
        busy_s = at_s + 0.8
        while busy_s < at_s + 1.8:
            steps.append(SimulationStep(busy_s, verb, who, keys=some))
            busy_s += rng.random() * 0.05
    return steps


def _asleep(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A client stands still while another stops using a node, and reads when it goes on."""
    who = dice.writer()
    sleeper = dice.another(who)
    lasts_s = max(lasts_s, 1.0)
    return [
        SimulationStep(at_s, "stall", sleeper, value=lasts_s),
        SimulationStep(at_s + 0.02, "drain", who, node),
        SimulationStep(at_s + lasts_s - 0.01, "get", sleeper, track=8, keys=dice.everything()),
        SimulationStep(at_s + lasts_s + 0.2, "rejoin", who, node),
    ]


def _late(dice: FaultDice, node: int, at_s: float, lasts_s: float) -> Steps:
    """A writer is cut off from a node; what it has sent comes late, after the link carries again."""
    who, lasts_s = dice.writer(), max(lasts_s, 0.8)
    way = dice.rng.choice(("block", "block up"))
    steps = [
        SimulationStep(at_s, way, who, node),
        SimulationStep(at_s + 0.02, "set", who, keys=tuple(dice.plan.keys_of(who, 0))),
        SimulationStep(at_s + lasts_s, "unblock", who, node),
    ]
    if dice.rng.random() < 0.5:
        steps += [
            SimulationStep(at_s + lasts_s * 0.8, "end", who, value=1.0),
            SimulationStep(at_s + lasts_s + 0.1, "start", who),
        ]
    return steps


_FAULTS: Final[dict[str, Callable[[FaultDice, int, float, float], Steps]]] = {
    "hang": _hang,
    "kill": _kill,
    "keep": _kill_and_keep,
    "slow": _slow,
    "block": _block,
    "cut": _cut,
    "deaf": _deaf,
    "unheard": _unheard,
    "lose": _lose,
    "double": _double,
    "evict": _evict,
    "evict ring": _evict_ring,
    "stall": _stall,
    "jump": _jump,
    "enter": _enter,
    "start": _start,
    "drain": _drain,
    "drain again": _drain_again,
    "forget": _forget,
    "inherit": _inherit,
    "twice": _twice,
    "nested": _nested,
    "claimed": _claimed,
    "asleep": _asleep,
    "late": _late,
}
