"""Those who follow the committed batches: told in order, bounded, and no harm to the worker."""

from __future__ import annotations

import asyncio

import pytest

from iotcache import faults
from iotcache.ingest.followers import Followers
from iotcache.model import Reading
from iotcache.model.batches import CommittedBatch
from iotcache.tasks import end
from tests.ingest.conftest import until


def batch(n: int) -> CommittedBatch:
    return CommittedBatch([Reading("d", "t", n, n)], (), 0)


class Listener:
    """Keeps what it hears; fails where it is told to."""

    def __init__(self, fails_at: int = -1) -> None:
        self.heard: list[object] = []
        self.missed_batches = 0
        self.runs = 0
        self.fails_at = fails_at

    def follow(self, given: CommittedBatch) -> None:
        value = given.readings[0].value
        if value == self.fails_at:
            raise ValueError("told to")
        self.heard.append(value)

    def missed(self, batches: int) -> None:
        self.missed_batches += batches

    async def run(self) -> None:
        self.runs += 1
        if self.fails_at >= 0:
            raise ValueError("told to")
        await asyncio.Event().wait()


async def test_each_hears_all_in_order_and_one_that_fails_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "RESTART_S", 0.01)
    bad, good = Listener(fails_at=1), Listener()
    told = Followers([bad])
    told.add(good)
    task = asyncio.create_task(told.run())
    for n in range(4):
        told.tell(batch(n))
    await until(lambda: len(good.heard) == 4 and bad.runs > 2)
    assert (good.heard, bad.heard, good.runs) == ([0, 1, 2, 3], [0, 2, 3], 1)
    assert not task.done()
    await end(task)


async def test_what_waits_is_bounded_and_what_passed_by_is_told_before_the_next() -> None:
    listener = Listener()
    told = Followers([listener], bound=3)
    for n in range(8):
        told.tell(batch(n))
    assert told.passed_by == 5
    task = asyncio.create_task(told.run())
    await until(lambda: len(listener.heard) == 3)
    assert (listener.heard, listener.missed_batches) == ([0, 1, 2], 5)
    told.tell(batch(9))
    await until(lambda: listener.heard[-1] == 9)
    assert listener.missed_batches == 5
    await end(task)


async def test_without_anyone_nothing_is_kept() -> None:
    told = Followers()
    for n in range(100):
        told.tell(batch(n))
    assert told.passed_by == 0
