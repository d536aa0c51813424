"""The circuit breaker by itself, and what is told of a real one."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from iotcache.clock import Clock
from iotcache.cluster.breaker import Breaker, Circuit
from iotcache.config.schema import BreakerSettings
from iotcache.model import Event, NodeState, Severity

from .tools import pause, resume, state_of, until

SETTINGS = BreakerSettings(failures=3, open_min_s=0.5, open_max_s=4.0)


class Hands(Clock):
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now(self) -> float:
        return self.at_s

    def monotonic(self) -> float:
        return self.at_s


def opened(seed: int = 1) -> tuple[Breaker, Hands]:
    clock = Hands()
    breaker = Breaker(SETTINGS, clock, Random(seed))
    assert breaker.failure(hard=True)
    return breaker, clock


def test_it_opens_after_some_failures_in_a_row() -> None:
    breaker = Breaker(SETTINGS, Hands(), Random(1))
    assert [breaker.failure() for _ in range(2)] == [False, False]
    breaker.success()
    assert [breaker.failure() for _ in range(3)] == [False, False, True]
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.failure()  # it is open already


def test_a_hard_failure_opens_it_at_once() -> None:
    breaker, _ = opened()
    assert breaker.circuit is Circuit.OPEN


def test_a_probe_decides_between_closed_and_open() -> None:
    breaker, _ = opened()
    seen = [breaker.circuit]
    for answered in (False, True):
        breaker.probe()
        seen.append(breaker.circuit)
        if answered:
            breaker.success()
        else:
            breaker.failure(hard=True)
        seen.append(breaker.circuit)
    assert seen == [Circuit.OPEN, Circuit.HALF_OPEN, Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED]


def test_probes_come_at_growing_intervals_up_to_the_longest_and_never_all_clients_at_once() -> None:
    waits = []
    for seed in range(50):
        breaker, clock = opened(seed)
        own = [breaker.retry_in_s()]
        for _ in range(5):
            clock.at_s += breaker.retry_in_s()
            assert breaker.retry_in_s() == 0.0
            breaker.probe()
            breaker.failure(hard=True)
            own.append(breaker.retry_in_s())
        waits.append(own)
    for longest, drawn in zip((0.5, 1.0, 2.0, 4.0, 4.0, 4.0), zip(*waits, strict=True), strict=True):
        assert all(longest / 2 <= wait <= longest for wait in drawn)
        assert len(set(drawn)) > 45
        assert max(drawn) - min(drawn) > longest / 4


@pytest.mark.real("memcached")
async def test_every_change_of_a_hanging_node_is_told_with_its_reason(memcached: Any, over: Any) -> None:
    events: list[Event] = []
    async with over(memcached, on_event=events.append) as cluster:
        await pause(memcached)
        await cluster.get_many(["k"])
        assert state_of(cluster, memcached) is NodeState.DOWN
        await until(lambda: "node_probing" in [event.kind for event in events])
        await asyncio.sleep(0.6)  # several more probes
        resume(memcached)
        await until(lambda: state_of(cluster, memcached) is NodeState.UP)
    kinds = [event.kind for event in events]
    assert kinds[:3] == ["node_up", "node_down", "node_probing"]
    assert kinds.count("node_probing") == 1  # the same over and over is no news
    assert kinds[-1] == "node_up" and kinds.count("node_up") == 2
    assert kinds.count("node_down") <= 3
    assert "does not answer" in events[1].text
    assert "half-open" in events[2].text and "does not answer" in events[2].text
    assert {event.subject for event in events} == {memcached.address}
    assert [event.severity for event in events[:3]] == [Severity.INFO, Severity.ERROR, Severity.INFO]
