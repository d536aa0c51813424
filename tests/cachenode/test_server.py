"""What the server shell must not do: keep what a closed connection had."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from iotcache.clock import ManualClock
from iotcache_simulator.cachenode import server
from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol.engine import Session


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cycle collector is off, as in the node's process."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _alive() -> int:
    return sum(isinstance(found, server.ClientConnection | Session) for found in gc.get_objects())


async def test_closed_connections_leave_nothing_behind(no_collector: None) -> None:
    node = BundledNode(ManualClock().now)
    listening = await server.listen(node, "127.0.0.1", 0)
    before = _alive()
    for ending in (
        b"quit\r\n",
        b"x" * 3000,
        b"set k 0 0 100\r\n",
        b"version\r\n" * 3000 + b"quit\r\n",
        b"GET / HTTP/1.1\r\n",
    ):
        for _ in range(5):
            reader, writer = await asyncio.open_connection(*node.listening)
            writer.write(b"ms k 3\r\nabc\r\nmg k v\r\n" + ending)
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
    async with asyncio.timeout(5):
        while node.connections:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert _alive() <= before + 1  # the last one may still be in the loop's hands
    assert node.counters.total_connections == 25
    listening.close()


async def test_the_crawler_reclaims_what_nobody_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CRAWL_EVERY_S", 0.0)
    monkeypatch.setattr(server, "_CRAWL_STEP_S", 0.0)
    clock = ManualClock()
    node = BundledNode(clock.now)
    session = Session(node)
    session.feed(
        b"".join(b"ms k%d 1 T%d q\r\nv\r\n" % (number, 5 + number % 2 * 500) for number in range(2000))
    )
    crawler = asyncio.create_task(server.crawl(node))
    clock.advance(60)
    async with asyncio.timeout(5):
        while len(node.items) > 1000:
            await asyncio.sleep(0)
    crawler.cancel()
    assert session.feed(b"mg k1 t\r\nmg k0\r\n") == b"HD t445\r\nEN\r\n"


async def test_everything_is_looked_through_only_after_very_many_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = BundledNode(ManualClock().now)
    looks: list[int] = []
    monkeypatch.setattr(server, "_COLLECT_EVERY_S", 0.0)
    monkeypatch.setattr(gc, "collect", lambda: looks.append(node.connections_ended))
    threshold = gc.get_threshold()
    chore = asyncio.create_task(server.collect_cycles(node))
    try:
        for ended in (0, 9_999, 10_000, 10_001, 20_000):
            node.connections_ended = ended
            await asyncio.sleep(0.001)
    finally:
        chore.cancel()
        gc.set_threshold(*threshold)
    assert looks == [10_000, 20_000]
