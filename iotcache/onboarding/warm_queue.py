"""Warming the cache for devices that are new or were just born: in the background, from a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.errors import IotCacheError
from iotcache.faults import Faults
from iotcache.model import DocumentKind, DocumentName
from iotcache.onboarding.warm import Entry, fill

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache

log = logging.getLogger(__name__)

BATCH_DEVICES: Final = 100
SETTLE_S: Final = 0.2
"""A new device mostly sends more readings at once; their entries then need no filling."""
RETRY_S: Final = 2.0
_SEEN_LIMIT: Final = 500_000
_STAGE: Final = "warming the cache for devices"


class OnboardingCounts(Struct):
    """Devices since the start."""

    warmed: int = 0
    waiting: int = 0
    skipped: int = 0
    """For want of room in the queue: their first reads fall through to the store."""
    failed: int = 0
    """Left out, as warming failed on them."""
    entries: int = 0
    """Entries added to the cache for them."""


class WarmQueue:
    """A queue of devices and the task (`run`) that warms the cache for them."""

    def __init__(self, cache: DeviceCache, faults: Faults, *, bound: int, per_s: float) -> None:
        """At most ``bound`` devices wait, and ``per_s`` entries are looked at in a second."""
        self._cache = cache
        self._faults = faults
        self._bound = bound
        self._per_s = per_s
        self._seen: set[str] = set()
        self._waiting: dict[str, None] = {}
        self._not_empty = asyncio.Event()
        self._examined = 0
        """Entries looked at for the devices in hand."""
        self.counts = OnboardingCounts()

    def add_new(self, devices: Iterable[str]) -> None:
        """Warm the cache for those devices that were not seen since the start."""
        new = set(devices) - self._seen
        if new:
            if len(self._seen) + len(new) > _SEEN_LIMIT:
                self._seen.clear()
            self._seen |= new
            self.add(new)

    def add(self, devices: Iterable[str]) -> None:
        """Warm the cache for these, seen before or not."""
        for device in devices:
            if device in self._waiting:
                continue
            if len(self._waiting) >= self._bound:
                self.counts.skipped += 1
                continue
            self._waiting[device] = None
        self.counts.waiting = len(self._waiting)
        if self._waiting:
            self._not_empty.set()

    async def run(self) -> None:
        """Work until cancelled; a store that is away is tried again."""
        while True:
            await self._not_empty.wait()
            await asyncio.sleep(SETTLE_S)
            while self._waiting:
                devices = list(islice(self._waiting, BATCH_DEVICES))
                self._examined = 0
                try:
                    failed = await self._faults.all_or_each(_STAGE, self._warm, devices)
                except IotCacheError as error:
                    log.debug("%d devices wait for a warm cache: %s", len(self._waiting), error)
                    await asyncio.sleep(RETRY_S)
                    continue
                for device in devices:
                    self._waiting.pop(device, None)
                self.counts.warmed += len(devices) - len(failed)
                self.counts.failed += len(failed)
                self.counts.waiting = len(self._waiting)
                await asyncio.sleep(self._examined / self._per_s)
            self._not_empty.clear()

    async def _warm(self, devices: list[str]) -> None:
        entries: list[Entry] = [info.series for info in await self._cache.store.documents.sensors(devices)]
        entries += [DocumentName(device, kind) for device in devices for kind in DocumentKind]
        done = await fill(self._cache, entries)
        self.counts.entries += done.added
        self._examined += len(entries)
