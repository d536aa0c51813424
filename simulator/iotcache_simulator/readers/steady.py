"""Readers that go on until they are told to stop, beside the embedded servers: the load that a demo shows.

They read as an application does: a miss is put back into the cache. Their counters go out once a second.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from iotcache.cache import DeviceCache
from iotcache.config.schema import Settings
from iotcache.errors import StoreError
from iotcache.model import Series
from iotcache.mqtt import MqttLink, Will
from iotcache.published_stats import READERS_ROLE, ReaderStats, encode, gone, stats_topic
from iotcache_simulator.readers.popularity import Choice, popularity
from iotcache_simulator.readers.workload import Readers, ReadSpec

BATCH: Final = 10
STRETCH_S: Final = 1.0
"""The fleet's directory is looked at, and the counters are told, between two stretches of reads."""
_PAGE: Final = 5_000


class SteadyReaders:
    """Reads what the store knows, a few series often and most seldom, at a rate."""

    def __init__(self, settings: Settings, cache: DeviceCache, link: MqttLink, instance: str) -> None:
        self._seed = settings.simulator.seed
        self._rate = settings.simulator.reads_per_s
        self._cache = cache
        self._link = link
        self._topic = stats_topic(READERS_ROLE, instance)
        self._series: list[Series] = []
        self._newest_order = 0
        self._choice: Choice | None = None
        self._asked = 0
        self._stats = ReaderStats(
            role=READERS_ROLE,
            instance=instance,
            pid=os.getpid(),
            host=platform.node(),
            version=version("iotcache-tui"),
            started_us=time.time_ns() // 1_000,
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._learn()
            if self._choice is None:
                await asyncio.sleep(STRETCH_S)
            else:
                await self._read(self._choice)
            self._stats.at_us = time.time_ns() // 1_000
            self._link.post(self._topic, encode(self._stats), retain=True)

    async def _learn(self) -> None:
        """Take in series that are new in the store; one that is away has none just now."""
        known = len(self._series)
        try:
            while page := await self._cache.store.directory(self._newest_order, _PAGE):
                self._series += [info.series for info in page]
                self._newest_order = page[-1].order
        except StoreError:
            pass
        if len(self._series) > known:
            self._choice = popularity("zipf", len(self._series), self._seed)

    async def _read(self, choice: Choice) -> None:
        before = self._asked
        readers = Readers(
            self._cache,
            self._series,
            lambda n: choice(before + n),
            ReadSpec(rate=self._rate, batch=BATCH, duration_s=STRETCH_S),
        )
        await readers.run()
        totals, stats = readers.totals, self._stats
        self._asked += totals.planned
        stats.series = len(self._series)
        stats.reads += totals.reads
        stats.hits += totals.hits
        stats.fallbacks += totals.fallbacks
        stats.reads_per_s = round(totals.reads / STRETCH_S, 1)
        stats.hits_per_s = round(totals.hits / STRETCH_S, 1)
        stats.fallbacks_per_s = round(totals.fallbacks / STRETCH_S, 1)
        stats.read_p99_ms = round(readers.service_ms.percentile(99), 3)


async def run_readers(settings: Settings, *, ready: Callable[[], None] = lambda: None) -> None:
    """Read at ``simulator.reads_per_s`` until cancelled.

    Raises `StoreError` for a store that never can be opened.
    """
    instance = f"{platform.node()[:40] or 'host'}-{os.getpid()}"
    will = Will(stats_topic(READERS_ROLE, instance), gone(READERS_ROLE, instance), 1, retain=True)
    link = MqttLink.from_settings(settings.broker, f"iotcache-readers-{instance}", will=will)
    async with DeviceCache.from_settings(settings, read_only=True, role="reader", follow=True) as cache, link:
        ready()
        try:
            await SteadyReaders(settings, cache, link, instance).run()
        finally:
            link.post(stats_topic(READERS_ROLE, instance), gone(READERS_ROLE, instance), retain=True)
