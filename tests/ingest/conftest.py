"""Brokers, workers and publishers for the ingest tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pymemcache import Client

from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    IngestSettings,
    Settings,
    StoreSettings,
)
from iotcache.config.urls import BrokerAddress
from iotcache.mqtt import MqttLink
from iotcache.worker.worker import Ingest
from iotcache_simulator.stack.broker import EmbeddedBroker
from tests.conftest import Server, free_port


@pytest.fixture
def iotcore_port() -> Iterator[int]:
    """The port of an embedded broker (rumqttd)."""
    import iotcore

    port = free_port()
    with iotcore.Broker(port=port, listen="127.0.0.1"):
        yield port


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.real("mosquitto")), "iotcore"])
def broker_port(request: pytest.FixtureRequest) -> int:
    """The port of a real broker, of each kind."""
    if request.param == "mosquitto":
        return int(request.getfixturevalue("mosquitto").port)
    return int(request.getfixturevalue("iotcore_port"))


@pytest.fixture(
    params=[
        pytest.param(("mosquitto", "3.1.1"), marks=pytest.mark.real("mosquitto")),
        pytest.param(("mosquitto", "5"), marks=pytest.mark.real("mosquitto")),
        ("embedded", "3.1.1"),
        ("embedded", "5"),
    ],
    ids=" ".join,
)
async def spoken(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[int, str]]:
    """The port of a real broker and the version of MQTT it speaks there, each of both."""
    kind, version = request.param
    if kind == "mosquitto":
        yield request.getfixturevalue("mosquitto").port, version
        return
    embedded = EmbeddedBroker(tmp_path)
    process = await embedded.launch(lambda ended: None)
    try:
        yield int(embedded.url(version).rpartition(":")[2]), version
    finally:
        await process.stop(0.5)
        embedded.release()


Link = Callable[..., MqttLink]


@pytest.fixture
async def link() -> AsyncIterator[Callable[..., Any]]:
    """``await link(port, client_id, **options)``: a connected link."""
    async with AsyncExitStack() as exits:

        async def connect(port: int, client_id: str, **options: Any) -> MqttLink:
            made = await exits.enter_async_context(
                MqttLink(BrokerAddress("127.0.0.1", port), client_id, **options)
            )
            async with asyncio.timeout(10):
                await made.until_connected()
            return made

        yield connect


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[..., Settings]:
    """``settings_for(port, nodes, **ingest)``: settings of a worker over real servers."""

    def make(port: int, nodes: list[Server], *, protocol: str = "3.1.1", **ingest: Any) -> Settings:
        return Settings(
            broker=BrokerSettings(url=f"mqtt://127.0.0.1:{port}", protocol=protocol),  # type: ignore[arg-type]
            cache=CacheSettings(nodes=tuple(node.address for node in nodes), operation_timeout_s=0.25),
            store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db", busy_timeout_s=0.2),
            ingest=IngestSettings(**ingest),
        )

    return make


@pytest.fixture
async def worker() -> AsyncIterator[Callable[..., Any]]:
    """``await worker(settings, **options)``: a worker that is ready; ``wait=False``: one that need not be."""
    async with AsyncExitStack() as exits:

        async def start(settings: Settings, *, wait: bool = True, **options: Any) -> Ingest:
            made = await exits.enter_async_context(Ingest(settings, **options))
            if wait:
                async with asyncio.timeout(10):
                    await made.ready()
            return made

        yield start


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return once ``condition`` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def cached(node: Server, key: str) -> Any:
    """What an ordinary memcached client finds under ``key``, as JSON."""
    import json

    with contextlib.closing(Client(("127.0.0.1", node.port), timeout=2)) as client:
        raw = client.get(key)
    return None if raw is None else json.loads(raw)


def broker(settings: Settings, port: int) -> Settings:
    """The same settings with another broker."""
    return replace(settings, broker=replace(settings.broker, url=f"mqtt://127.0.0.1:{port}"))
