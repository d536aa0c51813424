"""Runs of a fleet: one with a report at its end, and one that goes on beside the dashboard."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from importlib.metadata import version
from time import monotonic, time
from typing import Protocol

import msgspec

from iotcache.clock import utc_text
from iotcache.config.schema import BrokerSettings, Settings
from iotcache_simulator.faults.demo_dropouts import dropouts
from iotcache_simulator.faults.live import Journal
from iotcache_simulator.faults.stream import FaultyStream
from iotcache_simulator.fleet.load import LiveLoad
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS, Timeline
from iotcache_simulator.publish.announce import announced, default_instance, stats_uplink
from iotcache_simulator.publish.control import controlled
from iotcache_simulator.publish.lifecycle import DeviceLifecycles
from iotcache_simulator.publish.partition import FleetPartition, PublishTotals, connected, uplinks
from iotcache_simulator.publish.plan.digest import combined
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.publisher import Publisher
from iotcache_simulator.report.figures import Duration, Percentiles, Rate
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.target import target_of


class RunProgress(msgspec.Struct, frozen=True):
    """How far a run is, for a person."""

    at_s: float = 0.0
    """Seconds of the fleet's time."""
    published: int = 0
    confirmed: int = 0
    rate: float = 0.0
    waiting: str = ""
    """Why nothing can be sent just now."""


OnBegin = Callable[[Timeline, float], None]
"""Told where virtual time lies and at which moment (`time.monotonic`) it begins."""


class RunOutcome(msgspec.Struct, frozen=True):
    """What a run came to."""

    report: Report
    """Without a verdict as yet."""
    horizons: dict[int, int]
    """For each lane of the fleet, the virtual time (µs) before which everything was planned."""
    timeline: Timeline
    unreachable: str = ""
    """Why the broker was not reached."""
    spec: FleetSpec | None = None
    """The run as it was in the end, with what it was told meanwhile; ``None``: as it was asked for."""
    failure: str = ""
    """Why the run broke off: a process of it died."""
    unverified: str = ""
    """Why the places to verify could not be asked."""


class Run(Protocol):
    """A run, in this process or in several."""

    @property
    def spec(self) -> FleetSpec: ...

    def stop(self) -> None:
        """End the run early and cleanly."""

    def progress(self) -> RunProgress:
        """How far it is."""
        ...

    async def run(self, on_begin: OnBegin = ...) -> RunOutcome:
        """Publish to the end. A broker that fails is told in the report and raises nothing."""
        ...


class FleetRun:
    """One run in this process, with a beginning, an end and a report."""

    def __init__(self, spec: FleetSpec, target: BrokerTarget, broker: BrokerSettings | None = None) -> None:
        """``broker`` is where a run with ``spec.control`` listens."""
        self.spec = spec
        self._broker = broker
        self.partition = FleetPartition(spec, target)
        self._target = target

    @property
    def publisher(self) -> Publisher:
        return self.partition.publisher

    def stop(self) -> None:
        """End the run early and cleanly."""
        self.partition.stop()

    def progress(self) -> RunProgress:
        publisher = self.publisher
        rate = publisher.published / publisher.elapsed_s if publisher.elapsed_s else 0.0
        return RunProgress(
            publisher.progress_s(), publisher.published, publisher.confirmed, rate, self.partition.reason
        )

    async def run(self, on_begin: OnBegin = lambda timeline, began: None) -> RunOutcome:
        """Connect, publish, await the confirmations, disconnect. A broker that fails raises nothing."""
        partition, ended_by, started_s = self.partition, "unreachable", time()
        timeline = self.spec.timeline(int(started_s * 1e6))
        journal: Journal | None = None
        async with partition:
            if await partition.connected():
                started_s = time()
                timeline = self.spec.timeline(int(started_s * 1e6))
                began = monotonic()
                on_begin(timeline, began)
                async with AsyncExitStack() as stack:
                    journal = await self._control(stack)
                    await partition.run(timeline, began)
                ended_by = "duration"
            if partition.stopped.is_set():
                ended_by = "signal"
            totals, reason = partition.totals(), partition.reason
        spec = self.spec if journal is None else self._as_it_was(journal)
        report = report_of(spec, self._target, timeline, totals, ended_by, started_s=started_s)
        if (listening := partition.listening) is not None:
            report = msgspec.structs.replace(report, listening=listening.report(partition.uplinks))
            spec = msgspec.structs.replace(
                spec, faults=(*spec.faults, *listening.faults), intervals=tuple(listening.intervals)
            )
        return RunOutcome(report, totals.horizons, timeline, reason, spec)

    async def _control(self, stack: AsyncExitStack) -> Journal | None:
        """Listen for faults and load, when that was asked for."""
        stream = self.partition.stream
        if not self.spec.control or self._broker is None or not isinstance(stream, FaultyStream):
            return None
        journal = Journal(self.spec.faults)
        await stack.enter_async_context(
            controlled(
                self.spec.control,
                self._broker,
                stream=stream,
                roster=self.partition.roster,
                publisher=self.publisher,
                journal=journal,
                load=self.partition.live_load,
                answer=self.partition.announce,
            )
        )
        return journal

    def _as_it_was(self, journal: Journal) -> FleetSpec:
        live = self.partition.live_load
        load = live.as_it_was() if live is not None else self.spec.load
        return msgspec.structs.replace(self.spec, faults=journal.faults, load=load)


def report_of(
    spec: FleetSpec, target: BrokerTarget, timeline: Timeline, totals: PublishTotals, ended_by: str, *,
    started_s: float,
    unreachable: str = "",
) -> Report:  # fmt: skip
    """The report of a run that came to ``totals``."""
    roster = roster_of(spec)
    unpaced = spec.speed == math.inf
    elapsed_s = totals.elapsed_s
    if ended_by == "duration" and spec.duration_s is not None and not unpaced:
        elapsed_s = max(elapsed_s, spec.duration_s / spec.speed)
    load = spec.load.mean if spec.load is not None else 1.0
    own = roster.natural_rate_of(index for index in range(len(roster)) if index % SHARDS in spec.own_lanes)
    rate = spec.rate * own / roster.natural_rate if spec.rate else own
    names = [kind.name for kind in roster.classes]
    return Report(
        program=f"iotcache-tui {version('iotcache-tui')}",
        ok=False,
        failures=(),
        ended_by=ended_by,
        broker=target.name,
        started=utc_text(int(started_s * 1e3) * 1_000),
        seed=spec.seed,
        devices=len(roster),
        series=roster.series,
        classes=dict(sorted(Counter(names[kind] for kind in roster.kinds).items())),
        qos=spec.qos,
        connections=spec.connections,
        processes=spec.processes,
        count=spec.count,
        shard=f"{spec.shard[0]}/{spec.shard[1]}" if spec.shard[1] > 1 else None,
        speed=None if unpaced else spec.speed,
        format=spec.payload.name,
        profile=spec.load.name if spec.load is not None else "constant",
        arrival="scattered" if spec.scattered else "even",
        faults=len(spec.faults),
        virtual_start=utc_text(timeline.start_us),
        boot=timeline.boot,
        duration_s=Duration(spec.duration_s, round(elapsed_s, 3)),
        rate=Rate(
            None if unpaced else round(rate * load * spec.speed, 3),
            round(totals.published / elapsed_s, 3) if elapsed_s else 0.0,
            totals.by_second,
        ),
        planned=totals.planned,
        published=totals.published,
        confirmed=totals.confirmed,
        unconfirmed=totals.published - totals.confirmed,
        unsent=totals.planned - totals.published,
        refused=totals.refused,
        resent=totals.resent,
        late=totals.late,
        reconnects=totals.reconnects,
        lag_ms=None if unpaced else Percentiles.of(totals.lag_ms),
        ack_ms=Percentiles.of(totals.ack_ms) if spec.qos else None,
        digest=combined(digest for _, digest in sorted(totals.shards.items()))
        if ended_by == "duration"
        else None,
    )


async def run_fleet(
    settings: Settings, *, ready: Callable[[], None] = lambda: None, stop: asyncio.Event | None = None
) -> None:
    """Run the fleet of ``settings.simulator`` against ``settings.broker`` until ``stop`` or cancelled.

    ``ready`` is called once the broker has accepted the connection. A broker that goes away is waited
    for; memory stays bounded however long this runs.
    """
    fleet = settings.simulator
    spec = FleetSpec(devices=fleet.devices, rate=fleet.rate, seed=fleet.seed, qos=fleet.qos)
    roster = Roster(spec.seed, spec.devices)
    stop = stop or asyncio.Event()
    instance = default_instance()
    lifecycles: list[DeviceLifecycles] = []

    def on_connected() -> None:
        for lifecycle in lifecycles:
            lifecycle.connected()

    target = target_of(settings.broker)
    (uplink,) = uplinks(target, spec, wills=[None], on_connected=on_connected)
    async with uplink, stats_uplink(target, instance) as speaker:
        if not await connected((uplink,), None, stop):
            return
        load = LiveLoad()
        timeline = spec.timeline(int(time() * 1e6))
        scheduled = dropouts(roster) if fleet.dropouts is True else ()
        stream = FaultyStream(
            roster, timeline, scheduled, rate=spec.rate, digest=False, greet=True, load=load
        )
        publisher = Publisher(stream, (uplink,), devices=len(roster))
        control = nullcontext() if fleet.control is not True else controlled(
            instance, settings.broker, stream=stream, roster=roster, publisher=publisher,
            journal=Journal(scheduled), load=load, answer=speaker.announce,
        )  # fmt: skip
        if fleet.lives is True:
            lifecycles.append(DeviceLifecycles(roster, (uplink,), {0: range(len(roster))}, stream.scale))
        ready()
        async with announced(
            publisher, speaker, instance, devices=len(roster), series=roster.series,
            target_rate=round(stream.rate, 3),
        ), control, lifecycles[0].announced(timeline) if lifecycles else nullcontext():  # fmt: skip
            work = asyncio.create_task(publisher.run())
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                publisher.stop()
                await work
