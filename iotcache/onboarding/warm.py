"""Filling the cache from the store: in bounded batches, at a bounded pace, with its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.cache.fill_result import FillResult
from iotcache.model import DocumentName, Series

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.store.base import Store

BATCH: Final = 500
_PAGE: Final = 5_000

Entry = Series | DocumentName
"""What an entry is made for: the newest reading of a series, or a document."""


class WarmProgress(Struct, frozen=True):
    """How far `warm` is."""

    done: int
    filled: FillResult


async def warm(
    cache: DeviceCache,
    entries: Iterable[Entry] | AsyncIterable[Entry],
    *,
    batch: int = BATCH,
    per_s: float = 0.0,
) -> AsyncIterator[WarmProgress]:
    """Add to the cache whatever of ``entries`` is not there, and say after each batch how far it is.

    What is there stays, so it may run beside writers at any time. ``per_s`` > 0 bounds the entries looked at
    in a second. Raises `StoreError`, after which what was filled stays filled.
    """
    loop = asyncio.get_running_loop()
    began_s, done, total = loop.time(), 0, FillResult()
    async for entries_of_batch in _batches(entries, max(1, batch)):
        total += await fill(cache, entries_of_batch)
        done += len(entries_of_batch)
        yield WarmProgress(done, total)
        if per_s > 0:
            await asyncio.sleep(max(0.0, began_s + done / per_s - loop.time()))


async def fill(cache: DeviceCache, entries: Iterable[Entry]) -> FillResult:
    """One batch of `warm`. Raises `StoreError`."""
    series: list[Series] = []
    documents: list[DocumentName] = []
    for entry in entries:
        if isinstance(entry, Series):
            series.append(entry)
        else:
            documents.append(entry)
    total = FillResult()
    if series:
        total += await cache.fill(series)
    if documents:
        total += await cache.fill_documents(documents)
    return total


async def fleet_entries(store: Store, site: str = "") -> AsyncIterator[Entry]:
    """Every series that the store knows, then every document; of one ``site`` when it is named.

    A document belongs to the sites of its device's series. Raises `StoreError`.
    """
    above, devices = 0, set[str]()
    while page := await store.directory(above, _PAGE):
        above = page[-1].order
        for info in page:
            if not site or info.site == site:
                if site:
                    devices.add(info.series.device)
                yield info.series
    last: DocumentName | None = None
    while names := await store.documents.names(last, _PAGE):
        last = names[-1]
        for name in names:
            if not site or name.device in devices:
                yield name


async def _batches(entries: Iterable[Entry] | AsyncIterable[Entry], size: int) -> AsyncIterator[list[Entry]]:
    batch: list[Entry] = []
    if isinstance(entries, AsyncIterable):
        async for entry in entries:
            batch.append(entry)
            if len(batch) == size:
                yield batch
                batch = []
    else:
        for entry in entries:
            batch.append(entry)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch
