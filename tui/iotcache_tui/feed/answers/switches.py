"""Carries out the switches of the Lab on the stack that this dashboard started."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence

from iotcache.errors import UsageError
from iotcache.model import Series, StoredReading
from iotcache.mqtt import MqttLink
from iotcache.text import printable
from iotcache_simulator.publish.control import control_topic
from iotcache_tui.feed.dispatcher import RequestContext
from iotcache_tui.state.switch_requests import SlowStore, SwitchPart, TurnLoad

CONNECT_S = 5.0


async def switch(request: SwitchPart, reach: RequestContext) -> AsyncIterator[None]:
    """Raises `UsageError` for a part that is not ours."""
    service = next((one for one in reach.stack.services if one.name == request.part), None)
    if service is None:
        raise UsageError(
            f"{printable(request.part)} was not started by this dashboard: it cannot be switched"
        )
    if request.what == "kill":
        await service.kill()
    elif request.what == "pause":
        service.pause()
    elif request.what == "resume":
        service.resume()
    elif request.what == "restart":
        await service.restart()
    return
    yield


async def turn_load(request: TurnLoad, reach: RequestContext) -> AsyncIterator[None]:
    """Tell every fleet of ours that is heard of on the broker."""
    if reach.stack.simulator is None:
        raise UsageError("this dashboard started no fleet: its load cannot be turned")
    import platform

    name = f"{platform.node()[:40] or 'host'}-{reach.stack.simulator.pid}"
    async with MqttLink.from_settings(
        reach.settings.broker, f"iotcache-load-{reach.stack.simulator.pid}"
    ) as link:
        try:
            async with asyncio.timeout(CONNECT_S):
                await link.until_connected()
        except TimeoutError:
            raise UsageError("the broker does not answer: the fleet's load stays as it is") from None
        link.post(control_topic(name), json.dumps({"load": request.factor}).encode())
        await asyncio.sleep(0.1)  # QoS 0: let it leave before the connection goes
    return
    yield


class _Delayed:
    """The store's own method, later."""

    def __init__(self, real: object, delay_s: float) -> None:
        self.real = real
        self.delay_s = delay_s

    async def __call__(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        await asyncio.sleep(self.delay_s)
        found: Mapping[Series, StoredReading] = await self.real(series)  # type: ignore[operator]
        return found


async def slow_store(request: SlowStore, reach: RequestContext) -> AsyncIterator[None]:
    """Only this dashboard's own way to the store becomes longer."""
    store = reach.cache.store
    now = store.latest_many
    real = now.real if isinstance(now, _Delayed) else now
    store.latest_many = _Delayed(real, request.delay_ms / 1e3) if request.delay_ms else real  # type: ignore[method-assign,assignment]
    return
    yield
