"""The stream of a fleet with faults: the plain one wherever nothing is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from iotcache.clock import utc_text
from iotcache.model import Value
from iotcache_simulator.faults.kinds import Draft, Fault, FaultContext, spoil
from iotcache_simulator.faults.schedule import Scheduled, schedule
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.fleet.formats.sparkplug import historical
from iotcache_simulator.fleet.load import LiveLoad, Load
from iotcache_simulator.fleet.rendering.group import FOREVER_US, SensorGroup, TopicOf
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS, Message, Stream, Timeline


class Label(Struct, frozen=True, omit_defaults=True):
    """The ground truth of one reading that a fault touched."""

    faults: tuple[str, ...]
    device: str
    sensor: str
    seq: int
    boot: str
    ts: str
    """When it was measured, on a clock that is right."""
    truth: Value
    """What a sound sensor would have said."""
    reported: Value | None
    """What the payload says; ``None`` when none was sent or it cannot be read."""
    sent: int = 1
    """How often it was sent."""


class FaultyStream(Stream):
    """A stream some of whose devices have faults."""

    def __init__(
        self,
        roster: Roster,
        timeline: Timeline,
        faults: Sequence[Fault],
        *,
        rate: float = 0.0,
        shards: Collection[int] = range(SHARDS),
        digest: bool = True,
        greet: bool = False,
        load: Load | LiveLoad | None = None,
        scattered: bool = False,
        payload: Format = Format(),  # noqa: B008  # frozen
        topic: TopicOf | None = None,
        labels: bool = False,
    ) -> None:
        super().__init__(
            roster,
            timeline,
            rate=rate,
            shards=shards,
            digest=digest,
            greet=greet,
            load=load,
            scattered=scattered,
            payload=payload,
            topic=topic,
        )
        self._may_defer = True
        self._label = labels
        self.labels: list[Label] = []
        """Filled by `window` when asked for; the caller takes them away."""
        self._schedules: dict[int, tuple[Scheduled, ...]] = {}
        self._faults = 0
        """How many there are, those that strike nothing included."""
        self.reschedule(faults)

    def reschedule(self, faults: Sequence[Fault]) -> None:
        """Let these be the faults. They may differ from those before only in what is not rendered yet."""
        self._schedules = {
            group.number: schedule(
                faults, self._roster, group.kind, group.function.sensor.name, group.devices
            )
            for group in self.groups
        }
        self._faults = len(faults)

    def strike(self, fault: Fault) -> None:
        """One more fault, which may strike only what is not rendered yet."""
        for group in self.groups:
            self._schedules[group.number] += schedule(
                (fault,), self._roster, group.kind, group.function.sensor.name, group.devices,
                first=self._faults,
            )  # fmt: skip
        self._faults += 1

    def _render(self, group: SensorGroup, cycle: int, first: int, last: int, out: list[Message]) -> None:
        devices = group.devices
        moments = self._moments(group, cycle * len(devices) + first, last - first)
        since, until = min(moments), max(moments)
        active = [
            fault
            for fault in self._schedules[group.number]
            if fault.begin_us <= until and since < fault.until_us
        ]
        if not active:
            super()._render(group, cycle, first, last, out)
            return
        sound = first
        for at in range(first, last):
            device, rel = devices[at], moments[at - first]
            mine = [fault for fault in active if fault.strikes(device, rel)]
            if mine:
                if sound < at:
                    super()._render(group, cycle, sound, at, out)
                sound = at + 1
                out += self._render_faulty(group, cycle, at, rel, mine)
        if sound < last:
            super()._render(group, cycle, sound, last, out)

    def _cycle_at(self, group: SensorGroup, device: int, phase: int, at_us: int) -> int:
        """The first cycle in which a device's reading is not measured before ``at_us``."""
        work_us = at_us if self._work_clock is None or at_us == FOREVER_US else self._work_clock.work(at_us)
        cycle = max(0, -((phase - work_us) // group.interval))
        if self._scattered:
            # Scattering moves a reading on by less than one interval: perhaps past the moment asked for.
            slot_us = (cycle - 1) * group.interval + phase
            cycle -= self._moment(group, cycle - 1, device, slot_us) >= at_us
        return cycle

    def _render_faulty(  # one place of the inner loop
        self, group: SensorGroup, cycle: int, at: int, rel: int, faults: Sequence[Scheduled]
    ) -> list[Message]:
        timeline, function = self.timeline, group.function
        start, device, key = timeline.start_us, group.devices[at], self._roster.keys[group.devices[at]]
        end_us = timeline.end_us or FOREVER_US
        if rel >= end_us:
            return []
        t_us = start + rel
        truth = function.measure(key, t_us)
        sent = rel if group.link is None else group.link.sent_at(key, t_us, start, start + end_us) - start
        draft = Draft(truth, t_us + timeline.shift_us, [sent], cycle + 1, faults=[])
        for fault in faults:
            fault.fault.apply(
                draft,
                FaultContext(
                    function,
                    key,
                    key ^ fault.salt,
                    t_us,
                    start + fault.begin_us,
                    start + fault.end_us,
                    group.interval,
                    cycle - self._cycle_at(group, device, group.phases[at], fault.end_us),
                ),
            )
        boot = timeline.boot + (f"-{draft.reboots}" if draft.reboots else "")
        name = self._roster.names[device].encode()
        value = group.rendered(draft.value)
        text = group.text(value)
        shown = draft.shown_us
        if group.encode is None:
            tail = group.json.tail(draft.seq, boot.encode())
            payload = group.json.payload(name, text, self._time_texts[shown // 1_000], tail)
        else:
            payload = group.encode(name, value, shown, draft.seq, boot.encode())
        if self._sparkplug and sent > rel:
            payload = historical(payload)
        if draft.spoil:
            payload = spoil(payload, draft.spoil, key ^ t_us)
        line = b""
        if self.digest:
            mark = (f"/{draft.reboots}" if draft.reboots else "") + ("!" if draft.spoil else "")
            shown_ms = (shown - timeline.shift_us - start) // 1000
            # The plain line with the marks behind its number: ``12/1`` after a reboot, ``12!`` malformed.
            middle = group.line_middle(draft.seq, mark)
            line = b"".join((b"%d " % shown_ms, name, middle, text, b"\n"))
        tie = group.number * len(self._names) + device
        if self._label and draft.faults:
            self.labels.append(
                Label(
                    faults=tuple(draft.faults),
                    device=self._roster.names[device],
                    sensor=function.sensor.name,
                    seq=draft.seq,
                    boot=boot,
                    ts=utc_text((t_us + timeline.shift_us) // 1000 * 1000),
                    truth=truth,
                    reported=draft.value if draft.sent_us and not draft.spoil else None,
                    sent=len(draft.sent_us),
                )
            )
        return [(min(at_us, end_us - 1), tie, group.topics[at], payload, line) for at_us in draft.sent_us]
