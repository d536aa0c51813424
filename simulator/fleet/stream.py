"""The stream: every reading of a fleet, rendered, in the order in which it is sent.

Each series is measured at fixed times, ``phase + n * interval`` after the start, so the stream needs no
queue of series: a group (one sensor of one class) walks round its devices in the order of their phases,
and a window of virtual time is the sorted sum of what the groups have in it.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from heapq import heappop, heappush
from operator import itemgetter

from msgspec import Struct

from iotcache.model import Value
from simulator.fleet.formats import Format
from simulator.fleet.load import LiveLoad, Load
from simulator.fleet.noise import GOLDEN, MASK64, NORMAL, unit
from simulator.fleet.payload import json_templates, second_text, value_texts
from simulator.fleet.roster import Roster, SensorFunction, interval_us

Message = tuple[int, int, bytes, bytes, bytes]
"""When it is sent (µs since the start), the number of its series, topic, payload, digest line."""

_Slots = tuple[Sequence[int], Sequence[int], Sequence[bytes], Sequence[int]]
TopicOf = Callable[[int], str]
"""The topic of a device's readings."""
LANES = 64
"""Devices are dealt to this many lanes; a lane is never split between processes."""
VIRTUAL_EPOCH_US = 1_718_722_800_000_000
"""2024-06-18T15:00:00Z: when virtual time begins unless a start is given."""
_MICRO = 1_000_000
_FOREVER_US = 1 << 62
_GREET_S = 2.0
_SENT = itemgetter(0)


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
        "cycle", "devices", "digits", "encode", "function", "head", "interval", "keys", "kind", "last_cycle",
        "line", "link", "number", "phases", "position", "tail", "texts", "topics",
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
        self.keys = array("Q", (roster.keys[n] for _, n in placed))
        if topic is None:
            self.topics = [
                f"iot/{roster.site(n)}/{roster.names[n]}/{sensor.name}".encode() for _, n in placed
            ]
        else:
            self.topics = [topic(n).encode() for _, n in placed]
        self.head, self.tail = json_templates(sensor)
        self.encode = payload.encoder(sensor)
        self.line = f"%d %b {sensor.name} %d %b\n".encode()
        self.texts = () if sensor.kind == "number" else value_texts(sensor)
        self.digits = f"%.{sensor.precision}f".encode()
        self.kind = roster.kinds[devices[0]]
        self.link = roster.links[self.kind]
        self.cycle = 0
        self.last_cycle = _FOREVER_US
        self.position = 0

    def rendered(self, value: Value) -> float | bytes:
        """A value as the encoders take it."""
        if not self.texts:
            return float(value)
        return (
            self.texts[value] if isinstance(value, bool) else json.dumps(value, ensure_ascii=False).encode()
        )

    def text(self, value: float | bytes) -> bytes:
        """A rendered value as people read it: any number, not only what a sound sensor says."""
        return value if isinstance(value, bytes) else self.digits % value

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
        while self._late and self._late[0][0] < until_us:
            messages.append(heappop(self._late))
        messages.sort()
        if self._may_defer and messages and messages[-1][0] >= until_us:
            kept = bisect_left(messages, until_us, key=_SENT)
            for message in messages[kept:]:
                heappush(self._late, message)
            del messages[kept:]
        return messages

    def _moment(self, group: Group, cycle: int, device: int, work_us: int) -> int:
        """When (virtual time since the start) the reading of a slot in work time is measured."""
        if self._scattered:
            key = self._roster.keys[device] ^ group.function.noise_salt
            work_us += int(unit(key, cycle) * group.interval)
            if work_us < 0:
                return _FOREVER_US
        return work_us if self._bend is None else self._bend.time(work_us)

    def _slots(self, group: Group, cycle: int, first: int, last: int) -> _Slots:
        """What is measured in one stretch, and when: device, its key, its topic, virtual time."""
        base = cycle * group.interval
        devices, keys, topics = group.devices[first:last], group.keys[first:last], group.topics[first:last]
        if not self._scattered and self._bend is None:
            return devices, keys, topics, [base + at for at in group.phases[first:last]]
        end = self.timeline.end_us or _FOREVER_US
        slots = zip(devices, keys, topics, group.phases[first:last], strict=True)
        moved = [
            (device, key, topic, self._moment(group, cycle, device, base + at))
            for device, key, topic, at in slots
        ]
        kept = [slot for slot in moved if slot[3] < end]
        return (
            [slot[0] for slot in kept], [slot[1] for slot in kept],
            [slot[2] for slot in kept], [slot[3] for slot in kept],
        )  # fmt: skip

    def _render(self, group: Group, cycle: int, first: int, last: int, out: list[Message]) -> None:
        """Append the messages of one stretch. Its loop is the inner one: everything is in a local."""
        timeline = self.timeline
        start, shift, boot = timeline.start_us, timeline.shift_us, timeline.boot.encode()
        last_us = start + (timeline.end_us or _FOREVER_US)
        devices, keys, topics, moments = self._slots(group, cycle, first, last)
        function, link, names = group.function, group.link, self._names
        sensor, waves, texts, digits = function.sensor, function.waves, group.texts, group.digits
        noise, noise_salt, (low, high) = sensor.noise, function.noise_salt, sensor.range
        normals, golden, mask = NORMAL, GOLDEN, MASK64
        scale = float(10**sensor.precision)
        encode, head, line, with_line = group.encode, group.head, group.line, self.digest
        seq, tie = cycle + 1, group.number * len(names)
        since = until = -1
        tail = digested = b""
        value: float | bytes
        for device, key, rel, topic in zip(devices, keys, moments, topics, strict=True):
            t = start + rel
            raw = waves(key, t / 1e6)
            if texts:
                value = text = texts[int(raw)]
            else:
                if noise:
                    raw += noise * normals[(((key ^ noise_salt ^ t) * golden) & mask) >> 52]
                if raw < low:
                    raw = low
                elif raw > high:
                    raw = high
                value = ((raw * scale + 0.5) // 1) / scale
                text = digits % value
            shown = t + shift
            name = names[device]
            if encode is None:
                if not since <= shown < until:
                    second, ms = divmod(shown // 1_000, 1_000)
                    since = shown // 1_000 * 1_000
                    until = since + 1_000
                    tail = group.tail % (second_text(second), ms, seq, boot)
                payload = head % (name, text) + tail
            else:
                payload = encode(name, value, shown, seq, boot)
            if with_line:
                digested = line % (rel // 1000, name, seq, text)
            sent = rel if link is None else link.sent_at(key, t, last_us) - start
            out.append((sent, tie + device, topic, payload, digested))
