"""What being observed costs a cluster client: processor time a key with the advisor's tap and without.

Turn by turn, with the keys and values of ``bench cluster``: 2,000 keys in a call, on three real nodes.
Processor time of this process alone is counted, and of the pairs of turns those furthest apart are left out,
so that most of what else the machine does falls out of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, nullcontext
from random import Random
from statistics import fmean

from msgspec import Struct

from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache.traffic.tap import TrafficTap
from iotcache_tui.bench.cluster import items
from tests.advisor.proof_node import memcached

TURN_S = 1.0
"""Of the order of a burst with its rest: one without the other tells nothing."""
LEFT_OUT = 1 / 8
"""Of the pairs of turns, at either end."""
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
    tap = TrafficTap(3 * MEMORY_MB << 20, burst_s=BURST_S, now_s=watched.now_s, cpu_s=watched.cpu_s)
    with watched:
        cluster.observer = tap
        await _turn(call, keys, WARM_UP_S)
    pairs, spent_s, own_s = [], watched.cpu_s(), tap.cpu_s
    for turn in range(rounds):
        costs_us = {True: 0.0, False: 0.0}
        for on in (True, False) if turn % 2 else (False, True):
            cluster.observer = tap if on else None
            with watched if on else nullcontext():
                costs_us[on] = await _turn(call, keys, TURN_S)
        pairs.append((costs_us[False], costs_us[True]))
    cluster.observer = None
    spent_s, own_s = watched.cpu_s() - spent_s, tap.cpu_s - own_s
    pairs.sort(key=lambda pair: pair[1] / pair[0])
    cut = round(LEFT_OUT * len(pairs))
    kept = pairs[cut : len(pairs) - cut]
    without_us = sum(pair[0] for pair in kept) / len(kept)
    return TapCost(
        name, without_us, fmean(on / off - 1.0 for off, on in kept), own_s / (spent_s - own_s),
        tap.meter.sampler.keys,
    )  # fmt: skip


class Watched:
    """Clocks that go only while the tap is on: its bursts and rests are as if it always were."""

    def __init__(self) -> None:
        self._gone = (0.0, 0.0)
        self._since: tuple[float, float] | None = None

    def now_s(self) -> float:
        return self._gone[0] + (time.monotonic() - self._since[0] if self._since is not None else 0.0)

    def cpu_s(self) -> float:
        return self._gone[1] + (time.thread_time() - self._since[1] if self._since is not None else 0.0)

    def __enter__(self) -> None:
        self._since = (time.monotonic(), time.thread_time())

    def __exit__(self, *_: object) -> None:
        self._gone, self._since = (self.now_s(), self.cpu_s()), None


async def _turn(call: Callable[[], Awaitable[None]], keys: int, seconds: float) -> float:
    """Processor time a key, in microseconds."""
    begun_s, cpu_s, number = time.monotonic(), time.process_time(), 0
    while time.monotonic() - begun_s < seconds:
        await call()
        number += keys
    return 1e6 * (time.process_time() - cpu_s) / number


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
