"""A worker's cache and store: opened however long that takes, and what a restart takes over from them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from iotcache.backoff import Backoff
from iotcache.errors import StoreError
from iotcache.faults import Faults
from iotcache.ingest.commit import RETRY_MAX_S, RETRY_MIN_S
from iotcache.ingest.pipeline import Pipeline
from iotcache.model import Event, Severity
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.config.schema import Settings
    from iotcache.store.base import SeriesInfo

log = logging.getLogger(__name__)

_DIRECTORY_PAGE: Final = 5_000


async def open_cache(
    settings: Settings, exits: AsyncExitStack, on_waiting: Callable[[str], None], *, follow: bool = False
) -> DeviceCache:
    """The cache over a store that can be written; ``exits`` closes it.

    ``follow``: it uses the ring that the nodes have announced, whatever its own list; else another ring than
    its list raises `RingMismatch`.
    ``on_waiting`` is called with why it cannot be opened yet, and with "" once it is. Raises `StoreError` for
    a store that never can be.
    """
    from iotcache.cache import DeviceCache

    cache: DeviceCache | None = None
    backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S)
    while True:
        try:
            if cache is None:
                opened = DeviceCache.from_settings(settings, on_event=_log_node, role="ingest", follow=follow)
                cache = await exits.enter_async_context(opened)
            await cache.store.commit((), ())  # opening alone may succeed on a store that cannot be written
        except StoreError as error:
            if not error.retryable:
                raise
            on_waiting(printable(str(error)))
        else:
            on_waiting("")
            return cache
        await backoff.wait()


async def recall_intervals(cache: DeviceCache, pipeline: Pipeline, faults: Faults) -> None:
    """Take over what the store knows of the series' intervals, so that a restart forgets no TTL."""
    above = 0

    async def recall(page: Sequence[SeriesInfo]) -> None:
        pipeline.intervals.recall((info.series, info.interval_s) for info in page)

    with contextlib.suppress(StoreError):
        while page := await cache.store.directory(above, _DIRECTORY_PAGE):
            await faults.all_or_each("reading the intervals", recall, page)
            above = page[-1].order
            await asyncio.sleep(0.05)


def _log_node(event: Event) -> None:
    level = logging.INFO if event.severity is Severity.INFO else logging.WARNING
    log.log(level, "%s" if event.kind == "ring_change" else "cache node %s", event.text)
