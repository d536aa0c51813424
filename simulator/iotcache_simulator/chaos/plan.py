"""What is done to which part, and when: decided by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Literal

from msgspec import Struct

Act = Literal["kill", "restart", "freeze"]
QUIET_S: Final = 1.0
"""Nothing happens so soon after the fleet's first message, or so shortly before its last."""
_DOWN_S: Final = (0.0, 0.8)
_FROZEN_S: Final = (0.2, 2.0)
_TIMES_AS_OFTEN: Final = {"worker": 4, "node": 2, "broker": 1, "store": 1}


class ChaosAct(Struct, frozen=True):
    """One thing that is done to one part."""

    at_s: float
    """Seconds after the fleet's first message."""
    part: str
    act: Act
    for_s: float
    """How long it is away."""


def draw(seed: int, count: int, seconds: float, parts: dict[str, Sequence[Act]]) -> tuple[ChaosAct, ...]:
    """``count`` acts in the course of ``seconds``, on ``parts`` by what can be done to each."""
    rng = Random(seed)
    names = list(parts)
    weights = [_TIMES_AS_OFTEN[name.split(" ")[0]] for name in names]
    moments = sorted(rng.uniform(QUIET_S, max(seconds - QUIET_S, QUIET_S)) for _ in range(count))
    acts = []
    for moment in moments:
        (part,) = rng.choices(names, weights)
        act = rng.choice(parts[part])
        for_s = rng.uniform(*(_FROZEN_S if act == "freeze" else _DOWN_S))
        acts.append(ChaosAct(round(moment, 3), part, act, round(for_s, 3)))
    return tuple(acts)
