"""Which readings of a run were seen in one place, and what they said there."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from iotcache.model import Value

HIGHEST_SEQ = 50_000_000
"""A number above this is not from a run of ours; it would only take memory."""
_CONFLICTS_MAX: Final = 10_000
"""Repetitions that differ from the first sighting are remembered up to this number; all are counted."""
_TEXTS_MAX: Final = 100_000
_LABELS_MAX: Final = 255
_TEXT_BITS: Final = 0x7FF8_0000_0000_0000
"""A NaN's bits, which no reading has: the low bits say which text or truth value is meant."""
_to_bits, _to_value = Struct("<d").pack, Struct("<d").unpack
_from_value, _from_bits = Struct("<q").pack, Struct("<q").unpack


class Track(NamedTuple):
    """What counts its readings: one sensor of one device since one of its reboots."""

    device: str
    sensor: str
    reboots: int = 0


class Content(NamedTuple):
    """What a reading says in one place. ``None``: that place, or that payload, does not tell."""

    value: Value | None
    ts_us: int | None = None
    unit: str | None = None
    topic: str | None = None
    """``iot/{site}/{device}/{sensor}``."""


NOTHING: Final = Content(None)


def differences(expected: Content, found: Content) -> tuple[str, ...]:
    """The fields in which ``found`` says something else, as far as ``expected`` tells. ``True`` is not 1."""
    return tuple(
        name
        for name, due, seen in zip(Content._fields, expected, found, strict=True)
        if due is not None and (due != seen or isinstance(due, bool) is not isinstance(seen, bool))
    )


def reboots(boot: str, of: str) -> int | None:
    """How many reboots after ``of`` a boot id is; ``None`` when it belongs to another run."""
    if boot == of:
        return 0
    base, mark, number = boot.rpartition("-")
    return int(number) if mark and base == of and number.isascii() and number.isdigit() else None


class _Entries:
    """The readings of one track by sequence number: 25 bytes each."""

    __slots__ = ("label_of", "labels", "times", "ts", "values")

    def __init__(self) -> None:
        self.times = array("q")
        """When each was seen first; 0 for never."""
        self.values = array("q")
        self.ts = array("q")
        self.labels = array("B")
        self.label_of: list[tuple[str | None, str | None]] = []
        """Unit and topic, of which a series has one each when all is well."""

    def label(self, unit: str | None, topic: str | None) -> int:
        """The number of a unit and topic."""
        label = unit, topic
        if self.label_of and self.label_of[0] == label:
            return 0
        if label not in self.label_of:
            if len(self.label_of) == _LABELS_MAX:
                return _LABELS_MAX
            self.label_of.append(label)
        return self.label_of.index(label)

    def grow(self, seq: int) -> None:
        """Make room for readings up to ``seq`` and some more."""
        more = seq + 1 + seq // 8 - len(self.times)
        for column in (self.times, self.values, self.ts, self.labels):
            column.frombytes(bytes(column.itemsize * more))


class Sightings:
    """Sequence numbers per track, each with the time of its first sighting and its content."""

    def __init__(self) -> None:
        self._entries: dict[Track, _Entries] = {}
        self._highest: dict[Track, int] = {}
        self._texts: list[str | bool | None] = [None]
        self._text_number: dict[str | bool | None, int] = {}
        self.total = 0
        """Sightings, repetitions included."""
        self.duplicates = 0
        self.out_of_order = 0
        """First sightings of a reading after a later one of its track."""
        self.impossible = 0
        """Sightings whose number no run of ours has."""
        self.conflicts: dict[tuple[Track, int], list[Content]] = {}
        """Repetitions that say something else than the first sighting of their reading."""

    def add(self, track: Track, seq: int, at_us: int = 1, content: Content = NOTHING) -> None:
        """One sighting, at ``at_us`` (> 0, on whatever clock the caller compares with)."""
        if not 0 <= seq <= HIGHEST_SEQ:
            self.impossible += 1
            return
        self.total += 1
        entries = self._entries.get(track)
        if entries is None:
            entries = self._entries[track] = _Entries()
        if seq >= len(entries.times):
            entries.grow(seq)
        if entries.times[seq]:
            self.duplicates += 1
            if differences(content, self.content(track, seq)) and len(self.conflicts) < _CONFLICTS_MAX:
                self.conflicts.setdefault((track, seq), []).append(content)
            return
        entries.times[seq] = at_us
        entries.values[seq] = self._packed(content.value)
        entries.ts[seq] = -1 if content.ts_us is None else content.ts_us
        entries.labels[seq] = entries.label(content.unit, content.topic)
        if seq < self._highest.get(track, -1):
            self.out_of_order += 1
        else:
            self._highest[track] = seq

    def when(self, track: Track, seq: int) -> int:
        """When a reading was first seen; 0 for never."""
        entries = self._entries.get(track)
        return entries.times[seq] if entries is not None and seq < len(entries.times) else 0

    def content(self, track: Track, seq: int) -> Content:
        """What a reading that was seen said at its first sighting."""
        entries = self._entries[track]
        label = entries.labels[seq]
        unit, topic = entries.label_of[label] if label < len(entries.label_of) else ("?", "?")
        ts_us = entries.ts[seq]
        return Content(self._unpacked(entries.values[seq]), None if ts_us < 0 else ts_us, unit, topic)

    def says(self, track: Track, seq: int, content: Content) -> bool:
        """Whether every sighting of a reading that was seen says just this; quicker than `differences`."""
        entries = self._entries[track]
        label = entries.labels[seq]
        return (
            entries.values[seq] == self._packed(content.value)
            and entries.ts[seq] == content.ts_us
            and label < len(entries.label_of)
            and entries.label_of[label] == (content.unit, content.topic)
            and (track, seq) not in self.conflicts
        )

    def only(self, wanted: set[tuple[Track, int]]) -> None:
        """Forget all other readings, none of them repeated."""
        for track, seq in [one for one in self if one not in wanted]:
            self._entries[track].times[seq] = 0
            self.total -= 1

    def distinct(self) -> int:
        """How many different readings were seen."""
        return self.total - self.duplicates

    def __iter__(self) -> Iterator[tuple[Track, int]]:
        """Every reading that was seen, once."""
        for track, entries in self._entries.items():
            for seq, at_us in enumerate(entries.times):
                if at_us:
                    yield track, seq

    def _packed(self, value: Value | None) -> int:
        """A value in 64 bits: a number as a float, a text or truth value by its number in a table."""
        if type(value) is float:
            bits: int = _from_bits(_to_bits(value + 0.0))[0]  # -0.0 is 0.0
            return bits
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return self._packed(float(value))
            except OverflowError:
                value = f"{value:d}"[:64]
        number = self._text_number.get(value)
        if number is None:
            number = self._text_number[value] = min(len(self._texts), _TEXTS_MAX)
            if number < _TEXTS_MAX:
                self._texts.append(value)
        return _TEXT_BITS | number

    def _unpacked(self, bits: int) -> Value | None:
        if bits & _TEXT_BITS == _TEXT_BITS and bits > 0:
            number = bits ^ _TEXT_BITS
            return self._texts[number] if number < len(self._texts) else "(one of too many texts)"
        return float(_to_value(_from_value(bits))[0])
