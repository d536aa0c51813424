"""The fleet's and the worker's own counters, received from the broker and compared with the store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import Self

from iotcache.config.schema import BrokerSettings
from iotcache.errors import StoreError
from iotcache.mqtt import MqttLink
from iotcache.published_stats import STATS_FILTER, FleetStats, IngestStats, decode_role, parse_topic
from iotcache.store.base import Store
from iotcache.tasks import end
from iotcache_simulator.publish.control import control_topic


class FleetStatsListener:
    """Listens while it is entered; sets the load of the fleet."""

    def __init__(self, broker: BrokerSettings, store: Store) -> None:
        self._link = MqttLink.from_settings(
            broker, f"iotcache-lab-{os.getpid()}", subscriptions=((STATS_FILTER, 0),)
        )
        self._store = store
        self._confirmed: dict[str, int] = {}
        self._dead: dict[str, int] = {}
        self._stored: int | None = None
        self._missing: int | None = None
        self._extra = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end(self._task)
        await self._link.__aexit__(None, None, None)

    async def _listen(self) -> None:
        while True:
            for message in await self._link.batch(100):
                origin = parse_topic(message.topic)
                if origin is None:
                    continue
                role, instance = origin
                stats = decode_role(role, message.payload)
                if stats is None or stats.state == "gone":
                    continue
                if isinstance(stats, FleetStats):
                    self._confirmed[instance] = stats.confirmed
                    await self._compare()
                elif isinstance(stats, IngestStats):
                    self._dead[instance] = stats.dead_letters

    async def _compare(self) -> None:
        """Just as the fleet says what was confirmed: later readings must not make up for missing ones."""
        with contextlib.suppress(StoreError):
            stored = (await self._store.counts()).readings - self._extra
            self._missing = max(0, sum(self._confirmed.values()) - stored)

    def set_load(self, factor: float) -> bool:
        """Whether the fleet could be reached."""
        payload = json.dumps({"load": factor}).encode()
        fleets = list(self._confirmed)
        return bool(fleets) and all(self._link.post(control_topic(name), payload) for name in fleets)

    def exclude(self, readings: int) -> None:
        """Leave so many readings, which somebody else put into the store, out of the count."""
        self._extra += readings

    async def figures(self) -> dict[str, float | None]:
        """``missing`` counts what is under way as well: it settles when the fleet is calm."""
        try:
            counts = await self._store.counts()
        except StoreError:
            return {"stored": None, "stored_per_s": None, "missing": None, "dead_letters": None}
        stored = counts.readings - self._extra
        growth = 0 if self._stored is None else stored - self._stored
        self._stored = stored
        return {
            "stored": float(stored),
            "stored_per_s": float(growth),
            "missing": None if self._missing is None else float(self._missing),
            "dead_letters": float(sum(self._dead.values())),
        }
