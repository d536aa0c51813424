"""Looks, while the pipeline runs, whether anything is in the cache that is not in the store yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Self

from iotcache.cluster import Cluster
from iotcache.entry_codec import decode_reading
from iotcache.errors import IotCacheError
from iotcache.keys import Keys
from iotcache.model import Series
from iotcache.store.base import Store

_EVERY_S = 0.05
_SAMPLE = 100
_NAMED = 10


class EarlyCacheWatch:
    """Compares entries of the cache with the store again and again while it is entered.

    The cache is read first: whatever it says then was committed before, if the worker does as it promises.
    """

    def __init__(self, cluster: Cluster, keys: Keys, store: Store, series: Sequence[Series]) -> None:
        self._cluster = cluster
        self._keys = keys
        self._store = store
        self._series = series
        self._rng = Random(0)
        self._task: asyncio.Task[None] | None = None
        self.compared = 0
        self.early = 0
        """Entries that the store did not have."""
        self.named: list[str] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            with suppress(IotCacheError, OSError):  # what is down just now cannot be compared
                await self._look()
            await asyncio.sleep(_EVERY_S)

    async def _look(self) -> None:
        chosen = self._rng.sample(self._series, min(_SAMPLE, len(self._series)))
        answers = await self._cluster.get_many(self._keys.latest_many(chosen))
        cached = {
            name: decode_reading(name.device, name.sensor, answer.value, answer.flags)
            for name, answer in zip(chosen, answers, strict=True)
            if answer.hit
        }
        stored = await self._store.latest_many(list(cached))
        for name, reading in cached.items():
            self.compared += 1
            latest = stored.get(name)
            if latest is None or latest.reading.ts_us < reading.ts_us:
                self.early += 1
                if len(self.named) < _NAMED:
                    self.named.append(f"{name.device} {name.sensor} {reading.seq}")
