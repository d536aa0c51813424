"""The store as a scenario's readers reach it: delayed, cut off, or with so many connections and no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from iotcache.errors import StoreError
from iotcache.model import Series, StoredReading
from iotcache.store.base import Store

QUEUE_MOST: Final = 800
"""Requests that wait for a connection; one more is refused."""


class SlowStoreAccess:
    """The way to the real store, with a count of requests; what it answers is the real store's answer.

    With ``connections`` only so many requests are served at a time, in the order in which they came. As in
    a database that was sent a query, a request is served though whoever made it has given up: that is what
    keeps an overrun database down.
    """

    def __init__(self, store: Store, connections: int = 0) -> None:
        self._store = store
        self.delay_s = 0.0
        self.stopped = False
        self.requested: Counter[Series] = Counter()
        self.waiting = 0
        """Requests that wait for a connection."""
        self._slots = asyncio.Semaphore(connections) if connections else None
        self._queries: set[asyncio.Task[Mapping[Series, StoredReading]]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        self.requested.update(series)
        if self._slots is None:
            return await self._answer(series)
        if self.waiting >= QUEUE_MOST:
            raise StoreError("the store's queue is full", retryable=True)
        query = asyncio.create_task(self._in_turn(self._slots, series))
        self._queries.add(query)
        query.add_done_callback(self._served)
        return await asyncio.shield(query)

    def _served(self, query: asyncio.Task[Mapping[Series, StoredReading]]) -> None:
        self._queries.discard(query)
        if not query.cancelled():
            query.exception()  # nobody may be waiting for it any more

    async def _in_turn(
        self, slots: asyncio.Semaphore, series: Sequence[Series]
    ) -> Mapping[Series, StoredReading]:
        self.waiting += 1
        try:
            await slots.acquire()
        finally:
            self.waiting -= 1
        try:
            return await self._answer(series)
        finally:
            slots.release()

    async def _answer(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.stopped:
            raise StoreError("the store is cut off", retryable=True)
        return await self._store.latest_many(series)

    async def close(self) -> None:
        """End what is under way."""
        for query in list(self._queries):
            query.cancel()
        await asyncio.gather(*self._queries, return_exceptions=True)
