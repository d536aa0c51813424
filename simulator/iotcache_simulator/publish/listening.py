"""Devices that listen: each follows its configurations and commands, and reports what it made of them.

A configuration says how often sensors report. A device measures at its class's pace, so that it can report
less often than that and not more: every second measurement, every third, …. The change holds from where the
stream is rendered to, and is noted, so that the ledger can make the same stream again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from iotcache.clock import utc_text
from iotcache.histogram import DurationHistogram
from iotcache.mqtt.codec import Properties, PropertyId, Publish
from iotcache.tasks import end
from iotcache_simulator.faults.intervals import IntervalChange, ListeningStream
from iotcache_simulator.faults.kinds import DelayPush, Dropout, Fault, HalfApply, IgnorePush, Reboot
from iotcache_simulator.faults.schedule import struck_devices
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.waves.noise import stream_key, unit
from iotcache_simulator.publish.pushes import (
    COMMAND,
    CONFIGURATION,
    REPORTED,
    PushedCommand,
    PushedConfiguration,
    Reported,
    Unusable,
    pushed_us,
    read_command,
    read_configuration,
)
from iotcache_simulator.report.figures import Percentiles
from iotcache_simulator.report.listening import ListeningReport
from iotcache_simulator.wire.uplink import Uplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from iotcache_simulator.publish.publisher import Publisher

_PENDING_MAX: Final = 10_000
"""Pushes that wait for their moment, of all devices together; more are rejected."""
_CHANGES_MAX: Final = 100_000
"""What a run remembers of what it was told, so that it can be verified."""
_REBOOT_S: Final = 5.0
_PAUSE_S: Final = 10.0
_encode = msgspec.json.Encoder().encode


class Listening:
    """What the devices of one process have heard. Made before their connections, `acting` with them."""

    def __init__(self, roster: Roster, faults: Sequence[Fault], scale: float) -> None:
        """``scale``: how many times as often as its class says the fleet measures."""
        self._roster = roster
        self._scale = scale
        self._counts = Counter[str]()
        self._apply_ms, self._report_ms = DurationHistogram(), DurationHistogram()
        self._versions: dict[int, int] = {}
        self._times: dict[tuple[int, str], int] = {}
        """Of a sensor that does not send all that it measures: one in how many it sends."""
        self._faults = [
            (fault, number, frozenset(struck_devices(fault, number, roster, range(len(roster)))))
            for number, fault in enumerate(faults)
            if isinstance(fault, IgnorePush | DelayPush | HalfApply)
        ]
        self._tasks: dict[asyncio.Task[None], int | None] = {}
        """What waits for its moment; with the device whose newest configuration it is."""
        self._received = 0
        self._stream: ListeningStream | None = None
        self._publisher: Publisher | None = None
        self._began = asyncio.Event()
        self._when: Callable[[int], float] = lambda at_us: 0.0
        self._tell_birth: Callable[[int], None] = lambda device: None
        self.intervals: list[IntervalChange] = []
        """What holds now, and since when: with `faults`, what the stream was."""
        self.faults: list[Fault] = []

    # What a connection subscribes to

    def filters(self, devices: Sequence[int]) -> list[tuple[str, int]]:
        """The topics on which some devices are told something."""
        return [
            (f"{self._base(device)}/{what}", 1)
            for device in devices
            for what in (CONFIGURATION, f"{COMMAND}/+")
        ]

    def recipient(self, devices: Sequence[int], uplink: Callable[[], Uplink]) -> Callable[[Publish], None]:
        """What takes the messages of their connection."""
        by_topic = {self._base(device): device for device in devices}

        def take(message: Publish) -> None:
            levels = message.topic.split("/")
            device = by_topic.get("/".join(levels[:3]))
            if device is not None:
                self._take(device, levels[3:], message, uplink())

        return take

    def version(self, device: int) -> int:
        """The version of the configuration that a device follows."""
        kind = self._roster.classes[self._roster.kinds[device]]
        return self._versions.get(device, kind.config_version)

    # While the run goes on

    @asynccontextmanager
    async def acting(
        self, stream: ListeningStream, publisher: Publisher, when: Callable[[int], float],
        tell_birth: Callable[[int], None],
    ) -> AsyncIterator[None]:  # fmt: skip
        """Follow what is pushed meanwhile. ``when``: the real moment (`time.monotonic`) of one of the stream;
        what comes sooner is not lost: a broker's retained configuration comes with the connection."""
        self._stream, self._publisher, self._when, self._tell_birth = stream, publisher, when, tell_birth
        self._began.set()
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up what waits for its moment."""
        for task in list(self._tasks):
            await end(task)

    def report(self, uplinks: Sequence[Uplink]) -> ListeningReport:
        """What became of it all."""
        return ListeningReport(
            subscriptions=sum(uplink.subscriptions.granted for uplink in uplinks),
            subscriptions_refused=sum(uplink.subscriptions.refused for uplink in uplinks),
            apply_ms=Percentiles.of(self._apply_ms) if self._counts["applied"] else None,
            report_ms=Percentiles.of(self._report_ms) if self._counts["reported"] else None,
            **self._counts,
        )

    def _base(self, device: int) -> str:
        return f"iot/{self._roster.site(device)}/{self._roster.names[device]}"

    def _take(self, device: int, levels: Sequence[str], message: Publish, uplink: Uplink) -> None:
        received_us = time.time_ns() // 1_000
        what = levels[-1]
        if levels[0] == CONFIGURATION and not message.payload:
            return  # a retained one was taken back: the device goes on with what it has
        self._received += 1
        known: PushedConfiguration | PushedCommand
        try:
            if levels[0] == CONFIGURATION:
                known = read_configuration(message.payload)
                if known.version <= self.version(device):
                    # The one that it has comes again with every connection, as the broker keeps it.
                    self._counts["outdated"] += known.version < self.version(device)
                    return
                self._counts["configurations"] += 1
                self._check_names(device, known)
            else:
                self._counts["commands"] += 1
                known = read_command(what, message.payload)
            if len(self._tasks) >= _PENDING_MAX or len(self.intervals) + len(self.faults) >= _CHANGES_MAX:
                raise Unusable("it was told too much")
        except Unusable as error:
            self._reject(device, what, str(error), message, uplink, received_us)
            return
        fault = self._fault(device)
        if isinstance(fault, IgnorePush) and unit(stream_key(self._received, "push")) < fault.chance:
            self._counts["ignored"] += 1
            return
        newest = None
        if isinstance(known, PushedConfiguration):
            newest = device
            for task, other in list(self._tasks.items()):
                if other == device and not task.done():
                    task.cancel()
                    self._counts["outdated"] += 1
        delay_s = fault.by_s if isinstance(fault, DelayPush) else 0.0
        task = asyncio.create_task(
            self._follow(
                device, what, known, message, uplink, received_us, delay_s, isinstance(fault, HalfApply)
            )
        )
        self._tasks[task] = newest
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def _fault(self, device: int) -> Fault | None:
        """The fault of a device as to what is pushed to it, just now."""
        publisher = self._publisher
        at_s = 0.0 if publisher is None else publisher.progress_s()
        for fault, _, struck in self._faults:
            ends_s = math.inf if fault.for_s is None else fault.at_s + fault.for_s
            if device in struck and fault.at_s <= at_s < ends_s:
                return fault
        return None

    async def _follow(  # noqa: PLR0917
        self, device: int, what: str, known: PushedConfiguration | PushedCommand, message: Publish,
        uplink: Uplink, received_us: int, delay_s: float, by_half: bool,
    ) -> None:  # fmt: skip
        await asyncio.sleep(delay_s)
        await self._began.wait()  # the connection was there before the run
        if isinstance(known, PushedConfiguration):
            at_us = self._apply(device, known, by_half=by_half)
        else:
            at_us = self._do(device, what, known)
        await asyncio.sleep(max(0.0, self._when(at_us) - time.monotonic()))
        since_us = pushed_us(known.ts, received_us)
        if isinstance(known, PushedConfiguration):
            self._counts["half_applied" if by_half else "applied"] += 1
            self._apply_ms.add((time.time_ns() // 1_000 - since_us) / 1e3)
            self._answer(
                device, what, "applied", message, uplink, since_us,
                version=known.version, interval_s=self._intervals(device),
            )  # fmt: skip
            return
        self._counts["done"] += 1
        self._answer(device, what, "done", message, uplink, since_us, id=known.id)

    def _check_names(self, device: int, configuration: PushedConfiguration) -> None:
        names = {sensor.name for sensor in self._roster.classes[self._roster.kinds[device]].sensor}
        for name in configuration.interval_s:
            if name not in names:
                raise Unusable(f"it has no sensor {name[:60]!r}")

    def _apply(self, device: int, configuration: PushedConfiguration, *, by_half: bool) -> int:
        """Let a configuration hold; from which moment of the stream on."""
        assert self._stream is not None
        assert self._publisher is not None
        at_us = self._publisher.horizon_us
        self._versions[device] = configuration.version
        wanted = sorted(configuration.interval_s.items())
        changes = []
        for name, interval_s in wanted[: (len(wanted) + 1) // 2] if by_half else wanted:
            times = max(1, round(interval_s / self._measured_s(device, name)))
            if times != self._times.get((device, name), 1):
                self._times[device, name] = times
                changes.append(IntervalChange(device, name, at_us, times))
        self._stream.change(changes)
        self.intervals += changes
        return at_us

    def _do(self, device: int, what: str, command: PushedCommand) -> int:
        """Carry a command out; from which moment of the stream on."""
        assert self._stream is not None
        assert self._publisher is not None
        at_us = self._publisher.horizon_us
        names = (self._roster.names[device],)
        fault: Fault | None = None
        if what == "reboot":
            fault = Reboot(at_s=at_us / 1e6, for_s=command.for_s or _REBOOT_S, devices=names)
        elif what == "pause":
            fault = Dropout(at_s=at_us / 1e6, for_s=command.for_s or _PAUSE_S, devices=names)
        elif what == "birth":
            self._tell_birth(device)
        if fault is None:
            return 0
        self._stream.strike(fault)
        self.faults.append(fault)
        return at_us

    def _reject(  # noqa: PLR0917
        self, device: int, what: str, error: str, message: Publish, uplink: Uplink, received_us: int
    ) -> None:
        self._counts["rejected"] += 1
        self._answer(device, what, "rejected", message, uplink, received_us, error=error)

    def _answer(  # noqa: PLR0917
        self, device: int, what: str, status: str, message: Publish, uplink: Uplink, since_us: int, *,
        version: int | None = None, interval_s: dict[str, float] | None = None, id: str | int | None = None,
        error: str = "",
    ) -> None:  # fmt: skip
        """On the device's own topic, or where MQTT 5 says that the answer is wanted (4.10)."""
        now_us = time.time_ns() // 1_000
        answer = Reported(
            self._roster.names[device],
            status,
            utc_text(now_us // 1_000 * 1_000),
            version,
            interval_s,
            id,
            error,
        )
        topic = f"{self._base(device)}/{REPORTED}/{what if status != 'rejected' else _safe(what)}"
        more: Properties = ()
        for name, value in message.properties:
            if name is PropertyId.RESPONSE_TOPIC and isinstance(value, str) and _is_topic(value):
                topic = value
            elif name is PropertyId.CORRELATION_DATA:
                more = ((name, value),)
        if not uplink.connected:
            return
        uplink.announce(topic, _encode(answer), retain=False, properties=more)
        self._counts["reported"] += 1
        self._report_ms.add((now_us - since_us) / 1e3)

    def _measured_s(self, device: int, name: str) -> float:
        """How often a sensor measures."""
        return dict(self._sensors(device))[name]

    def _intervals(self, device: int) -> dict[str, float]:
        return {
            name: round(interval_s * self._times.get((device, name), 1), 6)
            for name, interval_s in self._sensors(device)
        }

    def _sensors(self, device: int) -> Iterator[tuple[str, float]]:
        for sensor in self._roster.classes[self._roster.kinds[device]].sensor:
            yield sensor.name, sensor.interval_s / self._scale


def _safe(what: str) -> str:
    """The name of an unknown command, as a level of a topic."""
    return what if what.isascii() and what.isprintable() and 0 < len(what) <= 40 else "unknown"


def _is_topic(text: str) -> bool:
    return 0 < len(text) <= 1_000 and not any(sign in text for sign in "+#\0")
