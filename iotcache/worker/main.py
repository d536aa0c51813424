"""An ingest process: a worker, its gateway where one is wanted, and its end."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from iotcache.config.parts import absent_parts
from iotcache.errors import ConfigError
from iotcache.nodelist.opening import until_listed
from iotcache.worker.instance import own_name
from iotcache.worker.worker import Ingest

if TYPE_CHECKING:
    from iotcache.config.schema import Settings


class Ready(Protocol):
    """Called once, when the worker is subscribed and its store is open."""

    def __call__(self, http: str | None = None) -> None: ...


async def run_ingest(
    settings: Settings,
    *,
    ready: Ready = lambda http=None: None,
    instance: str = "",
    stop_after_idle_s: float = 0.0,
    follow: bool = False,
) -> None:
    """Work until cancelled (or idle for ``stop_after_idle_s`` when that is set), then leave in good order.

    ``ready`` is called once, with the gateway's URL if there is one. ``follow``: ``cache.nodes`` says only
    where to look for the ring, as where it names a place that keeps the list. Raises `ConfigError` for
    settings that cannot be used, `RingMismatch` where the nodes have announced another ring, and `StoreError`
    for a store that never can be.
    """
    for key, value in (("broker.url", settings.broker.url), ("store.url", settings.store.url)):
        if value == "embedded":
            raise ConfigError(f'{key} is "embedded", which has an address only while a stack runs')
    for key in absent_parts(settings):
        raise ConfigError(f'{key} is "none": a worker needs broker, nodes and store')
    async with AsyncExitStack() as exits:
        instance = instance or exits.enter_context(own_name(settings.ingest.group))
        settings, node_list = await until_listed(settings)
        worker = await exits.enter_async_context(
            Ingest(settings, instance=instance, node_list=node_list, follow=follow)
        )
        http: str | None = None
        if settings.http.enabled is True:
            from iotcache.worker.gateway import Gateway

            gateway = await exits.enter_async_context(Gateway(worker, settings.http))
            http = gateway.url
        await worker.ready()
        ready(http=http)
        if stop_after_idle_s > 0:
            await _until_idle(worker, stop_after_idle_s)
        else:
            await worker.run()


async def _until_idle(worker: Ingest, idle_s: float) -> None:
    seen, since_s = -1, time.monotonic()
    while time.monotonic() - since_s < idle_s:
        if worker.counters.received != seen:
            seen, since_s = worker.counters.received, time.monotonic()
        await asyncio.sleep(min(0.05, idle_s / 4))
