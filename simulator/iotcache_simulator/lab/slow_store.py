"""The store as a scenario's readers reach it: delayed, cut off, or with so many connections and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from iotcache.errors import StoreError
from iotcache.model import Series, StoredReading
from iotcache.store.base import Committed, Store


class StoreConnections:
    """So many requests are served at a time, in the order in which they came; all sides share them."""

    def __init__(self, connections: int, queue: int) -> None:
        self._slots = asyncio.Semaphore(connections)
        self.queue = queue
        """Requests that may wait for a connection; one more is refused."""
        self.waiting = 0
        """Requests that wait for a connection."""

    async def take(self) -> None:
        """Raises `StoreError` where the queue is full."""
        if self.waiting >= self.queue:
            raise StoreError("the store's queue is full", retryable=True)
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1

    def give_back(self) -> None:
        self._slots.release()


class SlowStoreAccess:
    """The way to the real store, with a count of requests; what it answers is the real store's answer.

    With ``connections`` a request is served though whoever made it has given up, as in a database that was
    sent a query: that is what keeps an overrun database down.
    """

    def __init__(self, store: Store, connections: StoreConnections | None = None) -> None:
        self._store = store
        self.delay_s = 0.0
        self.answer_delay_s = 0.0
        """How long an answer is on its way back: what it says is as old by then."""
        self.stopped = False
        self.value_bytes = 0
        """Instead of each value a text of so many characters is handed out; 0: the value."""
        self.requested: Counter[Series] = Counter()
        self.waiting = 0
        """Requests of this side's that wait for a connection."""
        self.connections = connections
        self._queries: set[asyncio.Task[Mapping[Series, StoredReading]]] = set()
        self._closed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        self.requested.update(series)
        if self.connections is None:
            return await self._answer(series)
        query = asyncio.create_task(self._in_turn(self.connections, series))
        self._queries.add(query)
        query.add_done_callback(self._served)
        try:
            return await asyncio.shield(query)
        except asyncio.CancelledError:
            if query.cancelled():
                raise _cut_off() from None
            raise

    async def commit(self, readings: Sequence[StoredReading]) -> Committed:
        """A write; as slow as a question, and not in its queue."""
        await self._pass()
        return await self._store.commit(readings)

    def _served(self, query: asyncio.Task[Mapping[Series, StoredReading]]) -> None:
        self._queries.discard(query)
        if not query.cancelled():
            query.exception()  # nobody may be waiting for it any more

    async def _in_turn(
        self, connections: StoreConnections, series: Sequence[Series]
    ) -> Mapping[Series, StoredReading]:
        self.waiting += 1
        try:
            await connections.take()
        finally:
            self.waiting -= 1
        try:
            return await self._answer(series)
        finally:
            connections.give_back()

    async def _pass(self) -> None:
        await self._late(self.delay_s)
        if self.stopped:
            raise _cut_off()

    async def _late(self, delay_s: float) -> None:
        """Let a while pass, or the end come."""
        if delay_s and not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._closed.wait()
        if self._closed.is_set():
            raise _cut_off()

    async def _answer(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        await self._pass()
        found = await self._store.latest_many(series)
        await self._late(self.answer_delay_s)
        if not self.value_bytes:
            return found
        return {name: _sized(stored, self.value_bytes) for name, stored in found.items()}

    def close(self) -> None:
        """Answer nothing more: who waits for the store, or asks it, is told that it is cut off."""
        self._closed.set()
        for query in list(self._queries):
            query.cancel()


def _cut_off() -> StoreError:
    return StoreError("the store is cut off", retryable=True)


def _sized(stored: StoredReading, size: int) -> StoredReading:
    return structs.replace(stored, reading=structs.replace(stored.reading, value="x" * size))
