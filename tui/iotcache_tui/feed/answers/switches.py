"""Carries out the switches of the Lab on the stack that this dashboard started."""

from __future__ import annotations

import asyncio
import json

from iotcache.errors import UsageError
from iotcache.mqtt import MqttLink
from iotcache.text import printable
from iotcache_simulator.publish.control import control_topic
from iotcache_tui.feed.request_context import RequestContext
from iotcache_tui.state.requests import SlowStore, SwitchPart, TurnLoad

CONNECT_S = 5.0


async def switch(request: SwitchPart, context: RequestContext) -> None:
    """Raises `UsageError` for a part that is not ours."""
    service = next((one for one in context.stack.services if one.name == request.part), None)
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


async def turn_load(request: TurnLoad, context: RequestContext) -> None:
    """Tell every fleet of ours that is heard of on the broker."""
    if context.stack.simulator is None:
        raise UsageError("this dashboard started no fleet: its load cannot be turned")
    import platform

    name = f"{platform.node()[:40] or 'host'}-{context.stack.simulator.pid}"
    async with MqttLink.from_settings(
        context.settings.broker, f"iotcache-load-{context.stack.simulator.pid}"
    ) as link:
        try:
            async with asyncio.timeout(CONNECT_S):
                await link.until_connected()
        except TimeoutError:
            raise UsageError("the broker does not answer: the fleet's load stays as it is") from None
        link.post(control_topic(name), json.dumps({"load": request.factor}).encode())
        await asyncio.sleep(0.1)  # QoS 0: let it leave before the connection goes


async def slow_store(request: SlowStore, context: RequestContext) -> None:
    """Only this dashboard's own way to the store becomes longer."""
    context.store.delay_s = request.delay_ms / 1e3
