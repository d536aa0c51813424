"""An application that writes: through the cache, around it, beside it or behind it, and what became of it.

Each write is acknowledged to whoever made it as soon as its policy allows. A write-behind keeps what is not
in the store yet in the cache nodes alone, and a list of it: what such a node loses is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from iotcache.cache import DeviceCache
from iotcache.entry_codec import decode_cached
from iotcache.errors import StoreError
from iotcache.histogram import DurationHistogram
from iotcache.model import Reading, Series, StoredReading
from iotcache.tasks import end

SERIES: Final = 20
BEHIND_S: Final = 3.0
"""A write-behind puts a value into the store so long after its series was written first."""
_TICK_S: Final = 0.2
FLUSHED_AT_A_TIME: Final = 2
"""Ten a second: all series become dirty within one second, and would be flushed in one."""
_UNDER_WAY: Final = 50
"""Writes under way at a time; while so many are, none is begun."""


class ArmWriters:
    """One arm's writer. Values only ever grow, so that an older one is known by its amount."""

    def __init__(self, arm: str) -> None:
        self.series = tuple(Series(f"lab-writer-{arm or 'all'}", f"value-{n:02}") for n in range(SERIES))
        self.acknowledged: dict[Series, float] = {}
        """The last value of each series that was acknowledged."""
        self.writing = "through"
        self.store_writes = 0
        self.lost = 0
        self.acknowledged_count = 0
        self.took_ms = DurationHistogram()
        self._number = 0
        self._dirty: dict[Series, tuple[Reading, float]] = {}
        """What the store has not got yet, and since when."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._per_s = 0.0

    def begin(self, cache: DeviceCache, per_s: float) -> None:
        """Write so often through, or past, this cache."""
        self._per_s = per_s
        if not self._tasks:
            for work in (self._write_on(cache), self._flush_on(cache)):
                self._tasks.add(asyncio.create_task(work))

    async def stop(self) -> None:
        """Write no more; what is dirty stays so."""
        for task in list(self._tasks):
            await end(task)
        self._tasks.clear()

    def figures(self) -> dict[str, float | None]:
        """Since the last call, which should be a second ago; what was lost, in all."""
        acknowledged, self.acknowledged_count = self.acknowledged_count, 0
        stored, self.store_writes = self.store_writes, 0
        took_ms = self.took_ms.percentile(50) if acknowledged else None
        self.took_ms.clear()
        return {
            "writes_per_s": float(acknowledged),
            "store_writes_per_s": float(stored),
            "write_ms": took_ms,
            "lost_writes": float(self.lost),
        }

    async def _write_on(self, cache: DeviceCache) -> None:
        begun: deque[asyncio.Task[None]] = deque()
        due_s = time.monotonic()
        while True:
            await asyncio.sleep(max(due_s - time.monotonic(), 0.001) if self._per_s else _TICK_S)
            while begun and begun[0].done():
                begun.popleft()
            now_s = time.monotonic()
            if not self._per_s or now_s < due_s or len(begun) >= _UNDER_WAY:
                due_s = due_s if self._per_s else now_s
                continue
            due_s = max(due_s + 1.0 / self._per_s, now_s - 1.0)
            self._number += 1
            task = asyncio.create_task(self._write(cache, self._number))
            begun.append(task)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, cache: DeviceCache, number: int) -> None:
        began_s = time.monotonic()
        series = self.series[number % SERIES]
        now_us = time.time_ns() // 1_000
        reading = Reading(*series, float(number), now_us, site="lab", seq=number, received_us=now_us)
        try:
            await self._by_policy(cache, reading)
        except StoreError:
            return  # nobody was told that it is written
        self.acknowledged[series] = max(float(number), self.acknowledged.get(series, 0.0))
        self.acknowledged_count += 1
        self.took_ms.add((time.monotonic() - began_s) * 1e3)

    async def _by_policy(self, cache: DeviceCache, reading: Reading) -> None:
        stored = StoredReading(reading)
        if self.writing == "behind":
            (result,) = await cache.write_through([stored])
            if not result.ok:
                raise StoreError("no node took the value", retryable=True)
            since_s = self._dirty[reading.series][1] if reading.series in self._dirty else time.monotonic()
            self._dirty[reading.series] = reading, since_s
            return
        committed = await cache.store.commit([stored])
        self.store_writes += 1
        if self.writing == "through":
            await cache.write_through(committed.newest)
        elif self.writing == "aside":
            await cache.invalidate([reading.series])

    async def _flush_on(self, cache: DeviceCache) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            due_s = time.monotonic() - BEHIND_S
            # In the order of their age, which is that in which they became dirty.
            due = [
                (series, reading) for series, (reading, since_s) in self._dirty.items() if since_s <= due_s
            ]
            if due:
                await self._flush(cache, dict(due[:FLUSHED_AT_A_TIME]))

    async def _flush(self, cache: DeviceCache, due: Mapping[Series, Reading]) -> None:
        """Put what the nodes still have into the store; what they have not got any more is lost."""
        found = await cache.cluster.get_many(cache.keys.latest_many(list(due)))
        # Not only whether there is an entry: a reader may have put an older value back from the store.
        # A greater one is that of a write meanwhile, which is put into the store in its turn.
        kept = [
            StoredReading(reading)
            for reading, result in zip(due.values(), found, strict=True)
            if result.hit and float(decode_cached(result.value, result.flags).value) >= float(reading.value)
        ]
        try:
            if kept:
                await cache.store.commit(kept)
        except StoreError:
            return  # tried again
        self.store_writes += len(kept)
        self.lost += len(due) - len(kept)
        for series, reading in due.items():
            if self._dirty[series][0] is reading:
                del self._dirty[series]
            else:  # written again meanwhile
                self._dirty[series] = self._dirty.pop(series)[0], time.monotonic()
