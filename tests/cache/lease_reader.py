"""Readers of one series, as their own process, over a store that is slow and says when it is asked.

Prints ``ready``, waits for a line, reads, prints ``asked`` for each store read and what was read as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache.model import Series, StoredReading
from iotcache.store.sqlite.store import SqliteStore

path, node, readers, takes_s = sys.argv[1:]


class SlowStore(SqliteStore):
    """Takes its time."""

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        print("asked", flush=True)
        answer = await super().latest_many(series)
        await asyncio.sleep(float(takes_s))
        return answer


async def main() -> None:
    async with (
        Cluster([parse_node(node)], operation_timeout_s=2.0) as cluster,
        SlowStore(Path(path)) as store,
        DeviceCache(cluster, store) as cache,
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        reads = await asyncio.gather(*(cache.read("dev-1", "temperature") for _ in range(int(readers))))
        counters = cache.counters()
        print(
            json.dumps(
                {
                    "values": sorted({str(read.value) for read in reads}),
                    "reasons": sorted({str(read.miss_reason) for read in reads}),
                    "latency_ms": max(read.latency_ms for read in reads),
                    "wins": counters.lease_wins,
                    "waits": counters.lease_waits,
                    "balanced": counters.reads == counters.hits + sum(counters.misses.values()),
                }
            ),
            flush=True,
        )


asyncio.run(main())
