"""What is older than the retention goes; the rest and the newest of each series stay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from iotcache.clock import ManualClock
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store import retention
from iotcache.store.retention import keep_pruned, prune_old
from iotcache.store.sqlite.store import SqliteStore

DAY_US = 86_400_000_000


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_PAUSE_S", 0)
    monkeypatch.setattr(retention, "STEP_ROWS", 7)


async def test_old_readings_go_and_the_newest_of_each_series_is_still_known(tmp_path: Path) -> None:
    clock = ManualClock()
    now_us = round(clock.now() * 1e6)
    async with SqliteStore(tmp_path / "x.db") as store:
        await store.commit(
            [StoredReading(Reading(f"d{n % 4}", "t", float(n), now_us - n * DAY_US)) for n in range(60)],
            [DeadLetter("t", b"", "r", now_us - 40 * DAY_US)],
        )
        assert await prune_old(store, 30, clock) == 29 + 1
        counts = await store.counts()
        assert (counts.readings, counts.dead_letters) == (31, 0)
        assert await prune_old(store, 30, clock) == 0
        clock.advance(365 * 86_400)
        assert await prune_old(store, 30, clock) == 31
        assert len(await store.latest_many([Series(f"d{n}", "t") for n in range(4)])) == 4


async def test_no_retention_keeps_all(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "x.db") as store:
        await store.commit([StoredReading(Reading("d", "t", 1.0, 1))])
        assert await prune_old(store, 0) == 0
        await asyncio.wait_for(keep_pruned(store, 0), 1)
        assert (await store.counts()).readings == 1
