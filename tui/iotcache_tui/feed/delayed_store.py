"""The store as this dashboard reaches it: with a delay in front of its reads, when a presenter wants one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from iotcache.model import Series, StoredReading
from iotcache.store.base import Store


class DelayedStore:
    """Answers what the real store answers. Used as a `Store`: all else of it is reached through this."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.delay_s = 0.0
        """Of each read of newest readings."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return await self._store.latest_many(series)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.__aexit__(kind, error, trace)
