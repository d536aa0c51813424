"""Devices out of service: their cache entries go, and go again should a read have brought them back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import StoreError
from iotcache.faults import Faults
from iotcache.model import DocumentKind, DocumentName

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache

log = logging.getLogger(__name__)

_PAGE: Final = 200
_PAUSE_S: Final = 0.05


async def retire(
    cache: DeviceCache, devices: Sequence[str], *, at_us: int | None = None, clock: Clock = SYSTEM_CLOCK
) -> int:
    """Put devices out of service as of ``at_us`` (now, if it is not given) and remove their cache entries.

    How many entries were to go. Readings stay in the store. Raises `StoreError`.
    """
    when_us = round(clock.now() * 1e6) if at_us is None else at_us
    await cache.store.documents.decommission(dict.fromkeys(devices, when_us))
    return await forget(cache, devices)


async def recommission(cache: DeviceCache, devices: Sequence[str]) -> None:
    """Put devices back into service; reads fill the cache again. Raises `StoreError`."""
    await cache.store.documents.recommission(devices)


async def forget(cache: DeviceCache, devices: Sequence[str], faults: Faults | None = None) -> int:
    """Remove what the cache holds of ``devices``, but for buckets of history, which expire by themselves.

    How many entries were to go; what a node did not let go is dirty and tried again. With ``faults``, a
    device that this fails on unforeseen is left out. Raises `StoreError`.
    """
    entries = 0

    async def forget_page(page: Sequence[str]) -> None:
        nonlocal entries
        series = [info.series for info in await cache.store.documents.sensors(page)]
        names = [DocumentName(device, kind) for device in page for kind in DocumentKind]
        await cache.invalidate(series)
        await cache.invalidate_documents(names)
        entries += len(series) + len(names)

    for first in range(0, len(devices), _PAGE):
        page = devices[first : first + _PAGE]
        if faults is None:
            await forget_page(page)
        else:
            await faults.all_or_each("forgetting a device out of service", forget_page, page)
    return entries


async def forget_retired(cache: DeviceCache, faults: Faults | None = None) -> int:
    """`forget` every device that is out of service, page by page; how many there are. Raises `StoreError`."""
    last, devices = "", 0
    while page := await cache.store.documents.decommissioned(last, _PAGE):
        last = page[-1]
        devices += len(page)
        await forget(cache, page, faults)
        await asyncio.sleep(_PAUSE_S)
    return devices


async def keep_forgetting(cache: DeviceCache, every_s: float, faults: Faults | None = None) -> None:
    """`forget_retired` every ``every_s`` seconds until cancelled; a store that is away is asked next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            devices = await forget_retired(cache, faults)
        except StoreError as error:
            log.warning("entries of devices out of service stay for now: %s", error)
        else:
            if devices:
                log.debug("removed the cache entries of %d devices out of service", devices)
