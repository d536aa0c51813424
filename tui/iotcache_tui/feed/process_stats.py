"""What other processes tell of themselves: the counters each publishes once a second."""

from __future__ import annotations

import os
import secrets
from typing import Generic, TypeVar

from iotcache import telemetry
from iotcache.clock import Clock
from iotcache.config.schema import Settings
from iotcache.mqtt import LinkState, Message, MqttLink
from iotcache.telemetry import (
    STATS_FILTER,
    FleetStats,
    IngestStats,
    ProcessStats,
    ReaderStats,
    decode,
    decode_role,
    parse_topic,
)
from iotcache.text import printable
from iotcache_tui.feed.parts import Parts
from iotcache_tui.state.updates import Process, Processes

SILENT_S = 5.0
"""A process not heard of for this long is taken for gone."""
PROCESSES_MOST = 200
"""Of one role."""
S = TypeVar("S", IngestStats, FleetStats, ReaderStats)


class _Rate:
    """A rate from a counter that another process publishes."""

    __slots__ = ("_at_s", "_count", "per_s")

    def __init__(self) -> None:
        self._count: float | None = None
        self._at_s = 0.0
        self.per_s: float | None = None

    def update(self, count: float, at_s: float) -> None:
        if self._count is not None and at_s > self._at_s:
            # A counter that fell belongs to a new process: it counts from zero.
            grown = count - self._count if count >= self._count else count
            now = grown / (at_s - self._at_s)
            self.per_s = now if self.per_s is None else 0.5 * self.per_s + 0.5 * now
        self._count, self._at_s = count, at_s


class _Role(Generic[S]):
    """The processes of one role, by instance, with the rate of the messages of each."""

    def __init__(self) -> None:
        self._processes: dict[str, Process[S]] = {}
        self._rates: dict[str, _Rate] = {}

    def update(self, instance: str, stats: S, messages: int, at_s: float) -> None:
        if instance not in self._processes and len(self._processes) >= PROCESSES_MOST:
            return
        self._processes[instance] = Process(printable(instance, 60), at_s, stats)
        self._rates.setdefault(instance, _Rate()).update(messages, at_s)

    def remove(self, instance: str) -> None:
        self._processes.pop(instance, None)
        self._rates.pop(instance, None)

    def recent(self, now_s: float) -> tuple[Process[S], ...]:
        """Those heard of lately; the silent are forgotten."""
        for instance, process in list(self._processes.items()):
            if now_s - process.at_s > SILENT_S:
                self.remove(instance)
        return tuple(process for _, process in sorted(self._processes.items()))

    def per_s(self) -> float | None:
        """Messages a second of all of them; ``None`` when none is known."""
        known = [rate.per_s for rate in self._rates.values() if rate.per_s is not None]
        return sum(known) if known else None


class ProcessStatsListener:
    """Listens on the broker for the counters of workers and simulators, and says how the broker is."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._workers = _Role[IngestStats]()
        self._simulators = _Role[FleetStats]()
        self._readers = _Role[ReaderStats]()

    async def listen(self, settings: Settings) -> None:
        """Run until cancelled; the link heals by itself."""
        name = f"iotcache-dashboard-{os.getpid()}-{secrets.token_hex(3)}"
        link = MqttLink.from_settings(
            settings.broker, name, subscriptions=((STATS_FILTER, 0),), on_state=self._broker_changed
        )
        async with link:
            while True:
                for message in await link.batch(500):
                    self.take(message)

    def _broker_changed(self, state: LinkState, reason: str) -> None:
        if state is LinkState.CONNECTED:
            self._parts.turn("broker", "up")
        elif state is LinkState.AWAY:
            self._parts.turn("broker", "down", reason)

    def take(self, message: Message) -> None:
        """Take one publication in; what is no counters of a known role is passed over."""
        source = parse_topic(message.topic)
        if source is None:
            return
        role, instance = source
        envelope = decode(message.payload, ProcessStats)
        if envelope is not None and envelope.state == "gone":
            match role:
                case telemetry.INGEST_ROLE:
                    self._workers.remove(instance)
                case telemetry.SIMULATOR_ROLE:
                    self._simulators.remove(instance)
                case telemetry.READERS_ROLE:
                    self._readers.remove(instance)
            return
        if message.retain:
            return  # it may be from long ago: the next live one is at most a second away
        match decode_role(role, message.payload):
            case IngestStats() as stats:
                self._workers.update(instance, stats, stats.received, self._clock.monotonic())
            case FleetStats() as stats:
                self._simulators.update(instance, stats, stats.published, self._clock.monotonic())
            case ReaderStats() as stats:
                self._readers.update(instance, stats, stats.reads, self._clock.monotonic())

    def processes(self, now_s: float) -> Processes:
        """Those heard of lately."""
        return Processes(
            self._workers.recent(now_s), self._simulators.recent(now_s), self._readers.recent(now_s)
        )

    def rates(self) -> tuple[float | None, float | None]:
        """Messages a second that all workers took in, and that all simulators sent."""
        return self._workers.per_s(), self._simulators.per_s()
