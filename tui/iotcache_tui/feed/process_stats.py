"""What other processes tell of themselves: the counters each publishes once a second."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from iotcache import published_stats
from iotcache.clock import Clock
from iotcache.config.schema import Settings
from iotcache.errors import BrokerError
from iotcache.model import Event, Severity
from iotcache.mqtt import LinkState, Message, MqttLink
from iotcache.published_stats import (
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

SILENT_S = 2.6
"""A process tells of itself once a second: one not heard of for this long hangs, is cut off, or is gone."""
FORGET_S = 600.0
"""A worker that fell silent and never said goodbye is told of for this long."""
RETAINED_S = 120.0
"""Of a worker that has hung since before this program came; older counters may be those of a dead one."""
PING_S = 1.0
PING_TIMEOUT_S = 1.8
"""A broker that takes longer to answer a ping hangs, whatever its socket accepts."""
NO_ANSWER = "it does not answer a ping"
PROCESSES_MOST = 200
"""Of one role."""
S = TypeVar("S", IngestStats, FleetStats, ReaderStats)


_RATE_LEAST_S = 0.3
"""Between two counts that a rate is taken from; processes tell of theirs once a second."""


class ProcessRate:
    """A rate from a counter that another process publishes."""

    __slots__ = ("_at_s", "_count", "per_s")

    def __init__(self) -> None:
        self._count: float | None = None
        self._at_s = 0.0
        self.per_s: float | None = None

    def update(self, count: float, at_s: float) -> None:
        if self._count is not None and at_s - self._at_s < _RATE_LEAST_S:
            return  # two that were held up arrive as one: what lies between them is no time to divide by
        if self._count is not None:
            # A counter that fell belongs to a new process: it counts from zero.
            grown = count - self._count if count >= self._count else count
            now = grown / (at_s - self._at_s)
            self.per_s = now if self.per_s is None else 0.5 * self.per_s + 0.5 * now
        self._count, self._at_s = count, at_s


class _Role(Generic[S]):
    """The processes of one role, by instance, with the rate of the messages of each."""

    def __init__(self) -> None:
        self._processes: dict[str, Process[S]] = {}
        self._rates: dict[str, ProcessRate] = {}

    def update(self, instance: str, stats: S, messages: int, at_s: float, ahead_s: float = 0.0) -> None:
        if instance not in self._processes and len(self._processes) >= PROCESSES_MOST:
            return
        self._processes[instance] = Process(printable(instance, 60), at_s, stats, ahead_s)
        self._rates.setdefault(instance, ProcessRate()).update(messages, at_s)

    def remove(self, instance: str) -> None:
        self._processes.pop(instance, None)
        self._rates.pop(instance, None)

    def recent(self, now_s: float) -> tuple[Process[S], ...]:
        """Those heard of lately."""
        for instance, process in list(self._processes.items()):
            if now_s - process.at_s > SILENT_S:
                self._rates.pop(instance, None)
            if now_s - process.at_s > FORGET_S:
                self.remove(instance)
        return tuple(
            process for _, process in sorted(self._processes.items()) if now_s - process.at_s <= SILENT_S
        )

    def silent(self, now_s: float) -> tuple[Process[S], ...]:
        """Those that said nothing lately, and no goodbye either."""
        return tuple(
            process for _, process in sorted(self._processes.items()) if now_s - process.at_s > SILENT_S
        )

    def forget_silent(self, now_s: float) -> None:
        """Their goodbye may have been missed."""
        for process in self.silent(now_s):
            for instance, known in list(self._processes.items()):
                if known is process:
                    self.remove(instance)

    def known(self, instance: str) -> bool:
        return instance in self._processes

    def per_s(self) -> float | None:
        """Messages a second of all that are heard; ``None`` when none is known."""
        known = [rate.per_s for rate in self._rates.values() if rate.per_s is not None]
        return sum(known) if known else None


class ProcessStatsListener:
    """Listens on the broker for the counters of workers and simulators, and says how the broker is."""

    def __init__(
        self, parts: Parts, clock: Clock, on_event: Callable[[Event], None] = lambda event: None
    ) -> None:
        self._parts = parts
        self._on_event = on_event
        self._link: MqttLink | None = None
        self._hung = False
        self._clock = clock
        self._workers = _Role[IngestStats]()
        self._simulators = _Role[FleetStats]()
        self._readers = _Role[ReaderStats]()

    @property
    def _is_first(self) -> bool:
        """Whether this is the first connection: before later ones a goodbye may have been missed."""
        return self._link is None or self._link.connects <= 1

    async def listen(self, settings: Settings) -> None:
        """Run until cancelled; the link heals by itself."""
        name = f"iotcache-dashboard-{os.getpid()}-{secrets.token_hex(3)}"
        link = MqttLink.from_settings(
            settings.broker, name, subscriptions=((STATS_FILTER, 0),), on_state=self._broker_changed
        )
        self._link = link
        async with link, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ping(link))
            while True:
                for message in await link.batch(500):
                    self.take(message)

    async def _ping(self, link: MqttLink) -> None:
        """A broker that hangs keeps its connections: only a ping that stays without an answer tells."""
        while True:
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await link.until_connected()
                    await link.ping()
            except TimeoutError:
                if link.connected:
                    self._hung = True
                    self._parts.turn("broker", "down", NO_ANSWER)
            except BrokerError:
                pass  # the link says why, and connects again
            else:
                if self._hung:
                    self._broker_changed(LinkState.CONNECTED, "")
            await asyncio.sleep(PING_S)

    def _broker_changed(self, state: LinkState, reason: str) -> None:
        if state is LinkState.CONNECTED:
            self._hung = False
            self._workers.forget_silent(self._clock.monotonic())
            self._parts.turn("broker", "up")
        elif state is LinkState.AWAY:
            refused = self._link is not None and self._link.refused
            self._parts.turn("broker", "refused" if refused else "down", reason)

    def take(self, message: Message) -> None:
        """Take one publication in; what is no counters of a known role is passed over."""
        source = parse_topic(message.topic)
        if source is None:
            return
        role, instance = source
        envelope = decode(message.payload, ProcessStats)
        if envelope is not None and envelope.state == "gone":
            match role:
                case published_stats.INGEST_ROLE:
                    if self._workers.known(instance) and not message.retain:
                        self._tell(f"worker {instance}", "ended, or lost its connection to the broker")
                    self._workers.remove(instance)
                case published_stats.SIMULATOR_ROLE:
                    self._simulators.remove(instance)
                case published_stats.READERS_ROLE:
                    self._readers.remove(instance)
            return
        stats = decode_role(role, message.payload)
        if message.retain:
            # It may be from long ago: the next live one is at most a second away, or the worker hangs.
            age_s = self._clock.now() - stats.at_us / 1e6 if isinstance(stats, IngestStats) else inf
            if isinstance(stats, IngestStats) and self._is_first and age_s <= RETAINED_S:
                at_s = self._clock.monotonic() - max(age_s, 0.0)
                self._workers.update(instance, stats, stats.received, at_s)
            return
        match stats:
            case IngestStats():
                if not self._workers.known(instance):
                    self._tell(f"worker {instance}", "is heard", Severity.INFO)
                ahead_s = stats.at_us / 1e6 - self._clock.now() if stats.at_us else 0.0
                self._workers.update(instance, stats, stats.received, self._clock.monotonic(), ahead_s)
            case FleetStats():
                self._simulators.update(instance, stats, stats.published, self._clock.monotonic())
            case ReaderStats():
                self._readers.update(instance, stats, stats.reads, self._clock.monotonic())

    def _tell(self, who: str, text: str, severity: Severity = Severity.WARNING) -> None:
        subject = printable(who, 80)
        self._on_event(Event(self._clock.now(), "part.process", severity, subject, text))

    def processes(self, now_s: float) -> Processes:
        """Those heard of lately."""
        return Processes(
            self._workers.recent(now_s),
            self._simulators.recent(now_s),
            self._readers.recent(now_s),
            self._workers.silent(now_s),
        )

    def rates(self) -> tuple[float | None, float | None]:
        """Messages a second that all workers took in, and that all simulators sent."""
        return self._workers.per_s(), self._simulators.per_s()
