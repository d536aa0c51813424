"""A worker without a broker, and its gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from iotcache.config.schema import (
    BrokerSettings,
    CacheSettings,
    HttpSettings,
    IngestSettings,
    Settings,
    StoreSettings,
)
from iotcache.worker.gateway import Gateway
from iotcache.worker.worker import Ingest
from tests.conftest import Server, free_port
from tests.gateway.door import Door, Open


@pytest.fixture
async def door(memcached: Server, tmp_path: Path) -> AsyncIterator[Open]:
    """``await door(**http)``: a worker without a broker, and its gateway."""
    async with AsyncExitStack() as exits:

        async def opened(**http: Any) -> Door:
            settings = Settings(
                broker=BrokerSettings(url=f"mqtt://127.0.0.1:{free_port()}"),
                cache=CacheSettings(nodes=(memcached.address,)),
                store=StoreSettings(url=f"sqlite:///{tmp_path}/readings.db", busy_timeout_s=0.1),
                ingest=IngestSettings(),
            )
            worker = await exits.enter_async_context(Ingest(settings))
            async with asyncio.timeout(10):
                await worker.started.wait()
            gateway = await exits.enter_async_context(Gateway(worker, HttpSettings(**http)))
            return Door(worker, gateway)

        yield opened
