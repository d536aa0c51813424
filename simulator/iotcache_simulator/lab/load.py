"""How much of what the readers are to ask a machine can give: where it is too little, they ask for less.

An open loop on a machine that cannot keep up measures its own queue: latencies of seconds, time-outs, nodes
that seem dead. What a scenario shows is an effect of the cache, which fewer reads show as well.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from msgspec import structs

from iotcache.tasks import end
from iotcache_simulator.readers.workload import ReadSpec

LEAST: Final = 0.25
"""Of what the scenario says; with fewer reads it would be another scenario."""
_LOOKS: Final = 4
"""Seconds in a row that must have been too slow: a start, or a node that hangs, is not the machine."""
_TOO_FEW: Final = 0.7
_LATE_S: Final = 0.05
"""A timer is so late, in the mean, only where the processor is wanted by others or by too many reads."""
_HEADROOM: Final = 0.8
_TICK_S: Final = 0.1
_IN_FLIGHT_LEAST: Final = 10


class LoadLimit:
    """The factor by which the readers ask for less; judged once a second, and never raised again."""

    def __init__(self) -> None:
        self.factor = 1.0
        self._slow: deque[tuple[float, float]] = deque(maxlen=_LOOKS)

    def look(self, asked_per_s: float, given_per_s: float, late_s: float) -> str | None:
        """What was asked for and given in the last second, and how late timers were; says what changed."""
        if self.factor <= LEAST or late_s < _LATE_S or given_per_s >= _TOO_FEW * asked_per_s:
            self._slow.clear()
            return None
        self._slow.append((asked_per_s, given_per_s))
        if len(self._slow) < _LOOKS:
            return None
        given_per_s = sum(given for _, given in self._slow) / _LOOKS
        wanted_per_s = sum(asked for asked, _ in self._slow) / _LOOKS / self.factor
        self.factor = max(LEAST, min(self.factor, _HEADROOM * given_per_s / wanted_per_s))
        self._slow.clear()
        return (
            f"this machine gives only {given_per_s:.0f} of {wanted_per_s:.0f} reads/s: "
            f"{self.factor * wanted_per_s:.0f} are asked for"
        )


def limited(reads: ReadSpec, factor: float) -> ReadSpec:
    """Fewer reads, and no more of them under way than two seconds of them.

    More at a time are not made any sooner where the processor is what is wanting: each only waits longer,
    until the nodes seem dead.
    """
    rate = reads.rate * factor
    most = max(_IN_FLIGHT_LEAST, round(2.0 * rate / reads.batch))
    return structs.replace(reads, rate=rate, in_flight=min(reads.in_flight, most))


class LateTimers:
    """How late the event loop's timers are; open while it is entered."""

    def __init__(self) -> None:
        self._late: list[float] = []

    async def __aenter__(self) -> LateTimers:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            due_s = time.monotonic() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._late.append(max(time.monotonic() - due_s, 0.0))

    def mean_s(self) -> float:
        """The mean since the last call."""
        late, self._late = self._late, []
        return sum(late) / len(late) if late else 0.0
