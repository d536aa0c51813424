"""The ingest worker's side of it: what devices say is stored before it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iotcache.config.schema import OnboardingSettings
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
    """Keeps what devices say, and follows the committed batches to welcome those not seen before."""

    def __init__(self, cache: DeviceCache, settings: OnboardingSettings) -> None:
        self._cache = cache
        self._settings = settings
        self._newcomers = WarmQueue(cache, bound=settings.queue, per_s=settings.warm_per_s)
        self.counts = self._newcomers.counts
        self.documents = 0
        """Documents that stood in the store after they were said."""
        self.outdated = 0
        """Documents of a version that was not above the standing one."""

    async def run(self) -> None:
        """Work in the background until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._newcomers.run())
            tasks.create_task(keep_forgetting(self._cache, self._settings.forget_every_s))

    async def store(self, said: Sequence[DeviceMessage]) -> LifecycleResult:
        """Make what was said durable, in its order as far as it matters. Raises `StoreError`."""
        documents = self._cache.store.documents
        given = [one for one in said if isinstance(one, Document)]
        ends = {one.device: one.at_us for one in said if isinstance(one, DeviceRetired)}
        standing = await documents.keep(given) if given else ()
        if ends:
            await documents.decommission(ends)
        self.documents += len(standing)
        self.outdated += len({one.name for one in given} - {one.name for one in standing})
        return LifecycleResult([one for one in standing if one.device not in ends], list(ends))

    async def tell_cache(self, heard: LifecycleResult) -> None:
        """Bring the cache to what the store has; what a node does not take is dirty, and tried again.

        Raises `StoreError` when the sensors of a device that ended cannot be looked up; those who keep
        forgetting do that later.
        """
        if heard.standing:
            await self._cache.put_documents(heard.standing)
            self._newcomers.add({one.device for one in heard.standing if one.kind is DocumentKind.META})
        if heard.ended:
            log.info("%d devices were put out of service", len(heard.ended))
            await forget(self._cache, heard.ended)

    def follow(self, batch: CommittedBatch) -> None:
        """Hear of a commit: devices not seen since the start get a warm cache."""
        if self._settings.warm:
            self._newcomers.saw({stored.reading.device for stored in batch.newest})

    def missed(self, batches: int) -> None:
        """Nothing is lost by it: a device is seen in one of its next readings."""
