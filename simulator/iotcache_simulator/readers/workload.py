"""The read workload: an open loop of reads through the cache, each at its own absolute deadline.

A read's latency counts from its deadline, so that a slow cache shows in every read that had to wait for it
(no coordinated omission); its service time counts from when it was really asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from msgspec import Struct

from iotcache.histogram import DurationHistogram
from iotcache.model import Read, Series, Source
from iotcache_simulator.readers.popularity import Choice

_TICK_S = 0.001


class ReadSpec(Struct, frozen=True, kw_only=True):
    """What the readers do."""

    rate: float = 200.0
    """Series read in a second, by all readers together."""
    batch: int = 10
    """Series read in one request, as a page of a dashboard reads them."""
    duration_s: float | None = None
    popularity: str = "zipf"
    seed: int = 1
    in_flight: int = 64
    """Requests that may be under way at a time; the next one waits, and its wait counts."""


class ReaderTotals(Struct):
    """What came of it."""

    planned: int = 0
    reads: int = 0
    hits: int = 0
    fallbacks: int = 0
    """Reads that the store answered."""
    unknown: int = 0
    """Reads that nobody could answer."""
    errors: int = 0
    """Those of them for which the store failed."""
    late: int = 0
    """Reads asked more than 50 ms after their deadline."""
    reasons: Counter[str] = Counter()
    """Why reads missed the cache."""

    def note(self, answer: Read) -> None:
        self.reads += 1
        if answer.source is Source.CACHE:
            self.hits += 1
        elif answer.source is Source.STORE:
            self.fallbacks += 1
        else:
            self.unknown += 1
            self.errors += bool(answer.error)
        if answer.miss_reason is not None:
            self.reasons[answer.miss_reason.value] += 1


class SeriesReader(Protocol):
    """What reads: a cache, or a workload over keys of its own."""

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The answers, in order."""
        ...


class Readers:
    """Reads series through one cache until the end or `stop`."""

    def __init__(self, cache: SeriesReader, series: Sequence[Series], choice: Choice, spec: ReadSpec) -> None:
        self.totals = ReaderTotals(reasons=Counter())
        self.latency_ms = DurationHistogram()
        self.service_ms = DurationHistogram()
        self.elapsed_s = 0.0
        self._cache = cache
        self._series = series
        self._choice = choice
        self._spec = spec
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(spec.in_flight)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Returns when every request that was due has been answered."""
        spec = self._spec
        began, number, every_s = monotonic(), 0, spec.batch / spec.rate
        async with asyncio.TaskGroup() as requests:
            while not self._stop.is_set():
                due_s = began + number * every_s
                if spec.duration_s is not None and due_s - began >= spec.duration_s:
                    break
                wait_s = due_s - monotonic()
                if wait_s > 0:
                    await self._pause(max(wait_s, _TICK_S))
                    continue
                await self._slots.acquire()
                self.totals.planned += spec.batch
                requests.create_task(self._request(number, due_s))
                number += 1
        self.elapsed_s = monotonic() - began

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _request(self, number: int, due_s: float) -> None:
        size = self._spec.batch
        series = [self._series[self._choice(number * size + n)] for n in range(size)]
        requested_s = monotonic()
        try:
            answers = await self._cache.read_many(series)
        finally:
            self._slots.release()
        now_s = monotonic()
        self.latency_ms.add((now_s - due_s) * 1e3, size)
        self.service_ms.add((now_s - requested_s) * 1e3, size)
        if (requested_s - due_s) * 1e3 > 50.0:
            self.totals.late += size
        for answer in answers:
            self.totals.note(answer)
