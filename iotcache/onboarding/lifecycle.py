"""Device messages (births, configurations, retirements): stored before they are acknowledged, then cached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from iotcache.config.schema import OnboardingSettings
from iotcache.faults import Faults
from iotcache.model import (
    CommittedBatch,
    DeviceMessage,
    DeviceRetired,
    Document,
    DocumentKind,
    LifecycleResult,
)
from iotcache.onboarding.retire import forget, keep_forgetting
from iotcache.onboarding.warm_queue import WarmQueue

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache

log = logging.getLogger(__name__)


class DeviceLifecycle:
    """Stores device messages, and follows the committed batches to warm the cache for new devices."""

    def __init__(
        self, cache: DeviceCache, settings: OnboardingSettings, *, faults: Faults | None = None
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._faults = faults or Faults()
        self._warm_queue = WarmQueue(cache, self._faults, bound=settings.queue, per_s=settings.warm_per_s)
        self.counts = self._warm_queue.counts
        self.documents = 0
        """Documents that were the store's newest version after their message."""
        self.outdated = 0
        """Documents of a version that was not above the stored one."""

    async def run(self) -> None:
        """Work in the background until cancelled."""
        forgetting = partial(keep_forgetting, self._cache, self._settings.forget_every_s, self._faults)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._faults.keep_running("warming the cache", self._warm_queue.run))
            tasks.create_task(self._faults.keep_running("forgetting devices out of service", forgetting))

    async def store(self, messages: Sequence[DeviceMessage]) -> LifecycleResult:
        """Make messages durable, in their order as far as it matters. Raises `StoreError`."""
        documents = self._cache.store.documents
        received = [message for message in messages if isinstance(message, Document)]
        retired = {
            message.device: message.at_us for message in messages if isinstance(message, DeviceRetired)
        }
        newest = await documents.upsert(received) if received else ()
        if retired:
            await documents.decommission(retired)
        self.documents += len(newest)
        self.outdated += len(
            {document.name for document in received} - {document.name for document in newest}
        )
        return LifecycleResult(
            [document for document in newest if document.device not in retired], list(retired)
        )

    async def tell_cache(self, result: LifecycleResult) -> None:
        """Bring the cache to what the store has; what a node does not accept is dirty, and tried again.

        Raises `StoreError` when the sensors of a retired device cannot be looked up; `keep_forgetting` does
        that later.
        """
        if result.standing:
            await self._cache.put_documents(result.standing)
            self._warm_queue.add(
                {document.device for document in result.standing if document.kind is DocumentKind.META}
            )
        if result.ended:
            log.info("%d devices were put out of service", len(result.ended))
            await forget(self._cache, result.ended, self._faults)

    def follow(self, batch: CommittedBatch) -> None:
        """Queue the devices of a commit that were not seen since the start."""
        if self._settings.warm:
            self._warm_queue.add_new({stored.reading.device for stored in batch.newest})

    def missed(self, batches: int) -> None:
        """Nothing is lost by it: a device is seen in one of its next readings."""
