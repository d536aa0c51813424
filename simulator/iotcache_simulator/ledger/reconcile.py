"""Expected against seen: what is missing, altered or foreign where, and how long each reading took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from msgspec import Struct

from iotcache.clock import utc_text
from iotcache.histogram import DurationHistogram
from iotcache.model import Series, Value
from iotcache_simulator.ledger.expected import Expected
from iotcache_simulator.ledger.sightings import Content, Sightings, Track, differences
from iotcache_simulator.report.simulate import Deviation, Foreign, Missing

NAMED_MAX = 1_000
"""So many readings of each kind are named one by one; all are counted."""
_FIELD_NAMES = {"ts_us": "ts"}


class Newest(Struct, frozen=True):
    """The last reading due of one series."""

    reboots: int
    seq: int
    due_us: int
    """Virtual time since the start at which it was to be sent."""
    content: Content


class Balance(Struct):
    """The outcome."""

    expected: int = 0
    lost: int = 0
    """Readings missing in one place at least; likewise below."""
    lost_in: dict[str, int] = {}
    missing: list[Missing] = []
    altered: int = 0
    altered_in: dict[str, int] = {}
    misplaced: int = 0
    misplaced_in: dict[str, int] = {}
    deviations: list[Deviation] = []
    foreign: int = 0
    foreign_in: dict[str, int] = {}
    foreign_readings: list[Foreign] = []
    repeated: int = 0
    """Readings that were due again, because a fault sends them twice."""
    out_of_order: int = 0
    """Readings that were due after a later one of their series, because of a fault."""
    newest: dict[Series, Newest] = {}

    @classmethod
    def of(cls, places: Mapping[str, Sightings]) -> Balance:
        zeros = [dict.fromkeys(places, 0) for _ in range(4)]
        return cls(
            lost_in=zeros[0], altered_in=zeros[1], misplaced_in=zeros[2], foreign_in=zeros[3],
            missing=[], deviations=[], foreign_readings=[], newest={},
        )  # fmt: skip

    def note_foreign(self, track: Track, seq: int, place: str) -> None:
        """A reading under this run's boot id that it never sent."""
        self.foreign += 1
        self.foreign_in[place] += 1
        if len(self.foreign_readings) < NAMED_MAX:
            self.foreign_readings.append(Foreign(track.device, track.sensor, seq, place))

    def deviates(self, track: Track, seq: int, found: Mapping[str, list[tuple[Content, Content]]]) -> None:
        """A reading that says something else in some places: by place what was due, and what was found."""
        altered: set[str] = set()
        misplaced: set[str] = set()
        for place, pairs in found.items():
            for due, seen in pairs:
                for field in differences(due, seen):
                    (misplaced if field == "topic" else altered).add(place)
                    if len(self.deviations) < NAMED_MAX:
                        self.deviations.append(
                            Deviation(
                                track.device, track.sensor, seq, place, _FIELD_NAMES.get(field, field),
                                _shown(field, getattr(due, field)), _shown(field, getattr(seen, field)),
                            )
                        )  # fmt: skip
        self.altered += bool(altered)
        self.misplaced += bool(misplaced)
        for place in altered:
            self.altered_in[place] += 1
        for place in misplaced:
            self.misplaced_in[place] += 1


def _shown(field: str, value: Value | None) -> Value | None:
    """Times as RFC 3339, as payloads show them."""
    return utc_text(int(value)) if field == "ts_us" and value is not None else value


async def reconcile(
    due: AsyncIterator[list[Expected]],
    places: Mapping[str, Sightings],
    *,
    timed: Sightings | None = None,
    began_us: int = 0,
    speed: float = 1.0,
    end_to_end: DurationHistogram | None = None,
) -> Balance:
    """Hold every expected reading against every place, by identity and by content.

    With ``timed`` (one of the places, whose times are on the clock of ``began_us``) each reading's time from
    its deadline to its sighting goes into ``end_to_end``.
    """
    balance = Balance.of(places)
    counted = Sightings()
    matched = dict.fromkeys(places, 0)
    async for window in due:
        for reading in window:
            track, seq = reading.track, reading.seq
            repeated = counted.duplicates
            counted.add(track, seq)
            series = Series(track.device, track.sensor)
            last = balance.newest.get(series)
            if last is None or (track.reboots, seq) > (last.reboots, last.seq):
                balance.newest[series] = Newest(track.reboots, seq, reading.due_us, reading.content)
            if counted.duplicates > repeated:
                continue  # a device that sends twice is owed one reading
            _check(balance, reading, places, matched)
            if timed is not None and end_to_end is not None and (at_us := timed.when(track, seq)):
                end_to_end.add((at_us - began_us - reading.due_us / speed) / 1e3)
    balance.expected = counted.distinct()
    balance.repeated, balance.out_of_order = counted.duplicates, counted.out_of_order
    for place, seen in places.items():
        _find_foreign(balance, place, seen, counted, seen.distinct() - matched[place])
    return balance


def _check(
    balance: Balance, reading: Expected, places: Mapping[str, Sightings], matched: dict[str, int]
) -> None:
    """One reading in every place."""
    track, seq = reading.track, reading.seq
    absent: list[str] = []
    deviating: dict[str, list[tuple[Content, Content]]] = {}
    for place, seen in places.items():
        if not seen.when(track, seq):
            absent.append(place)
            continue
        matched[place] += 1
        if seen.says(track, seq, reading.content):
            continue
        found = [seen.content(track, seq), *seen.conflicts.get((track, seq), ())]
        wrong = [(reading.content, content) for content in found if differences(reading.content, content)]
        if wrong:
            deviating[place] = wrong
    if deviating:
        balance.deviates(track, seq, deviating)
    if absent:
        balance.lost += 1
        for place in absent:
            balance.lost_in[place] += 1
        if len(balance.missing) < NAMED_MAX:
            balance.missing.append(Missing(track.device, track.sensor, seq, tuple(absent)))


def _find_foreign(balance: Balance, place: str, seen: Sightings, due: Sightings, count: int) -> None:
    """Readings under this run's boot id that it never sent; ``count`` of them have a possible number."""
    balance.foreign += seen.impossible
    balance.foreign_in[place] = seen.impossible
    if count:
        for track, seq in seen:
            if not due.when(track, seq):
                balance.note_foreign(track, seq, place)
