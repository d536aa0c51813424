"""The stream: every reading of a fleet, rendered, in the order in which it is sent.

Each series is measured at fixed times, ``phase + n * interval`` after the start, so the stream needs no
queue of series: a group (one sensor of one class) walks round its devices in the order of their phases,
and a window of virtual time is the sorted sum of what the groups have in it.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from copy import copy
from heapq import heappop, heappush

from msgspec import Struct

from iotcache.model import Value
from simulator.fleet.formats import Format
from simulator.fleet.load import LiveLoad, Load
from simulator.fleet.noise import GOLDEN, MASK64, NORMAL, unit
from simulator.fleet.payload import json_template, second_text, value_texts
from simulator.fleet.roster import Roster, SensorFunction, interval_us

Message = tuple[int, int, bytes, bytes, bytes]
"""When it is sent (µs since the start), the number of its series, topic, payload, digest line."""

TopicOf = Callable[[int], str]
"""The topic of a device's readings."""
LANES = 64
"""Devices are dealt to this many lanes; a lane is never split between processes."""
VIRTUAL_EPOCH_US = 1_718_722_800_000_000
"""2024-06-18T15:00:00Z: when virtual time begins unless a start is given."""
_MICRO = 1_000_000
_FOREVER_US = 1 << 62
_GREET_S = 2.0


class Timeline(Struct, frozen=True):
    """How virtual time lies against the times that devices write into their payloads."""

    start_us: int = VIRTUAL_EPOCH_US
    """Virtual time of the first moment, µs since the Unix epoch; whole milliseconds."""
    shift_us: int = 0
    """Added to virtual time to give the time shown in payloads; whole milliseconds."""
    end_us: int | None = None
    """Length of the run in µs, when it has an end."""
    boot: str = "0"
    """What tells this run's sequence numbers from those of another."""


class Group:
    """One sensor of one class, and its devices in the order of their phases."""

    __slots__ = (
        "cycle", "devices", "encode", "function", "interval", "kind", "last_cycle", "line", "link",
        "number", "phases", "position", "template", "texts", "topics",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        function: SensorFunction,
        interval: int,
        devices: list[int],
        *,
        roster: Roster,
        payload: Format,
        topic: TopicOf | None,
    ) -> None:
        sensor = function.sensor
        self.number = number
        self.function = function
        self.interval = interval
        placed = sorted((int(unit(roster.keys[n] ^ function.salt) * interval), n) for n in devices)
        self.phases = array("Q", (at for at, _ in placed))
        self.devices = array("L", (n for _, n in placed))
        if topic is None:
            self.topics = [
                f"iot/{roster.site(n)}/{roster.names[n]}/{sensor.name}".encode() for _, n in placed
            ]
        else:
            self.topics = [topic(n).encode() for _, n in placed]
        self.template = json_template(sensor)
        self.encode = payload.encoder(sensor)
        value = f"%.{sensor.precision}f" if sensor.kind == "number" else "%b"
        self.line = f"%d %b {sensor.name} %d {value}\n".encode()
        self.texts = () if sensor.kind == "number" else value_texts(sensor)
        self.kind = roster.kinds[devices[0]]
        self.link = roster.links[self.kind]
        self.cycle = 0
        self.last_cycle = _FOREVER_US
        self.position = 0

    def rendered(self, value: Value) -> float | bytes:
        """A value as the templates take it."""
        if not self.texts:
            return float(value)
        return (
            self.texts[value] if isinstance(value, bool) else json.dumps(value, ensure_ascii=False).encode()
        )

    def greeting(self, within_us: int) -> Group:
        """A group that measures each device once more, numbered 0, early in the run."""
        first = copy(self)
        first.phases = array("Q", (self.interval + at * within_us // self.interval for at in self.phases))
        first.cycle = first.last_cycle = -1
        return first

    def due(self, until_us: int) -> Iterator[tuple[int, int, int]]:
        """Stretches of devices measured before ``until_us``: (cycle, first, past the last)."""
        while self.cycle <= self.last_cycle:
            last = bisect_left(self.phases, until_us - self.cycle * self.interval)
            if last > self.position:
                yield self.cycle, self.position, last
            if last < len(self.phases):
                self.position = max(last, self.position)
                return
            self.cycle += 1
            self.position = 0


class Stream:
    """All messages of a fleet, window by window. Holds nothing but what is still to be sent late."""

    def __init__(
        self,
        roster: Roster,
        timeline: Timeline,
        *,
        rate: float = 0.0,
        lanes: Collection[int] = range(LANES),
        digest: bool = True,
        greet: bool = False,
        load: Load | LiveLoad | None = None,
        scattered: bool = False,
        payload: Format = Format(),  # noqa: B008  # frozen
        topic: TopicOf | None = None,
    ) -> None:
        """``rate`` is messages a second of the whole fleet (0: each class's own intervals); only devices
        of the given ``lanes`` are in this stream. ``greet``: every sensor is heard of within seconds,
        however long its interval. ``load``: how the rate changes in time. ``scattered``: each reading
        at a random moment of its interval, which for many devices comes close to a Poisson process.
        ``topic``: where a device's readings go; ``iot/{site}/{device}/{sensor}`` when not given."""
        self.timeline = timeline
        self.digest = digest
        self.scale = rate / roster.natural_rate if rate else 1.0
        self.mean_load = load.mean if load is not None else 1.0
        self._bend = load.bend() if load is not None else None
        self._scattered = scattered
        self._roster = roster
        self._names = [name.encode() for name in roster.names]
        self._groups: list[Group] = []
        self._greetings: list[Group] = []
        self._late: list[Message] = []
        members: list[list[int]] = [[] for _ in roster.classes]
        for index, kind in enumerate(roster.kinds):
            if index % LANES in lanes:
                members[kind].append(index)
        number = 0
        for kind, functions in enumerate(roster.functions):
            for function in functions:
                if members[kind]:
                    every = interval_us(function.sensor, self.scale)
                    group = Group(
                        number, function, every, members[kind], roster=roster, payload=payload, topic=topic
                    )
                    # Scattered readings come up to one interval after their slot: the slots begin earlier.
                    group.cycle = -1 if scattered else 0
                    self._groups.append(group)
                number += 1
        self._may_defer = scattered or any(group.link for group in self._groups)
        if greet:
            within_us = int(
                _MICRO * min(max(_GREET_S, sum(len(g.phases) for g in self._groups) / 1_000), 30.0)
            )
            slow = [group for group in self._groups if group.interval > within_us]
            self._greetings = [group.greeting(within_us) for group in slow]

    @property
    def rate(self) -> float:
        """Messages a second of the devices in this stream, in the mean."""
        even = sum(len(group.phases) * _MICRO / group.interval for group in self._groups)
        return even * self.mean_load

    @property
    def deferred(self) -> int:
        """Readings that wait in devices which are out of coverage."""
        return len(self._late)

    def window(self, until_us: int) -> list[Message]:
        """Every message sent before ``until_us`` (µs since the start) that no earlier window gave.

        Past the end of the timeline there are none.
        """
        if self.timeline.end_us is not None:
            until_us = min(until_us, self.timeline.end_us)
        until_work = until_us if self._bend is None else self._bend.work(until_us)
        messages: list[Message] = []
        if self._greetings:
            for group in self._greetings:
                for cycle, first, last in group.due(until_work):
                    self._render(group, cycle, first, last, messages)
            self._greetings = [group for group in self._greetings if group.cycle <= group.last_cycle]
        for group in self._groups:
            for cycle, first, last in group.due(until_work):
                self._render(group, cycle, first, last, messages)
        kept = messages
        if self._may_defer:
            kept = [message for message in messages if message[0] < until_us]
            if len(kept) < len(messages):
                for message in messages:
                    if message[0] >= until_us:
                        heappush(self._late, message)
            while self._late and self._late[0][0] < until_us:
                kept.append(heappop(self._late))
        kept.sort()
        return kept

    def _moment(self, group: Group, cycle: int, device: int, work_us: int) -> int:
        """When (virtual time since the start) the reading of a slot in work time is measured."""
        if self._scattered:
            key = self._roster.keys[device] ^ group.function.noise_salt
            work_us += int(unit(key, cycle) * group.interval)
            if work_us < 0:
                return _FOREVER_US
        return work_us if self._bend is None else self._bend.time(work_us)

    def _render(self, group: Group, cycle: int, first: int, last: int, out: list[Message]) -> None:
        """Append the messages of one stretch. This is the inner loop: everything is in a local."""
        names, keys, size = self._names, self._roster.keys, len(self._names)
        timeline = self.timeline
        start, shift, boot = timeline.start_us, timeline.shift_us, timeline.boot.encode()
        end = timeline.end_us or _FOREVER_US
        function, topics, link = group.function, group.topics, group.link
        sensor, waves, texts = function.sensor, function.waves, group.texts
        noise, noise_salt, (low, high) = sensor.noise, function.noise_salt, sensor.range
        scale = float(10**sensor.precision)
        template, encode, line, with_line = group.template, group.encode, group.line, self.digest
        base, seq, tie = cycle * group.interval, cycle + 1, group.number * size
        shaped = self._scattered or self._bend is not None
        second, moment = -1, b""
        value: float | bytes
        digested = b""
        devices, phases = group.devices, group.phases
        for at in range(first, last):
            device = devices[at]
            key = keys[device]
            rel = base + phases[at]
            if shaped:
                rel = self._moment(group, cycle, device, rel)
                if rel >= end:
                    continue
            t = start + rel
            raw = waves(key, t / 1e6)
            if texts:
                value = texts[int(raw)]
            else:
                if noise:
                    raw += noise * NORMAL[(((key ^ noise_salt ^ t) * GOLDEN) & MASK64) >> 52]
                if raw < low:
                    raw = low
                elif raw > high:
                    raw = high
                value = ((raw * scale + 0.5) // 1) / scale
            shown = t + shift
            if shown // _MICRO != second:
                second = shown // _MICRO
                moment = second_text(second)
            name = names[device]
            if encode is None:
                payload = template % (name, value, moment, shown // 1000 % 1000, seq, boot)
            else:
                payload = encode(name, value, shown, seq, boot)
            if with_line:
                digested = line % (rel // 1000, name, seq, value)
            sent = rel if link is None else link.sent_at(key, t, start + end) - start
            out.append((sent, tie + device, topics[at], payload, digested))
