"""The stream: every reading of a fleet, rendered, in the order in which it is sent.

A window of virtual time is the sorted sum of what the groups of series have in it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush
from itertools import compress, repeat
from operator import itemgetter

from msgspec import Struct

from iotcache_simulator.fleet.formats.encoders import SPARKPLUG, Encode, Format
from iotcache_simulator.fleet.formats.payload import IntegerTexts, TimeTexts
from iotcache_simulator.fleet.formats.sparkplug import historical
from iotcache_simulator.fleet.load import LiveLoad, Load
from iotcache_simulator.fleet.messages import planned
from iotcache_simulator.fleet.rendering.array_classes import array_functions
from iotcache_simulator.fleet.rendering.group import FOREVER_US, SensorGroup, TopicOf
from iotcache_simulator.fleet.rendering.joint import MessageWriter
from iotcache_simulator.fleet.rendering.value_blocks import Epoch, Moment
from iotcache_simulator.fleet.roster import Roster, interval_us
from iotcache_simulator.fleet.waves.noise import stream_key, unit

Message = tuple[int, int, bytes, bytes, bytes]
"""When it is sent (µs since the start), the number of its series, topic, payload, digest line."""

SHARDS = 64
"""Devices are dealt to this many lanes; a lane is never split between processes."""
VIRTUAL_EPOCH_US = 1_718_722_800_000_000
"""2024-06-18T15:00:00Z: when virtual time begins unless a start is given."""
_MICRO = 1_000_000
_GREET_S = 2.0
_SENT = itemgetter(0)
_JOIN = b"".join


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


class _OfTemplate(Struct, frozen=True):
    """How the readings of one sensor are told."""

    topic: TopicOf
    encode: Encode | None
    together: int | None


class Stream:
    """All messages of a fleet, window by window. Holds nothing but what is still to be sent late."""

    def __init__(
        self,
        roster: Roster,
        timeline: Timeline,
        *,
        rate: float = 0.0,
        shards: Collection[int] = range(SHARDS),
        digest: bool = True,
        greet: bool = False,
        load: Load | LiveLoad | None = None,
        scattered: bool = False,
        payload: Format = Format(),  # noqa: B008  # frozen
        topic: TopicOf | None = None,
    ) -> None:
        """``rate`` is messages a second of the whole fleet (0: each class's own intervals); only devices
        of the given ``shards`` are in this stream. ``greet``: every sensor is heard of within seconds,
        however long its interval. ``load``: how the rate changes in time. ``scattered``: each reading
        at a random moment of its interval, which for many devices comes close to a Poisson process.
        ``topic``: where a device's readings go; ``iot/{site}/{device}/{sensor}`` when not given."""
        self.timeline = timeline
        self.digest = digest
        self.scale = rate / roster.natural_rate if rate else 1.0
        self.mean_load = load.mean if load is not None else 1.0
        self._work_clock = load.work_clock() if load is not None else None
        self._scattered = scattered
        self._sparkplug = payload.name == SPARKPLUG
        self._roster = roster
        self._time_texts, self._integer_texts = TimeTexts(), IntegerTexts()
        self._epoch = Epoch(timeline.start_us)
        self._even = False
        self._names = [name.encode() for name in roster.names]
        self.groups: list[SensorGroup] = []
        self._greetings: list[SensorGroup] = []
        self._late: list[Message] = []
        self._writer = MessageWriter(roster)
        self._fewer: list[int] = []
        """Groups whose readings are told in the messages of another."""
        members: list[list[int]] = [[] for _ in roster.classes]
        for index, kind in enumerate(roster.kinds):
            if index % SHARDS in shards:
                members[kind].append(index)
        number = 0
        for kind, functions in enumerate(roster.functions):
            in_arrays = array_functions(roster.classes[kind]) if members[kind] else ()
            written = self._templates(kind, number) if members[kind] and topic is None else {}
            for place, function in enumerate(functions):
                if members[kind]:
                    every = interval_us(function.sensor, self.scale)
                    of_template = written.get(place)
                    group = SensorGroup(
                        number,
                        function,
                        in_arrays[place],
                        every,
                        members[kind],
                        roster=roster,
                        payload=payload,
                        topic=of_template.topic if of_template is not None else topic,
                        encode=of_template.encode if of_template is not None else None,
                        together=of_template.together if of_template is not None else None,
                    )
                    # Scattered readings come up to one interval after their slot: the slots begin earlier.
                    group.cycle = -1 if scattered else 0
                    self.groups.append(group)
                number += 1
        self._may_defer = scattered or any(group.link for group in self.groups)
        if greet:
            within_us = int(
                _MICRO * min(max(_GREET_S, sum(len(g.phases) for g in self.groups) / 1_000), 30.0)
            )
            slow = [group for group in self.groups if group.interval > within_us]
            self._greetings = [group.greeting(within_us) for group in slow]

    def _templates(self, kind: int, first: int) -> dict[int, _OfTemplate]:
        """By the place of its sensor, how each reading of a class with messages of its own is told.

        ``first`` is the number of the class's first group.
        """
        writer, device_class = self._writer, self._roster.classes[kind]
        found: dict[int, _OfTemplate] = {}
        for message in planned(device_class):
            sensors = {place: device_class.sensor[place] for place in message.places}
            together = (
                stream_key(0, "message", *(one.name for one in sensors.values())) if message.joint else None
            )
            if message.joint:
                writer.join(message, {first + place: sensor for place, sensor in sensors.items()})
                self._fewer += [first + place for place in message.places[1:]]
            for place, sensor in sensors.items():
                found[place] = _OfTemplate(
                    writer.topic(message, sensor), writer.encoder(message, sensor), together
                )
        return found

    @property
    def rate(self) -> float:
        """Messages a second of the devices in this stream, in the mean."""
        groups = [group for group in self.groups if group.number not in self._fewer]
        even = sum(len(group.phases) * _MICRO / group.interval for group in groups)
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
        self._settle()
        until_work = until_us if self._work_clock is None else self._work_clock.work(until_us)
        messages: list[Message] = []
        if self._greetings:
            for group in self._greetings:
                for cycle, first, last in group.due(until_work):
                    self._render(group, cycle, first, last, messages)
            self._greetings = [group for group in self._greetings if group.cycle <= group.last_cycle]
        for group in self.groups:
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
        return self._writer.joined(messages) if self._writer.joins else messages

    def _moment(self, group: SensorGroup, cycle: int, device: int, work_us: int) -> int:
        """When (virtual time since the start) the reading of a slot in work time is measured."""
        if self._scattered:
            key = self._roster.keys[device] ^ group.scatter_salt
            work_us += int(unit(key, cycle) * group.interval)
            if work_us < 0:
                return FOREVER_US
        return work_us if self._work_clock is None else self._work_clock.time(work_us)

    def _moments(self, group: SensorGroup, slot: int, count: int) -> Sequence[int]:
        """When ``count`` readings from ``slot`` on are measured, µs of virtual time since the start."""
        cycle, at = divmod(slot, len(group.phases))
        if self._even:
            base = cycle * group.interval
            return [base + phase for phase in group.phases[at : at + count]]
        return group.ahead.moments(slot, count, self._epoch, self._moment_of(group))

    def _moment_of(self, group: SensorGroup) -> Moment:
        """How the moments of a group are found that do not come evenly."""
        interval, phases, devices = group.interval, group.phases, group.devices
        return lambda cycle, at: self._moment(group, cycle, devices[at], cycle * interval + phases[at])

    def _settle(self) -> None:
        """Take note of a new start and of a load that was turned: both move what is not sent yet."""
        start_us, turn = self.timeline.start_us, self._work_clock.turns if self._work_clock is not None else 0
        if (start_us, turn) != (self._epoch.start_us, self._epoch.turn):
            self._epoch = Epoch(start_us, turn)
        self._even = not self._scattered and (self._work_clock is None or self._work_clock.even)

    def _render(self, group: SensorGroup, cycle: int, first: int, last: int, out: list[Message]) -> None:
        """Append the messages of one stretch, made column by column."""
        slot, count = cycle * len(group.phases) + first, last - first
        timeline, link, encode = self.timeline, group.link, group.encode
        moments = self._moments(group, slot, count)
        moment_of = None if self._even else self._moment_of(group)
        numbers = group.ahead.numbers(slot, count, self._epoch, moment_of)
        devices, topics = group.devices[first:last], group.topics[first:last]
        if not self._even and timeline.end_us is not None:
            kept = [moment < timeline.end_us for moment in moments]
            if not all(kept):
                moments, numbers = list(compress(moments, kept)), list(compress(numbers, kept))
                devices, topics = array("I", compress(devices, kept)), list(compress(topics, kept))
        names = list(map(self._names.__getitem__, devices))
        texts = list(map(group.text_of, numbers))
        seq, boot = cycle + 1, timeline.boot.encode()
        shown_us = timeline.start_us + timeline.shift_us
        if encode is None:
            parts = group.json
            start, middle, after, tail = *parts.parts, parts.tail(seq, boot)
            stamps = map(self._time_texts.__getitem__, [(shown_us + at) // 1_000 for at in moments])
            payloads = [
                _JOIN((start, name, middle, text, after, stamp, tail))
                for name, text, stamp in zip(names, texts, stamps, strict=True)
            ]
        else:
            values = texts if group.states else numbers
            payloads = [
                encode(name, value, shown_us + at, seq, boot)
                for name, value, at in zip(names, values, moments, strict=True)
            ]
        lines: Iterable[bytes] = repeat(b"", len(names))
        if self.digest:
            middle, whole = group.line_middle(seq), self._integer_texts
            lines = [
                _JOIN((whole[at // 1_000], b" ", name, middle, text, b"\n"))
                for at, name, text in zip(moments, names, texts, strict=True)
            ]
        sent = moments
        if link is not None:
            start_us = timeline.start_us
            last_us = start_us + (timeline.end_us or FOREVER_US)
            keys = map(self._roster.keys.__getitem__, devices)
            sent = [
                link.sent_at(key, start_us + at, start_us, last_us) - start_us
                for key, at in zip(keys, moments, strict=True)
            ]
            if self._sparkplug:
                payloads = [
                    historical(payload) if at > moment else payload
                    for payload, at, moment in zip(payloads, sent, moments, strict=True)
                ]
        tie = group.number * len(self._names)
        out.extend(zip(sent, [tie + device for device in devices], topics, payloads, lines, strict=True))
