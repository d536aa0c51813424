"""Decoded batches on their way: one commit, then the cache, then the acknowledgement to the sender.

Commits come one after the other, and so do writes to the cache, in the same order; while one batch is
written through, the next is committed, and a third is decoded. A failing cache holds nothing up. A failing
store holds everything up, and is tried until it answers: nothing is acknowledged that is not safe.

No message stops it: what a stage fails at in a way that nobody foresaw is left out, noted (`iotcache.ingest.
faults`) and kept as a dead letter, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.cache.intervals import Intervals
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import IotCacheError
from iotcache.faults import Faults
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.commit import Committer, DeviceMessages
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.planning import Planner
from iotcache.model import CommittedBatch, LifecycleResult, Series, StoredReading
from iotcache.store.base import Committed

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache

log = logging.getLogger(__name__)

WAITING_BATCHES: Final = 8
"""Decoded batches that wait for a commit; with the limits of a batch this bounds the worker's memory."""
COMMIT_READINGS: Final = 2_000
"""Batches are joined in one commit up to this many readings."""


class _Stored(Struct):
    batches: list[DecodedBatch]
    committed: Committed | None
    lifecycle: LifecycleResult | None = None
    stale: list[Series] = []


class Pipeline:
    """Commits batches and writes them through. Run `run` beside whoever calls `put`."""

    def __init__(
        self,
        cache: DeviceCache,
        counters: IngestCounters,
        *,
        clock: Clock = SYSTEM_CLOCK,
        faults: Faults | None = None,
        on_waiting: Callable[[str], None] = lambda reason: None,
        devices: DeviceMessages | None = None,
        on_commit: Callable[[CommittedBatch], None] = lambda batch: None,
    ) -> None:
        """``on_waiting`` is called with why the store cannot be written, and with "" once it can again.
        ``devices`` keeps what devices say of themselves. ``on_commit`` is called with each batch of readings
        that is settled, and must be quick.
        """
        self._cache = cache
        self._counters = counters
        self._clock = clock
        self._faults = faults or Faults(clock)
        self._planner = Planner(cache, clock, self._faults)
        self._committer = Committer(
            cache.store, self._planner, counters, self._faults, clock=clock, on_waiting=on_waiting
        )
        self._devices = devices
        self._on_commit = on_commit
        self._decoded: asyncio.Queue[DecodedBatch] = asyncio.Queue(WAITING_BATCHES)
        self._stored: asyncio.Queue[_Stored] = asyncio.Queue(1)
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting_for(self) -> str:
        """Why the store cannot be written; empty while it can."""
        return self._committer.waiting_for

    @property
    def intervals(self) -> Intervals:
        """How often each series reports."""
        return self._planner.intervals

    async def put(self, batch: DecodedBatch) -> None:
        """Hand a batch over; waits while the store is behind."""
        self._in_hand += 1
        self._idle.clear()
        try:
            # Here and not at the commit: meanwhile the one before it is being written by another thread.
            self._planner.plan(batch)
            await self._decoded.put(batch)
        except BaseException:
            self._finished(1)
            raise

    async def drained(self) -> None:
        """Return once every batch handed over is settled."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled. What is not settled then was never acknowledged, and comes again."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._commit_all())
            stages.create_task(self._finish_all())

    def _finished(self, batches: int) -> None:
        self._in_hand -= batches
        if not self._in_hand:
            self._idle.set()

    async def _commit_all(self) -> None:
        while True:
            batches = [await self._decoded.get()]
            size = len(batches[0].readings)
            while size < COMMIT_READINGS and not self._decoded.empty():
                batches.append(self._decoded.get_nowait())
                size += len(batches[-1].readings)
            wanted = size or any(batch.dead_letters for batch in batches)
            committed = await self._committer.commit(batches) if wanted else None
            messages = [message for batch in batches for message in batch.device_messages]
            lifecycle: LifecycleResult | None = None
            if messages and self._devices is not None:
                lifecycle = await self._committer.store_messages(self._devices, messages)
            stale: list[Series] = []
            for death in (death for batch in batches for death in batch.deaths):
                stale += await self._committer.mark_stale(death)
            await self._stored.put(_Stored(batches, committed, lifecycle, stale))

    async def _finish_all(self) -> None:
        while True:
            stored = await self._stored.get()
            if stored.committed is not None and stored.committed.newest:
                await self._write_through(stored.committed.newest)
            if stored.lifecycle is not None and self._devices is not None:
                await self._update_cache(self._devices, stored.lifecycle)
            if stored.stale:
                await self._invalidate(stored.stale)
            for batch in stored.batches:
                try:
                    batch.on_settled(stored.committed)
                except Exception as error:
                    self._faults.note("the acknowledgement of a batch", error)
            self._finished(len(stored.batches))
            self._follow(stored)

    async def _write_through(self, newest: Sequence[StoredReading]) -> None:
        began_s = self._clock.monotonic()
        try:
            await self._cache.write_through(newest)
        except IotCacheError as error:
            # The store has the readings: entries that were not written expire, and are dirty until then.
            log.warning("the cache could not be written: %s", error)
        except Exception as error:
            self._faults.note("writing through", error)
            await self._write_through_singly(newest)
        self._counters.write_through_ms.add((self._clock.monotonic() - began_s) * 1e3)

    async def _write_through_singly(self, newest: Sequence[StoredReading]) -> None:
        """Write what can be written; the entry of what cannot goes, as it would show an older value."""
        for stored in newest:
            try:
                await self._cache.write_through([stored])
            except Exception:
                try:
                    await self._cache.invalidate([stored.reading.series])
                except Exception as error:
                    self._faults.note("invalidating an entry", error)

    async def _invalidate(self, series: Sequence[Series]) -> None:
        """Let readers see in the store that series are stale."""
        try:
            await self._cache.invalidate(series)
        except (IotCacheError, OSError) as error:
            log.warning("series are stale, and the cache could not be told: %s", error)
        except Exception as error:
            self._faults.note("invalidating the entries of stale series", error)

    async def _update_cache(self, devices: DeviceMessages, lifecycle: LifecycleResult) -> None:
        try:
            await devices.tell_cache(lifecycle)
        except IotCacheError as error:
            log.warning(
                "what devices said of themselves is in the store, not all of it in the cache: %s", error
            )
        except Exception as error:
            self._faults.note("bringing what devices said to the cache", error)
            await self._update_cache_singly(devices, lifecycle)

    async def _update_cache_singly(self, devices: DeviceMessages, lifecycle: LifecycleResult) -> None:
        """Bring over what can be; the entry of a document that cannot goes, as it would show an older one."""
        parts = [LifecycleResult([document], []) for document in lifecycle.standing]
        parts += [LifecycleResult([], [device]) for device in lifecycle.ended]
        for part in parts:
            try:
                await devices.tell_cache(part)
            except Exception:
                with contextlib.suppress(Exception):  # noted already, with all of them
                    await self._cache.invalidate_documents([document.name for document in part.standing])

    def _follow(self, stored: _Stored) -> None:
        readings = [reading for batch in stored.batches for reading in batch.readings]
        if stored.committed is None or not readings:
            return
        try:
            known = stored.committed.duplicates + stored.committed.conflicts
            self._on_commit(CommittedBatch(readings, stored.committed.newest, known))
        except Exception as error:
            self._faults.note("telling followers of a batch", error)
