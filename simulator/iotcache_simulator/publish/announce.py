"""The fleet's counters, once a second on ``iotcache/stats/simulator/{instance}``, for any dashboard."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from iotcache.mqtt.codec import Will
from iotcache.published_stats import SIMULATOR_ROLE, FleetStats, encode, gone, stats_topic
from iotcache.tasks import beside
from iotcache_simulator.publish.publisher import Publisher
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.uplink import Uplink

EVERY_S = 1.0


def default_instance() -> str:
    """This process's name among the simulators of a broker: ``host-pid``."""
    return f"{platform.node()[:40] or 'host'}-{os.getpid()}"


def last_will(instance: str) -> Will:
    """What the broker says for us when we vanish."""
    return Will(stats_topic(SIMULATOR_ROLE, instance), gone(SIMULATOR_ROLE, instance), 1, retain=True)


def stats_uplink(target: BrokerTarget, instance: str) -> Uplink:
    """A connection for the counters alone: a broker that keeps nothing retained, takes no QoS 1 or does not
    allow their topic refuses this one, and not the fleet's."""
    return Uplink(target, f"iotcache-stats-{secrets.token_hex(4)}", qos=0, will=last_will(instance))


class Announcer:
    """Tells the counters of one publisher by one uplink, which carries `last_will`."""

    def __init__(
        self, publisher: Publisher, uplink: Uplink, instance: str, *, devices: int, series: int,
        target_rate: float | None,
    ) -> None:  # fmt: skip
        self._publisher = publisher
        self._uplink = uplink
        self._instance = instance
        self._devices = devices
        self._series = series
        self._target_rate = target_rate
        self._started_us = time.time_ns() // 1_000
        self._version = version("iotcache-tui")
        self._last = (time.monotonic(), 0)

    async def run(self) -> None:
        """Announce until cancelled; then say that the fleet is gone, and leave no retained message."""
        topic = stats_topic(SIMULATOR_ROLE, self._instance)
        try:
            while True:
                self._uplink.announce(topic, encode(self._stats()))
                await asyncio.sleep(EVERY_S)
        finally:
            self._uplink.announce(topic, gone(SIMULATOR_ROLE, self._instance), retain=False)
            self._uplink.announce(topic, b"")

    def _stats(self) -> FleetStats:
        publisher, now_s = self._publisher, time.monotonic()
        published, confirmed = publisher.published, publisher.confirmed
        then_s, before = self._last
        self._last = (now_s, published)
        return FleetStats(
            role=SIMULATOR_ROLE,
            instance=self._instance,
            pid=os.getpid(),
            version=self._version,
            host=platform.node(),
            started_us=self._started_us,
            at_us=time.time_ns() // 1_000,
            devices=self._devices,
            series=self._series,
            target_rate=self._target_rate,
            rate=round((published - before) / max(now_s - then_s, 1e-3), 1),
            planned=publisher.counters.planned,
            published=published,
            confirmed=confirmed,
            unconfirmed=published - confirmed,
            late=publisher.counters.late,
            skipped=publisher.counters.skipped,
            reconnects=publisher.reconnects,
            lag_p50_ms=round(publisher.lag_ms.percentile(50), 3),
            lag_p99_ms=round(publisher.lag_ms.percentile(99), 3),
        )


@asynccontextmanager
async def announced(
    publisher: Publisher,
    uplink: Uplink,
    instance: str,
    *,
    devices: int,
    series: int,
    target_rate: float | None,
) -> AsyncIterator[None]:
    """Announce the publisher's counters meanwhile."""
    announcer = Announcer(
        publisher, uplink, instance, devices=devices, series=series, target_rate=target_rate
    )
    async with beside(announcer.run()):
        yield
