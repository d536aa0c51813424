"""What being observed costs a cluster client: processor time a key with the advisor's tap and without.

Turn by turn, with the keys and values of ``bench cluster``: 2,000 keys in a call, on three real nodes.
Processor time of this process alone is counted, so that whatever else the machine does falls out of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from random import Random

from msgspec import Struct

from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache.traffic.tap import TrafficTap
from iotcache_tui.bench.cluster import items
from tests.advisor.proof_node import memcached

TURN_S = 0.25
MEMORY_MB = 64
BURST_S = 0.2
WARM_UP_S = 4.0
"""Until the tap has found out how many keys it may sample."""


class TapCost(Struct, frozen=True):
    """Of one kind of call."""

    call: str
    without_us: float
    """Processor time a key."""
    share: float
    """How much more it takes with the tap."""
    own: float
    """What was spent in the tap, as a share of the rest: without what it does to the others' caches."""
    keys: int
    """That were sampled in the end."""


async def _costs(rounds: int) -> AsyncIterator[TapCost]:
    with ExitStack() as nodes:
        lines = [nodes.enter_context(memcached(MEMORY_MB)) for _ in range(3)]
        names = [f"127.0.0.1:{line.getpeername()[1]}" for line in lines]
        async with Cluster([parse_node(name) for name in names]) as cluster:
            wanted = items(Random(1))
            keys = [item.key for item in wanted]
            await cluster.set_many(wanted)

            async def get() -> None:
                await cluster.get_many(keys)

            async def put() -> None:
                await cluster.set_many(wanted)

            async def both() -> None:
                for _ in range(4):
                    await cluster.get_many(keys)
                await cluster.set_many(wanted)

            calls = (
                ("get-many", get, len(keys)),
                ("set-many", put, len(keys)),
                ("both", both, 5 * len(keys)),
            )
            for name, call, number in calls:
                yield await _compare(cluster, name, call, number, rounds)


async def _compare(
    cluster: Cluster, name: str, call: Callable[[], Awaitable[None]], keys: int, rounds: int
) -> TapCost:
    watched = Watched()
    tap = TrafficTap(3 * MEMORY_MB << 20, burst_s=BURST_S, now_s=watched.now_s)
    watched.turn(True)
    cluster.observer = tap
    await _turn(call, keys, WARM_UP_S)
    watched.turn(False)
    cpu_s, number, own_s = {True: 0.0, False: 0.0}, {True: 0, False: 0}, tap.cpu_s
    for turn in range(rounds):
        for on in (True, False) if turn % 2 else (False, True):
            cluster.observer = tap if on else None
            watched.turn(on)
            spent_s, done = await _turn(call, keys, TURN_S)
            watched.turn(False)
            cpu_s[on] += spent_s
            number[on] += done
    cluster.observer = None
    without_s = cpu_s[False] / number[False]
    own_s = tap.cpu_s - own_s
    return TapCost(
        name, 1e6 * without_s, cpu_s[True] / number[True] / without_s - 1.0, own_s / (cpu_s[True] - own_s),
        tap.meter.sampler.keys,
    )  # fmt: skip


class Watched:
    """A clock that goes only while the tap is on: its bursts and rests are as long as if it always were."""

    def __init__(self) -> None:
        self._gone_s = 0.0
        self._since_s: float | None = None

    def now_s(self) -> float:
        return self._gone_s + (time.monotonic() - self._since_s if self._since_s is not None else 0.0)

    def turn(self, on: bool) -> None:
        self._gone_s, self._since_s = self.now_s(), time.monotonic() if on else None


async def _turn(call: Callable[[], Awaitable[None]], keys: int, seconds: float) -> tuple[float, int]:
    """Processor time, and keys."""
    begun_s, cpu_s, number = time.monotonic(), time.process_time(), 0
    while time.monotonic() - begun_s < seconds:
        await call()
        number += keys
    return time.process_time() - cpu_s, number


async def tap_costs(rounds: int) -> list[TapCost]:
    """A line a kind of call as it comes."""
    costs = []
    async for one in _costs(rounds):
        costs.append(one)
        print(
            f"  {one.call:10} {one.without_us:5.2f} us a key without it, {100 * one.share:+.1f} % with it, "
            f"{100 * one.own:.1f} % in it ({one.keys} keys sampled)",
            flush=True,
        )
    return costs


if __name__ == "__main__":
    asyncio.run(tap_costs(40))
