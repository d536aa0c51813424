"""Decoded parcels on their way: one commit, then the cache, then the word that the sender waits for.

Commits come one after the other, and so do writes to the cache, in the same order; while one batch is
written through, the next is committed, and a third is decoded. A failing cache holds nothing up. A failing
store holds everything up, and is tried until it answers: nothing is told to be safe that is not.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.decode.decoder import dead_letter
from iotcache.errors import IotCacheError, StoreError
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.intervals import Intervals
from iotcache.model import CommittedBatch, DeadLetter, DeviceMessage, LifecycleResult, Reading, StoredReading
from iotcache.store.base import Committed
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache

log = logging.getLogger(__name__)

PARCELS: Final = 8
"""Decoded parcels that wait for a commit; with the batch limits this bounds the worker's memory."""
COMMIT_READINGS: Final = 2_000
"""Parcels are joined in one commit up to this many readings."""
RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
PLAN_KEPT_S: Final = 1.0
"""A parcel that waited longer for its commit is planned anew: its entries are to live from then on."""
SLOW_COMMIT_S: Final = 3.0
"""A commit that takes longer is something the worker says it waits for."""


class DecodedBatch(Struct):
    """What one batch of messages came to, and whom to tell once it is safe on disk."""

    readings: list[Reading]
    dead: list[DeadLetter]
    settled: Callable[[Committed | None], None]
    """Called once, after the write-through; with ``None`` for a parcel that held nothing to store."""
    said: list[DeviceMessage] = []
    """What devices said of themselves."""
    planned: list[StoredReading] = []
    """The readings with their intervals and the lives of their entries, as the pipeline fills them in."""
    planned_s: float = -inf
    """When that was, on the monotonic clock."""


class _Done(Struct):
    parcels: list[DecodedBatch]
    committed: Committed | None
    heard: LifecycleResult | None = None


class Lifecycle(Protocol):
    """Keeps what devices say of themselves: `iotcache.onboarding.lifecycle.DeviceLifecycle`."""

    async def store(self, said: Sequence[DeviceMessage]) -> LifecycleResult:
        """Make messages durable, in their order. Raises `StoreError`."""
        ...

    async def tell_cache(self, heard: LifecycleResult) -> None:
        """Bring the cache to what the store has. Raises `StoreError`."""
        ...


class Pipeline:
    """Commits parcels and writes them through. Run `run` beside whoever calls `put`."""

    def __init__(
        self,
        cache: DeviceCache,
        tally: IngestCounters,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_waiting: Callable[[str], None] = lambda reason: None,
        reception: Lifecycle | None = None,
        on_commit: Callable[[CommittedBatch], None] = lambda batch: None,
    ) -> None:
        """``on_waiting`` hears why the store cannot be written, and an empty text once it can again.
        ``reception`` keeps what devices say of themselves. ``on_commit`` hears of each batch of readings that
        is settled, and must be quick.
        """
        self.waiting_for = ""
        self.intervals = Intervals()
        self._cache = cache
        self._tally = tally
        self._clock = clock
        self._on_waiting = on_waiting
        self._reception = reception
        self._on_commit = on_commit
        self._decoded: asyncio.Queue[DecodedBatch] = asyncio.Queue(PARCELS)
        self._committed: asyncio.Queue[_Done] = asyncio.Queue(1)
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, parcel: DecodedBatch) -> None:
        """Hand a parcel over; waits while the store is behind."""
        self._in_hand += 1
        self._idle.clear()
        try:
            # Here and not at the commit: meanwhile the one before it is being written by another thread.
            parcel.readings = self._with_intervals(parcel.readings)
            self._plan(parcel)
            await self._decoded.put(parcel)
        except BaseException:
            self._finished(1)
            raise

    async def drained(self) -> None:
        """Return once every parcel handed over is settled."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled. What is not settled then was never acknowledged, and comes again."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._commit_all())
            stages.create_task(self._finish_all())

    def _finished(self, parcels: int) -> None:
        self._in_hand -= parcels
        if not self._in_hand:
            self._idle.set()

    async def _commit_all(self) -> None:
        while True:
            parcels = [await self._decoded.get()]
            size = len(parcels[0].readings)
            while size < COMMIT_READINGS and not self._decoded.empty():
                parcels.append(self._decoded.get_nowait())
                size += len(parcels[-1].readings)
            dead = [letter for parcel in parcels for letter in parcel.dead]
            committed = await self._commit(parcels, dead) if size or dead else None
            said = [one for parcel in parcels for one in parcel.said]
            heard = await self._hear(self._reception, said) if said and self._reception else None
            await self._committed.put(_Done(parcels, committed, heard))

    async def _finish_all(self) -> None:
        while True:
            done = await self._committed.get()
            if done.committed is not None and done.committed.newest:
                await self._write_through(done.committed.newest)
            if done.heard is not None and self._reception is not None:
                await self._tell_cache(self._reception, done.heard)
            for parcel in done.parcels:
                parcel.settled(done.committed)
            self._finished(len(done.parcels))
            if done.committed is not None and (readings := _all_readings(done.parcels)):
                self._on_commit(CommittedBatch(readings, done.committed.newest, done.committed.duplicates))

    async def _write_through(self, newest: Sequence[StoredReading]) -> None:
        began_s = self._clock.monotonic()
        try:
            await self._cache.write_through(newest)
        except (IotCacheError, OSError) as error:
            # The store has the readings: entries that were not told expire, and are dirty until then.
            log.warning("the cache could not be written: %s", error)
        self._tally.write_through_ms.add((self._clock.monotonic() - began_s) * 1e3)

    async def _tell_cache(self, reception: Lifecycle, heard: LifecycleResult) -> None:
        try:
            await reception.tell_cache(heard)
        except (IotCacheError, OSError) as error:
            log.warning(
                "what devices said of themselves is in the store, not all of it in the cache: %s", error
            )

    # The store

    async def _hear(self, reception: Lifecycle, said: Sequence[DeviceMessage]) -> LifecycleResult:
        """Store what devices said, however long it takes."""
        wait_s = RETRY_MIN_S
        while True:
            try:
                heard = await reception.store(said)
            except StoreError as error:
                self._tally.commit_failures += 1
                self._wait_for(str(error))
            else:
                if self.waiting_for:
                    self._wait_for("")
                return heard
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2.0, RETRY_MAX_S)

    async def _commit(self, parcels: Sequence[DecodedBatch], dead: Sequence[DeadLetter]) -> Committed:
        """Commit, however long it takes."""
        wait_s, since_s = RETRY_MIN_S, self._clock.monotonic()
        while True:
            for parcel in parcels:
                if self._clock.monotonic() - parcel.planned_s > PLAN_KEPT_S:
                    self._plan(parcel)
            planned = [stored for parcel in parcels for stored in parcel.planned]
            try:
                committed = await self._try_commit(planned, dead)
                break
            except StoreError as error:
                self._tally.commit_failures += 1
                if not error.retryable:
                    piecewise = await self._commit_piecewise(planned, dead)
                    if piecewise is not None:
                        committed = piecewise
                        break
                self._wait_for(str(error))
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2.0, RETRY_MAX_S)
        if self.waiting_for:
            log.info("the store answers again after %.1f s", self._clock.monotonic() - since_s)
            self._wait_for("")
        tally = self._tally
        tally.batches += 1
        tally.readings += len(planned)
        tally.stored += committed.stored
        tally.duplicates += committed.duplicates
        tally.dead_letters += len(dead)
        return committed

    def _with_intervals(self, readings: Sequence[Reading]) -> list[Reading]:
        note = self.intervals.note
        return [
            Reading(
                one.device, one.sensor, one.value, one.ts_us, one.unit, one.site, one.seq, one.boot,
                one.received_us, note(one.device, one.sensor, one.ts_us),
            )
            for one in readings
        ]  # fmt: skip

    def _plan(self, parcel: DecodedBatch) -> None:
        """Decide until when the readings' entries are to live, should they become the newest."""
        parcel.planned = list(map(StoredReading, parcel.readings, self._cache.plan_ttls(parcel.readings)))
        parcel.planned_s = self._clock.monotonic()

    async def _try_commit(self, planned: Sequence[StoredReading], dead: Sequence[DeadLetter]) -> Committed:
        began_s = self._clock.monotonic()
        slow = asyncio.get_running_loop().call_later(
            SLOW_COMMIT_S, self._wait_for, f"a commit takes longer than {SLOW_COMMIT_S:g} s"
        )
        try:
            committed = await self._cache.store.commit(planned, dead)
        finally:
            slow.cancel()
        self._tally.commit_ms.add((self._clock.monotonic() - began_s) * 1e3)
        return committed

    async def _commit_piecewise(
        self, planned: Sequence[StoredReading], dead: Sequence[DeadLetter]
    ) -> Committed | None:
        """Commit what the store takes, and dead letters of those readings that it refuses for good.

        One reading that a store cannot hold must not stop all others for ever. ``None`` when the store takes
        nothing at all, or is away: then it is not the readings' fault, and what did get in is a duplicate the
        next time.
        """
        done: list[Committed] = []
        refused: list[DeadLetter] = []
        parts = [list(planned)]
        try:
            await self._try_commit((), dead)
            while parts:
                part = parts.pop()
                try:
                    done.append(await self._try_commit(part, ()))
                except StoreError as error:
                    if error.retryable:
                        return None
                    if len(part) > 1:
                        # The earlier half is taken first: the newest of a series must come last.
                        parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                    elif part:
                        refused.append(_refused(part[0].reading, error))
            if refused:
                await self._try_commit((), refused)
        except StoreError:
            return None
        self._tally.dead_letters += len(refused)
        return Committed(
            stored=sum(one.stored for one in done),
            duplicates=sum(one.duplicates for one in done),
            newest=tuple(newest for one in done for newest in one.newest),
        )

    def _wait_for(self, reason: str) -> None:
        reason = printable(reason)
        if reason != self.waiting_for:
            self.waiting_for = reason
            self._on_waiting(reason)


def _all_readings(parcels: Sequence[DecodedBatch]) -> list[Reading]:
    return [reading for parcel in parcels for reading in parcel.readings]


def _refused(reading: Reading, error: StoreError) -> DeadLetter:
    import msgspec

    topic = f"{reading.device}/{reading.sensor}"
    return dead_letter(topic, msgspec.json.encode(reading), f"the store: {error}", reading.received_us)
