"""A writer or reader of `tests.long.resize_proof`, as its own process; it ends when its standard input does.

Shared with all: of each series the newest value whose write has returned, and whether it moves. For each line
on standard input the totals so far are printed, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

from iotcache.cache import DeviceCache
from iotcache.cluster.rings.handover import HandOver
from iotcache.cluster.rings.walk import RingWalk
from iotcache.config.schema import CacheSettings, Settings, StoreSettings
from iotcache.model import Reading, Series, Source
from tests.long.client import versions

INTERVAL_S: Final = 600.0
"""Entries live three times as long: none expires meanwhile."""
_WRITE_BATCH: Final = 50
_READ_BATCH: Final = 20
_SHOWN: Final = 5


def series(number: int) -> Series:
    """The series of a number."""
    return Series(f"dev-{number:05d}", "temperature")


class LoadClient:
    """One process and what it has seen."""

    def __init__(
        self, cache: DeviceCache, number: int, of: int, newest: memoryview[int], moves: memoryview[int]
    ) -> None:
        self.ending = asyncio.Event()
        self.seen: Counter[str] = Counter()
        self.examples: list[str] = []
        self._cache = cache
        self._rng = Random(number)
        self._own = range(number, len(newest), of)
        self._newest = newest
        self._moves = moves

    async def fill(self) -> None:
        """Write each own series once."""
        for first in range(0, len(self._own), 500):
            await self._write(self._own[first : first + 500])

    async def write(self, per_s: float) -> None:
        """Write own series at random, so many readings a second."""
        async for _ in self._ticks(_WRITE_BATCH / per_s):
            await self._write(self._rng.sample(self._own, _WRITE_BATCH))

    async def read(self, per_s: float) -> None:
        """Read series at random, so many a second, batches side by side."""
        async with asyncio.TaskGroup() as reads:
            async for _ in self._ticks(_READ_BATCH / per_s):
                reads.create_task(self._read(self._rng.sample(range(len(self._newest)), _READ_BATCH)))

    async def _ticks(self, every_s: float) -> Any:
        due_s = time.monotonic()
        while not self.ending.is_set():
            yield due_s
            due_s += every_s
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))

    async def _write(self, some: Any) -> None:
        now_us = time.time_ns() // 1_000
        values = {at: self._newest[at] + 1 for at in some}
        readings = [
            Reading(*series(at), float(value), now_us, interval_s=INTERVAL_S) for at, value in values.items()
        ]
        written = await self._cache.write(readings)
        for at, value in values.items():
            self._newest[at] = value
        self.seen["writes"] += len(readings)
        self.seen["uncached"] += len(written.uncached)

    async def _read(self, some: list[int]) -> None:
        least = [self._newest[at] for at in some]
        answers = await self._cache.read_many([series(at) for at in some])
        for at, wanted, got in zip(some, least, answers, strict=True):
            self.seen["reads"] += 1
            self.seen["moved_reads"] += self._moves[at]
            if got.source is Source.NONE:
                self._note("failed", f"{series(at)}: {got.error or got.miss_reason}")
            elif got.source is Source.STORE:
                self.seen["moved_store" if self._moves[at] else "other_store"] += 1
                self.seen[f"missed: {got.miss_reason}"] += 1
            if isinstance(got.value, float) and got.value < wanted:
                self._note("stale", f"{series(at)}: {got.value} from {got.node}, {wanted} was written before")

    def _note(self, what: str, text: str) -> None:
        self.seen[what] += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(text)

    def totals(self) -> dict[str, Any]:
        """What was seen so far."""
        counters, ring = self._cache.counters(), self._cache.cluster.ring()
        return {
            **self.seen, "store_series": counters.store_series, "epoch": ring.epoch,
            "handed_over": ring.handed_over, "examples": self.examples,
        }  # fmt: skip


async def _nothing(*args: Any) -> dict[int, Any]:
    return {}


async def main() -> None:
    """Be one client until standard input ends."""
    role, number, of, per_s, without, folder, *nodes = sys.argv[1:]
    if without == "1":  # for comparison: the ring changes for all clients, and nothing is handed over
        HandOver._fetch = _nothing  # type: ignore[method-assign, assignment]
        RingWalk.run = _nothing  # type: ignore[method-assign, assignment]
    place = Path(folder)
    settings = Settings(
        cache=CacheSettings(nodes=tuple(nodes)), store=StoreSettings(url=f"sqlite:///{place / 'readings.db'}")
    )
    loop = asyncio.get_running_loop()
    with versions(place / "newest") as newest, (place / "moves").open("rb") as file:
        moves = memoryview(bytearray(len(newest)))
        async with DeviceCache.from_settings(
            settings, read_only=role == "reader", role=role, follow=True
        ) as cache:
            client = LoadClient(cache, int(number), int(of), newest, moves)
            if role == "writer":
                await client.fill()

            def ask() -> None:
                for line in sys.stdin:
                    if line == "moves\n":
                        file.seek(0)
                        moves[:] = file.read(len(moves))
                    loop.call_soon_threadsafe(lambda: print(json.dumps(client.totals()), flush=True))
                loop.call_soon_threadsafe(client.ending.set)

            print("ready", flush=True)
            sys.stdin.readline()  # begin: all have filled
            threading.Thread(target=ask, daemon=True).start()
            await (client.write if role == "writer" else client.read)(float(per_s))


if __name__ == "__main__":
    asyncio.run(main())
