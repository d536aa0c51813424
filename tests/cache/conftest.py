"""A device cache over real memcached nodes and a SQLite file."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster
from iotcache.config.urls import parse_node
from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from tests.conftest import Server

Open = Callable[..., Any]


class ObservedStore(SqliteStore):
    """A store file that counts the reads of readings, and can be held up or made to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = 0
        """Calls of `latest_many`."""
        self.away = False
        """Whether it fails."""
        self.has_read = asyncio.Event()
        """An answer is ready, and held up or handed out."""
        self.go_on = asyncio.Event()
        self.go_on.set()

    def hold(self) -> None:
        """Keep answers back until `go_on` is set."""
        self.has_read.clear()
        self.go_on.clear()

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        self.asked += 1
        if self.away:
            raise StoreError("the store is away")
        answer = await super().latest_many(series)
        self.has_read.set()
        await self.go_on.wait()
        return answer


@pytest.fixture
async def open_cache(tmp_path: Path) -> AsyncIterator[Open]:
    """``await open_cache(nodes, **options)``: a cache as a fresh process would have it, on one store file."""
    async with AsyncExitStack() as exits:

        async def opener(nodes: list[Server], *, timeout_s: float = 0.25, **options: Any) -> DeviceCache:
            cluster = await exits.enter_async_context(
                Cluster([parse_node(node.address) for node in nodes], operation_timeout_s=timeout_s)
            )
            store = await exits.enter_async_context(ObservedStore(tmp_path / "readings.db"))
            return await exits.enter_async_context(DeviceCache(cluster, store, rng=Random(1), **options))

        yield opener


def stored(cache: DeviceCache, value: Any = 21.5, *, ts_us: int | None = None, **more: Any) -> StoredReading:
    """A reading taken now, as an ingest worker makes it."""
    now_us = round(cache.clock.now() * 1e6)
    fields = {"device": "dev-1", "sensor": "temperature", "unit": "°C", "interval_s": 20.0, **more}
    reading = Reading(value=value, ts_us=now_us if ts_us is None else ts_us, received_us=now_us, **fields)
    return StoredReading(reading, cache.plan_ttl(reading))


async def ingest(cache: DeviceCache, *readings: StoredReading) -> None:
    """Commit, then write through, as a worker does."""
    done = await cache.store.commit(readings)
    outcomes = await cache.write_through(done.newest)
    assert all(outcome.ok for outcome in outcomes), outcomes


def talk(node: Server, line: bytes, end: bytes = b"\r\n") -> bytes:
    """One command by hand, as with telnet."""
    with socket.create_connection(("127.0.0.1", node.port), 2) as link:
        link.sendall(line + b"\r\n")
        answer = b""
        while not answer.endswith(end):
            part = link.recv(65536)
            if not part:
                break
            answer += part
        return answer
