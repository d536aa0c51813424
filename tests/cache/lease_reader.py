"""Readers of one entry, as their own process, over a store that is slow and says when it is asked.

Prints ``ready``, waits for a line, reads, prints ``asked`` for each store read and what was read as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache.model import AggregateRead, Document, DocumentName, DocumentRead, Read, Series, StoredReading
from iotcache.store.base import SERIES_PAGE, WindowPage
from iotcache.store.sqlite.store import SqliteStore

path, node, readers, delay_s, kind = sys.argv[1:]


async def slowly() -> None:
    """Say that the store is asked, and take time for it."""
    print("asked", flush=True)
    await asyncio.sleep(float(delay_s))


class SlowStore(SqliteStore):
    """Takes its time. What it answers is read before the delay, as by a database that sends slowly."""

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        answer = await super().latest_many(series)
        await slowly()
        return answer

    async def window(
        self,
        site: str,
        sensor: str,
        since_us: int,
        until_us: int,
        above: int = 0,
        *,
        series_limit: int = SERIES_PAGE,
    ) -> WindowPage:
        answer = await super().window(site, sensor, since_us, until_us, above, series_limit=series_limit)
        await slowly()
        return answer


def slow_documents(store: SqliteStore) -> None:
    documents: Any = store.documents
    find = documents.find

    async def slow_find(names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        answer: Mapping[DocumentName, Document] = await find(names)
        await slowly()
        return answer

    documents.find = slow_find


async def read(cache: DeviceCache) -> tuple[Any, Read | DocumentRead | AggregateRead]:
    """What was read, in short and whole."""
    match kind:
        case "latest":
            reading = await cache.read("dev-1", "temperature")
            return reading.value, reading
        case "cfg":
            document = await cache.config("dev-1")
            return document.version, document
        case "aggregate":
            aggregate = await cache.aggregate("north", "temperature")
            return aggregate.last and aggregate.last.count, aggregate
    raise ValueError(kind)


async def main() -> None:
    async with (
        Cluster([parse_node(node)], operation_timeout_s=2.0) as cluster,
        SlowStore(Path(path)) as store,
        DeviceCache(cluster, store) as cache,
    ):
        slow_documents(store)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        reads = await asyncio.gather(*(read(cache) for _ in range(int(readers))))
        counters = cache.counters()
        print(
            json.dumps(
                {
                    "values": sorted({str(value) for value, _ in reads}),
                    "reasons": sorted({str(answer.miss_reason) for _, answer in reads}),
                    "wins": counters.lease_wins,
                    "waits": counters.lease_waits,
                    "balanced": counters.reads == counters.hits + sum(counters.misses.values()),
                }
            ),
            flush=True,
        )


asyncio.run(main())
