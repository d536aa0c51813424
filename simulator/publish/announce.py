"""The fleet's counters, once a second on ``iotcache/stats/simulator/{instance}``, for any dashboard."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import msgspec
from msgspec import Struct

from simulator.publish.publisher import Publisher
from simulator.wire.packets import Will
from simulator.wire.uplink import Uplink

EVERY_S = 1.0
_GONE = b'{"state":"gone"}'


class FleetCounters(Struct, frozen=True, kw_only=True):
    """One announcement. Counts are since ``started``; lags are milliseconds."""

    role: str = "simulator"
    instance: str
    state: str = "up"
    pid: int
    version: str
    started: float
    """Seconds since the Unix epoch."""
    devices: int
    series: int
    target_rate: float | None
    """Messages a second; ``None`` for as fast as it goes."""
    rate: float
    """Messages a second since the last announcement."""
    planned: int
    published: int
    confirmed: int
    unconfirmed: int
    late: int
    skipped: int
    reconnects: int
    lag_p50_ms: float
    lag_p99_ms: float


def default_instance() -> str:
    """This process's name among the simulators of a broker: ``host-pid``."""
    host = re.sub(r"[^A-Za-z0-9_.-]+", "-", socket.gethostname()) or "host"
    return f"{host[:40]}-{os.getpid()}"


def stats_topic(instance: str) -> str:
    return f"iotcache/stats/simulator/{instance}"


def last_will(instance: str) -> Will:
    """What the broker says for us when we vanish."""
    return Will(stats_topic(instance), _GONE, 1, retain=True)


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
        self._started = time.time()
        self._version = version("iotcache-tui")
        self._last = (time.monotonic(), 0)

    async def run(self) -> None:
        """Announce until cancelled; then say that the fleet is gone, and leave no retained message."""
        topic = stats_topic(self._instance)
        try:
            while True:
                self._uplink.announce(topic, msgspec.json.encode(self._counters()))
                await asyncio.sleep(EVERY_S)
        finally:
            self._uplink.announce(topic, _GONE, retain=False)
            self._uplink.announce(topic, b"")

    def _counters(self) -> FleetCounters:
        publisher, now_s = self._publisher, time.monotonic()
        published, confirmed = publisher.published, publisher.confirmed
        then_s, before = self._last
        self._last = (now_s, published)
        return FleetCounters(
            instance=self._instance,
            pid=os.getpid(),
            version=self._version,
            started=round(self._started, 3),
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
    task = asyncio.create_task(announcer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
