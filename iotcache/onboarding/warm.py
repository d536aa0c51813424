"""Filling the cache from the store: in bounded batches, at a bounded pace, telling how far it is."""

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


class Warmed(Struct, frozen=True):
    """How far it is."""

    done: int
    filled: FillResult


async def warm(
    cache: DeviceCache,
    entries: Iterable[Entry] | AsyncIterable[Entry],
    *,
    batch: int = BATCH,
    per_s: float = 0.0,
) -> AsyncIterator[Warmed]:
    """Add to the cache whatever of ``entries`` is not there, and tell after each batch how far it is.

    What is there stays, so it may run beside writers at any time. ``per_s`` > 0 bounds the entries looked at
    in a second. Raises `StoreError`, after which what was filled stays filled.
    """
    loop = asyncio.get_running_loop()
    began_s, done, total = loop.time(), 0, FillResult()
    async for some in _batches(entries, max(1, batch)):
        total += await fill(cache, some)
        done += len(some)
        yield Warmed(done, total)
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
    some: list[Entry] = []
    if isinstance(entries, AsyncIterable):
        async for entry in entries:
            some.append(entry)
            if len(some) == size:
                yield some
                some = []
    else:
        for entry in entries:
            some.append(entry)
            if len(some) == size:
                yield some
                some = []
    if some:
        yield some
