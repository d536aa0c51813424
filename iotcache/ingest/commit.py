"""Commits that do not give up: a store that is away is tried until it answers, and what it refuses for good
becomes a dead letter, so that nothing stands in the way of the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from iotcache.backoff import Backoff
from iotcache.clock import Clock
from iotcache.decode.outcomes import dead_letter
from iotcache.errors import StoreError
from iotcache.faults import Faults, describe
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.counters import IngestCounters
from iotcache.ingest.planning import Planner, refused_reading
from iotcache.ingest.retained import LatestStore, drop_outdated
from iotcache.model import (
    DeadLetter,
    DeviceMessage,
    Document,
    LifecycleResult,
    SenderDeath,
    Series,
    StoredReading,
)
from iotcache.store.base import Committed
from iotcache.text import printable

log = logging.getLogger(__name__)

_R = TypeVar("_R")
_is_retained: Final = attrgetter("retained")

RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
SLOW_COMMIT_S: Final = 3.0
"""A commit that takes longer is something the worker says it waits for."""
TRIES: Final = 3
"""When a commit fails in a way that nobody foresaw, and so does each of its readings alone, it may be the
store or the readings: after this many tries the readings are taken for the cause, as dead letters."""
_FAILURES_LOOKED_AT: Final = 16
"""Readings tried alone, all in vain, before the last try: the rest would hardly fare better."""


class CommitStore(LatestStore, Protocol):
    """The part of `iotcache.store.base.Store` that is needed here."""

    async def commit(
        self, readings: Sequence[StoredReading], dead_letters: Sequence[DeadLetter] = ()
    ) -> Committed: ...

    async def mark_stale(self, series: Sequence[Series], at_us: int) -> None: ...

    async def series_of(self, device: str, site: str, *, with_below: bool) -> Sequence[Series]: ...


class DeviceMessages(Protocol):
    """Keeps what devices say of themselves: `iotcache.onboarding.lifecycle.DeviceLifecycle`."""

    async def store(self, messages: Sequence[DeviceMessage]) -> LifecycleResult:
        """Make messages durable, in their order. Raises `StoreError`."""
        ...

    async def tell_cache(self, result: LifecycleResult) -> None:
        """Bring the cache to what the store has. Raises `StoreError`."""
        ...


class _Failure(Exception):
    """Why a write failed, and whether the store may take it later."""

    def __init__(self, text: str, *, retryable: bool, foreseen: bool) -> None:
        super().__init__(text)
        self.retryable = retryable
        self.foreseen = foreseen

    @property
    def reason(self) -> str:
        """As a dead letter's reason."""
        return f"the store: {self}" if self.foreseen else f"the store failed on it: {self}"


class Committer:
    """Writes batches to the store, each however long it takes."""

    def __init__(
        self,
        store: CommitStore,
        planner: Planner,
        counters: IngestCounters,
        faults: Faults,
        *,
        clock: Clock,
        on_waiting: Callable[[str], None],
    ) -> None:
        """``on_waiting`` is called with why the store cannot be written, and with "" once it can again."""
        self.waiting_for = ""
        self._store = store
        self._planner = planner
        self._counters = counters
        self._faults = faults
        self._clock = clock
        self._on_waiting = on_waiting

    async def commit(self, batches: Sequence[DecodedBatch]) -> Committed:
        """Commit the readings and the dead letters of batches in one transaction."""
        dead = [letter for batch in batches for letter in batch.dead_letters]
        refused = tuple(dead)
        since_s = self._clock.monotonic()
        planned: list[StoredReading] = []

        async def whole() -> Committed:
            for batch in batches:
                await self._drop_outdated(batch)
                self._planner.refresh(batch)
            planned[:] = [stored for batch in batches for stored in batch.planned]
            return await self._write(planned, dead)

        async def piecewise(last_try: bool) -> Committed | None:
            return await self._commit_piecewise(planned, dead, last_try=last_try)

        committed = await self._until_written(whole, piecewise)
        if self.waiting_for:
            log.info("the store answers again after %.1f s", self._clock.monotonic() - since_s)
            self._wait_for("")
        counters = self._counters
        counters.batches += 1
        counters.readings += len(planned)
        counters.stored += committed.stored
        counters.duplicates += committed.duplicates
        counters.conflicts += committed.conflicts
        self._note_refusals(refused)
        counters.dead_letters += committed.conflicts
        return committed

    async def _until_written(
        self, whole: Callable[[], Awaitable[_R]], piecewise: Callable[[bool], Awaitable[_R | None]]
    ) -> _R:
        """Write all at once; what the store refuses for good, piece by piece.

        ``piecewise`` is told whether it is the last try.
        """
        backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S)
        while True:
            try:
                return await whole()
            except Exception as error:
                failure = error if isinstance(error, _Failure) else self._failure("a commit", error)
                self._counters.commit_failures += 1
                if not failure.retryable:
                    with self._faults.contained("committing piece by piece"):
                        result = await piecewise(backoff.attempts >= TRIES - 1)
                        if result is not None:
                            return result
                self._wait_for(str(failure))
            await backoff.wait()

    async def _drop_outdated(self, batch: DecodedBatch) -> None:
        """Leave out retained readings that are no news. Raises `_Failure`."""
        if any(map(_is_retained, batch.readings)):
            try:
                self._counters.retained += await drop_outdated(self._store, batch)
            except Exception as error:
                raise self._failure("looking for what retained readings are news to", error) from error

    async def _write(self, planned: Sequence[StoredReading], dead: Sequence[DeadLetter]) -> Committed:
        """One transaction. Raises `_Failure`."""
        began_s = self._clock.monotonic()
        slow = asyncio.get_running_loop().call_later(
            SLOW_COMMIT_S, self._wait_for, f"a commit takes longer than {SLOW_COMMIT_S:g} s"
        )
        try:
            committed = await self._store.commit(planned, dead)
        except Exception as error:
            raise self._failure("a commit", error) from error
        finally:
            slow.cancel()
        self._counters.commit_ms.add((self._clock.monotonic() - began_s) * 1e3)
        return committed

    def _failure(self, stage: str, error: Exception) -> _Failure:
        if isinstance(error, StoreError):
            return _Failure(str(error), retryable=error.retryable, foreseen=True)
        self._faults.note(stage, error)
        return _Failure(describe(error), retryable=False, foreseen=False)

    async def _commit_piecewise(
        self, planned: Sequence[StoredReading], dead: list[DeadLetter], *, last_try: bool
    ) -> Committed | None:
        """Commit what the store takes, and dead letters of those readings that it refuses for good.

        One reading that a store cannot hold must not stop all others for ever. ``None`` when the store takes
        nothing at all, or is away: then it is not the readings' fault, and what did get in is a duplicate the
        next time. ``dead`` is emptied once it is written: dead letters have no identity to know them by.
        """
        done: list[Committed] = []
        refused: list[DeadLetter] = []
        unforeseen = 0
        parts = [list(planned)]
        try:
            await self._write((), ())
            await self._write_dead_letters(dead)
            dead.clear()
            while parts:
                part = parts.pop()
                try:
                    done.append(await self._write(part, ()))
                except _Failure as failure:
                    if failure.retryable:
                        return None
                    if len(part) > 1:
                        # The earlier half is taken first: the newest of a series must come last.
                        parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                    elif part:
                        refused.append(refused_reading(part[0].reading, failure.reason))
                        unforeseen += not failure.foreseen
                if not last_try and not done and unforeseen >= _FAILURES_LOOKED_AT:
                    return None
            if not last_try and not done and unforeseen:
                return None
            await self._write_dead_letters(refused)
        except _Failure:
            return None
        self._note_refusals(refused)
        return Committed(
            stored=sum(one.stored for one in done),
            duplicates=sum(one.duplicates for one in done),
            newest=tuple(newest for one in done for newest in one.newest),
            conflicts=sum(one.conflicts for one in done),
        )

    async def _write_dead_letters(self, dead: Sequence[DeadLetter]) -> None:
        """Write dead letters, those that the store refuses in a plainer form. Raises `_Failure` when it is
        away."""
        if not dead:
            return
        try:
            await self._write((), dead)
        except _Failure as failure:
            if failure.retryable:
                raise
            if len(dead) > 1:
                for letter in dead:
                    await self._write_dead_letters([letter])
                return
            await self._write_plain(dead[0], failure)

    async def _write_plain(self, letter: DeadLetter, failure: _Failure) -> None:
        """Write a dead letter that the store refused without the texts that it may have refused it for."""
        topic = letter.topic.encode("ascii", "backslashreplace").decode()
        reason = printable(f"{letter.reason}; {failure.reason}", 300).encode("ascii", "backslashreplace")
        try:
            await self._write((), [replace(letter, topic=topic, reason=reason.decode())])
        except _Failure as again:
            if again.retryable:
                raise
            log.error("a dead letter of the topic %s is lost: %s", printable(topic, 100), again)

    async def mark_stale(self, death: SenderDeath) -> list[Series]:
        """Mark the series of who died stale, however long it takes; returns them.

        The store knows series that whoever read the death does not: a worker that began after the births
        knows none. What the store refuses for good is noted.
        """

        async def mark() -> list[Series]:
            try:
                stored = await self._store.series_of(death.device, death.site, with_below=death.with_below)
                series = list(dict.fromkeys((*death.series, *stored)))
                await self._store.mark_stale(series, death.at_us)
            except Exception as error:
                raise self._failure("marking series stale", error) from error
            return series

        async def give_up(last_try: bool) -> list[Series] | None:
            return [] if last_try else None

        series = await self._until_written(mark, give_up)
        if self.waiting_for:
            self._wait_for("")
        return series

    async def store_messages(
        self, devices: DeviceMessages, messages: Sequence[DeviceMessage]
    ) -> LifecycleResult:
        """Store what devices said of themselves, however long it takes."""

        async def singly(last_try: bool) -> LifecycleResult | None:
            return await self._store_singly(devices, messages, last_try=last_try)

        result = await self._until_written(lambda: self._store_once(devices, messages), singly)
        if self.waiting_for:
            self._wait_for("")
        return result

    async def _store_once(
        self, devices: DeviceMessages, messages: Sequence[DeviceMessage]
    ) -> LifecycleResult:
        try:
            return await devices.store(messages)
        except Exception as error:
            raise self._failure("storing what devices say of themselves", error) from error

    async def _store_singly(
        self, devices: DeviceMessages, messages: Sequence[DeviceMessage], *, last_try: bool
    ) -> LifecycleResult | None:
        """As `_commit_piecewise`, for messages of devices."""
        standing: list[Document] = []
        ended: list[str] = []
        refused: list[DeadLetter] = []
        try:
            for message in messages:
                try:
                    result = await self._store_once(devices, [message])
                except _Failure as failure:
                    if failure.retryable:
                        return None
                    refused.append(_refused_message(message, failure.reason))
                else:
                    standing += result.standing
                    ended += result.ended
            if len(refused) == len(messages) and not last_try:
                return None
            await self._write_dead_letters(refused)
        except _Failure:
            return None
        self._note_refusals(refused)
        return LifecycleResult(standing, ended)

    def _note_refusals(self, refused: Sequence[DeadLetter]) -> None:
        with self._faults.contained("counting what was refused"):
            self._counters.note_refusals(refused)

    def _wait_for(self, reason: str) -> None:
        reason = printable(reason)
        if reason != self.waiting_for:
            self.waiting_for = reason
            with self._faults.contained("telling what the store is waited for"):
                self._on_waiting(reason)


def _refused_message(message: DeviceMessage, reason: str) -> DeadLetter:
    if isinstance(message, Document):
        payload = message.content.encode("utf-8", "replace")
        return dead_letter(f"{message.device}/{message.kind}", payload, reason, message.at_us)
    return dead_letter(f"{message.device}/birth", b"", reason, message.at_us)
