"""Runs of a fleet: one with a report at its end, and one that goes on beside the dashboard."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import blake2b
from time import time

import msgspec
from msgspec import Struct

from iotcache.clock import utc_text
from iotcache.config.schema import Settings
from iotcache.histogram import Histogram
from simulator.fleet.classes import DeviceClass, shipped_classes
from simulator.fleet.roster import Roster
from simulator.fleet.stream import VIRTUAL_EPOCH_US, Stream, Timeline
from simulator.publish.announce import Announcer, default_instance, last_will
from simulator.publish.digest import StreamDigest
from simulator.publish.publisher import Publisher
from simulator.publish.report import Duration, Percentiles, Rate, Report, broken_promises
from simulator.wire.connection import Target
from simulator.wire.uplink import Uplink


class FleetSpec(Struct, frozen=True, kw_only=True):
    """What a run of the fleet is asked to be."""

    devices: int = 100
    rate: float = 0.0
    """Messages a second of the whole fleet, in its own time; 0: each sensor at its class's interval."""
    duration_s: float | None = None
    """Seconds of the fleet's own time; ``None``: until stopped."""
    seed: int = 1
    qos: int = 1
    speed: float = 1.0
    """Seconds of the fleet's own time in a real one; `math.inf`: as fast as it goes."""
    start_us: int | None = None
    """Virtual time of the first moment, also shown in payloads. ``None``: virtual time begins at a fixed
    moment, and payloads show it moved to the present."""
    connections: int = 1
    classes: tuple[DeviceClass, ...] = ()
    connect_timeout_s: float = 10.0
    patience_s: float = 10.0
    """How long after the end the last messages and confirmations may take."""

    def timeline(self, now_us: int) -> Timeline:
        """Where the run lies in time. Times are whole milliseconds, so that what payloads show is exact."""
        end_us = None if self.duration_s is None else round(self.duration_s * 1e6)
        if self.start_us is not None:
            start = self.start_us // 1_000 * 1_000
            return Timeline(start, 0, end_us, _boot(f"{self.seed} {start}"))
        shift = now_us // 1_000 * 1_000 - VIRTUAL_EPOCH_US
        return Timeline(
            VIRTUAL_EPOCH_US, shift, end_us, _boot(f"{now_us} {os.getpid()} {secrets.token_hex(4)}")
        )


def _boot(text: str) -> str:
    return blake2b(text.encode(), digest_size=4).hexdigest()


class FleetRun:
    """One run with a beginning, an end and a report."""

    def __init__(self, spec: FleetSpec, target: Target) -> None:
        self.spec = spec
        self.roster = Roster(spec.seed, spec.devices, spec.classes or shipped_classes())
        self._target = target
        self._started_s = time()
        self._timeline = spec.timeline(int(self._started_s * 1e6))
        self._stream = Stream(self.roster, self._timeline, rate=spec.rate)
        self._digest = StreamDigest(len(self.roster))
        self._instance = default_instance()
        self.uplinks = _uplinks(target, spec, self._instance)
        self.publisher = Publisher(
            self._stream,
            self.uplinks,
            devices=len(self.roster),
            speed=spec.speed,
            digest=self._digest,
            patience_s=spec.patience_s,
        )
        self._stopped = asyncio.Event()

    @property
    def planned_messages(self) -> int | None:
        """About how many messages the whole run has; ``None`` without an end."""
        return None if self.spec.duration_s is None else round(self._stream.rate * self.spec.duration_s)

    def stop(self) -> None:
        """End the run early and cleanly."""
        self._stopped.set()
        self.publisher.stop()

    async def run(self) -> Report:
        """Connect, publish, await the confirmations, disconnect. Failures are told in the report."""
        ended_by, spec = "unreachable", self.spec
        async with AsyncExitStack() as stack:
            for uplink in self.uplinks:
                await stack.enter_async_context(uplink)
            if await connected(self.uplinks, spec.connect_timeout_s, self._stopped):
                async with announced(
                    self.publisher,
                    self.uplinks[0],
                    self._instance,
                    roster=self.roster,
                    stream=self._stream,
                    speed=spec.speed,
                ):
                    await self.publisher.run()
                ended_by = "signal" if self._stopped.is_set() else "duration"
            elif self._stopped.is_set():
                ended_by = "signal"
        return self._report(ended_by)

    def _report(self, ended_by: str) -> Report:
        spec, publisher, stream = self.spec, self.publisher, self._stream
        unpaced = spec.speed == math.inf
        elapsed_s = publisher.elapsed_s
        if ended_by == "duration" and spec.duration_s is not None and not unpaced:
            elapsed_s = max(elapsed_s, spec.duration_s / spec.speed)
        published = publisher.published
        planned = publisher.counters.planned
        target = None if unpaced else stream.rate * spec.speed
        names = [kind.name for kind in self.roster.classes]
        report = Report(
            program=f"iotcache-tui {_version()}",
            ok=False,
            failures=(),
            ended_by=ended_by,
            broker=self._target.name,
            started=utc_text(int(self._started_s * 1e3) * 1_000),
            seed=spec.seed,
            devices=len(self.roster),
            series=self.roster.series,
            classes=dict(sorted(Counter(names[kind] for kind in self.roster.kinds).items())),
            qos=spec.qos,
            connections=spec.connections,
            speed=None if unpaced else spec.speed,
            virtual_start=utc_text(self._timeline.start_us),
            boot=self._timeline.boot,
            duration_s=Duration(spec.duration_s, round(elapsed_s, 3)),
            rate=Rate(
                None if target is None else round(target, 3),
                round(published / elapsed_s, 3) if elapsed_s else 0.0,
            ),
            planned=planned,
            published=published,
            confirmed=publisher.confirmed,
            unconfirmed=published - publisher.confirmed,
            unsent=planned - published,
            refused=publisher.refused,
            resent=publisher.resent,
            late=publisher.counters.late,
            reconnects=publisher.reconnects,
            lag_ms=None if unpaced else Percentiles.of(publisher.lag_ms),
            ack_ms=Percentiles.of(_merged(self.uplinks)) if spec.qos else None,
            digest=self._digest.hexdigest() if ended_by == "duration" else None,
        )
        failures = broken_promises(report, next((u.reason for u in self.uplinks if not u.connects), ""))
        return msgspec.structs.replace(report, ok=not failures, failures=failures)


def _uplinks(target: Target, spec: FleetSpec, instance: str) -> tuple[Uplink, ...]:
    tag = secrets.token_hex(4)
    wills = [last_will(instance)] + [None] * (spec.connections - 1)
    return tuple(
        Uplink(target, f"iotcache-sim-{tag}-{n}", qos=spec.qos, will=will) for n, will in enumerate(wills)
    )


@asynccontextmanager
async def announced(
    publisher: Publisher, uplink: Uplink, instance: str, *, roster: Roster, stream: Stream, speed: float = 1.0
) -> AsyncIterator[None]:
    """Announce the publisher's counters meanwhile."""
    rate = None if speed == math.inf else round(stream.rate * speed, 3)
    announcer = Announcer(
        publisher, uplink, instance, devices=len(roster), series=roster.series, target_rate=rate
    )
    task = asyncio.create_task(announcer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def connected(uplinks: Sequence[Uplink], timeout_s: float | None, stopped: asyncio.Event) -> bool:
    """Wait until every uplink has its connection; ``False`` on time-out or stop."""

    async def all_connected() -> None:
        for uplink in uplinks:
            while not uplink.connected:
                await uplink.until_room()

    waits = [asyncio.ensure_future(all_connected()), asyncio.ensure_future(stopped.wait())]
    done, pending = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return waits[0] in done and not stopped.is_set()


async def run_fleet(
    settings: Settings, *, ready: Callable[[], None] = lambda: None, stop: asyncio.Event | None = None
) -> None:
    """Run the fleet of ``settings.simulator`` against ``settings.broker`` until ``stop`` or cancelled.

    ``ready`` is called once the broker has accepted the connection. A broker that goes away is waited
    for; memory stays bounded however long this runs.
    """
    from simulator.wire.target import target_of

    wanted = settings.simulator
    spec = FleetSpec(devices=wanted.devices, rate=wanted.rate, seed=wanted.seed, qos=wanted.qos)
    roster = Roster(spec.seed, spec.devices)
    stream = Stream(roster, spec.timeline(int(time() * 1e6)), rate=spec.rate, digest=False, greet=True)
    stop = stop or asyncio.Event()
    instance = default_instance()
    (uplink,) = _uplinks(target_of(settings.broker), spec, instance)
    async with uplink:
        if not await connected((uplink,), None, stop):
            return
        ready()
        publisher = Publisher(stream, (uplink,), devices=len(roster))
        async with announced(publisher, uplink, instance, roster=roster, stream=stream):
            work = asyncio.create_task(publisher.run())
            asking = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((work, asking), return_when=asyncio.FIRST_COMPLETED)
            finally:
                asking.cancel()
                publisher.stop()
                await work


def _merged(uplinks: Sequence[Uplink]) -> Histogram:
    return Histogram().merge(uplink.ack_ms for uplink in uplinks)


def _version() -> str:
    from importlib.metadata import version

    return version("iotcache-tui")
