"""Commit, then cache, then the word to the sender: in that order, and only when it is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from iotcache.clock import ManualClock
from iotcache.errors import NodeError, StoreError
from iotcache.ingest import commit as commit_module
from iotcache.ingest import pipeline as pipeline_module
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.pipeline import Pipeline
from iotcache.model import DeadLetter, Reading, StoredReading
from iotcache.store.base import Committed
from tests.ingest.conftest import until

NOW_US = 1_795_348_800_000_000


class Places:
    """A store and a cache in one, which note what happens when; and fail when told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.failures: list[StoreError] = []
        self.refuses: Callable[[Reading], bool] = lambda reading: False
        self.cache_fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.store = self

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        return [reading.ts_us + 60_000_000 for reading in readings]

    async def commit(self, readings: Sequence[StoredReading], dead: Sequence[DeadLetter] = ()) -> Committed:
        await self.gate.wait()
        if self.failures:
            error = self.failures.pop(0)
            self.events.append(("failed", str(error)))
            raise error
        if any(self.refuses(one.reading) for one in readings):
            raise StoreError("it does not fit", retryable=False)
        self.events.append(
            ("commit", ([one.reading.value for one in readings], [one.reason for one in dead]))
        )
        return Committed(len(readings), 0, tuple(readings))

    async def write_through(self, newest: Sequence[StoredReading]) -> list[Any]:
        await asyncio.sleep(0)
        if self.cache_fails:
            raise NodeError("the nodes are gone")
        self.events.append(("cache", [one.reading.value for one in newest]))
        return []

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


def batch(places: Places, *values: float, dead: Sequence[str] = ()) -> DecodedBatch:
    readings = [Reading("d", "s", value, NOW_US + int(value) * 1_000_000) for value in values]
    letters = [DeadLetter("t", b"", reason, NOW_US) for reason in dead]
    return DecodedBatch(readings, letters, lambda committed: places.events.append(("settled", values)))


@asynccontextmanager
async def running(places: Places, **options: Any) -> AsyncIterator[Pipeline]:
    made = Pipeline(places, IngestCounters(ManualClock()), **options)  # type: ignore[arg-type]
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_module, "RETRY_MIN_S", 0.002)
    monkeypatch.setattr(commit_module, "RETRY_MAX_S", 0.01)


async def test_commit_then_cache_then_settled() -> None:
    places = Places()
    async with running(places) as made:
        await made.put(batch(places, 1, 2, dead=["bad"]))
        await made.drained()
    assert places.events == [("commit", ([1, 2], ["bad"])), ("cache", [1, 2]), ("settled", (1, 2))]


async def test_parcels_that_wait_are_joined_in_one_commit_and_settled_in_order() -> None:
    places = Places()
    places.gate.clear()
    async with running(places) as made:
        for n in range(4):
            await made.put(batch(places, n))
        places.gate.set()
        await made.drained()
    assert [what for name, what in places.events if name == "settled"] == [(0,), (1,), (2,), (3,)]
    assert places.names().count("commit") <= 2


async def test_a_store_that_is_away_holds_everything_and_is_tried_until_it_answers() -> None:
    places = Places()
    places.failures = [StoreError("locked") for _ in range(3)]
    waits: list[str] = []
    async with running(places, on_waiting=waits.append) as made:
        await made.put(batch(places, 1))
        await made.put(batch(places, 2))
        await until(lambda: made.waiting_for == "locked")
        assert "settled" not in places.names()
        await made.drained()
        assert made.waiting_for == ""
    assert places.names()[:4] == ["failed"] * 3 + ["commit"]
    assert waits == ["locked", ""]


async def test_back_pressure_while_the_store_is_away() -> None:
    places = Places()
    places.gate.clear()
    taken = 0
    async with running(places) as made:

        async def offer() -> None:
            nonlocal taken
            while True:
                await made.put(batch(places, taken))
                taken += 1

        offering = asyncio.create_task(offer())
        await asyncio.sleep(0.05)
        assert taken <= 2 * pipeline_module.WAITING_BATCHES
        offering.cancel()


async def test_a_cache_that_is_away_holds_nothing_up() -> None:
    places = Places()
    places.cache_fails = True
    async with running(places) as made:
        await made.put(batch(places, 1))
        await made.drained()
    assert places.names() == ["commit", "settled"]


async def test_one_reading_that_the_store_cannot_hold_does_not_stop_the_others() -> None:
    places = Places()
    places.refuses = lambda reading: reading.value == 3
    async with running(places) as made:
        await made.put(batch(places, *range(8), dead=["bad"]))
        await made.drained()
    commits = [what for name, what in places.events if name == "commit"]
    assert sorted(value for values, _ in commits for value in values) == [0, 1, 2, 4, 5, 6, 7]
    reasons = [reason for _, reasons in commits for reason in reasons]
    assert reasons == ["bad", "the store: it does not fit"]
    assert [what for name, what in places.events if name == "cache"] == [[0, 1, 2, 4, 5, 6, 7]]
    assert places.names()[-1] == "settled"


async def test_a_store_that_takes_nothing_at_all_refuses_no_reading() -> None:
    places = Places()
    places.failures = [StoreError("read-only", retryable=False) for _ in range(6)]
    async with running(places) as made:
        await made.put(batch(places, 1, 2))
        await until(lambda: made.waiting_for == "read-only")
        await made.drained()
    assert [what for name, what in places.events if name == "commit"][-1] == ([1, 2], [])


async def test_nothing_to_store_is_settled_without_a_commit() -> None:
    places = Places()
    async with running(places) as made:
        await made.put(batch(places))
        await made.drained()
    assert places.events == [("settled", ())]


async def test_the_interval_travels_with_the_reading() -> None:
    places = Places()
    kept: list[StoredReading] = []
    places.commit = lambda readings, dead=(): _keep(kept, readings)  # type: ignore[method-assign]
    async with AsyncExitStack() as exits:
        made = await exits.enter_async_context(running(places))
        await made.put(batch(places, 0, 10, 20, 30))
        await made.drained()
    assert [one.reading.interval_s for one in kept][-1] == 10.0
    assert all(one.cached_until_us == one.reading.ts_us + 60_000_000 for one in kept)


async def _keep(kept: list[StoredReading], readings: Sequence[StoredReading]) -> Committed:
    kept += readings
    return Committed(len(readings), 0, ())
