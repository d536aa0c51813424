"""Lives of entries changed in a running stack: the worker goes on with them, and so does the dashboard."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import cast

import pytest

from iotcache.cache import DeviceCache
from iotcache.config.schema import CacheSettings, Settings, SimulatorSettings
from iotcache.errors import UsageError
from iotcache.model import Series
from iotcache.mqtt import MqttLink
from iotcache_simulator.stack.stack import Stack
from iotcache_tui.feed.answers.ttls import change
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.advisor.model import ChangeTtl

SETTINGS = Settings(simulator=SimulatorSettings(enabled=False), cache=CacheSettings(nodes="embedded:1"))
SERIES = Series("dev-1", "temperature")


def context_of(stack: Stack, cache: object, spread: list[float]) -> RequestContext:
    advisor = SimpleNamespace(set_jitter=spread.append)
    return cast(RequestContext, SimpleNamespace(stack=stack, cache=cache, advisor=advisor))


@pytest.mark.real("memcached")
async def test_a_worker_of_ours_goes_on_with_other_lives() -> None:
    async with (
        Stack(SETTINGS, simulate=False, announced=False) as stack,
        DeviceCache.from_settings(stack.settings, read_only=True, role="dashboard", follow=True) as cache,
        MqttLink.from_settings(stack.settings.broker, "change-ttl") as link,
    ):
        await link.until_connected()
        spread: list[float] = []
        context = context_of(stack, cache, spread)
        with pytest.raises(UsageError, match="out of range"):
            await change(ChangeTtl("latest", 1e9), context)
        text = await change(ChangeTtl("latest", 2.0, jitter=0.0), context)
        assert text.startswith("cache.ttl.volatile_intervals = 6, ") and text.endswith("jitter = 0")
        assert spread == [0.0]
        assert cache.ttl.volatile_intervals == 6.0
        body = json.dumps({"value": 1.5, "unit": "°C", "ts": time.time()}).encode()
        link.post("iot/site/dev-1/temperature", body)
        async with asyncio.timeout(10):
            while not (found := (await cache.ttl_many([SERIES]))[0]).present:
                await asyncio.sleep(0.02)
        assert 355 < found.ttl_s <= 360, "six times the 60 s between readings that it begins with"


async def test_lives_that_somebody_else_s_workers_give_are_not_ours_to_change() -> None:
    stack = cast(Stack, SimpleNamespace(ingest=None))
    with pytest.raises(UsageError, match="started no worker"):
        await change(ChangeTtl("latest", 2.0), context_of(stack, None, []))
