"""Readings without a number, as most fleets of others tell them: known by their time, else by their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from iotcache.model import Series
from iotcache_simulator.ledger.sightings import Content, Sightings, Track, differences

_LOOK_AHEAD: Final = 50
"""So many readings in a row may be missing before one that came is taken for another."""


class DueReading(Struct, frozen=True):
    """One reading that was due."""

    track: Track
    seq: int
    at_us: int
    """When it was to be sent, on the clock of the place."""
    content: Content


class Unnumbered:
    """What was seen in one place of readings that have no number."""

    def __init__(self) -> None:
        self.seen: dict[Series, list[tuple[int, Content]]] = {}
        self.total = 0

    def add(self, series: Series, at_us: int, content: Content) -> None:
        """One sighting, in the order of their times."""
        self.seen.setdefault(series, []).append((at_us, content))
        self.total += 1

    def numbered(
        self,
        due: Mapping[Series, Sequence[DueReading]],
        *,
        timed: bool,
        early_us: int = 0,
        births: bool = False,
    ) -> Sightings:
        """The same with the numbers of the readings that they are; one that none can be gets a number after
        the last. ``early_us``: how much before its time a reading may be seen. ``births``: there are values
        besides that no reading of the run told, of any time."""
        found = Sightings()
        for series, sightings in self.seen.items():
            expected = due.get(series, ())
            pairs = (
                _by_time(expected, sightings, births=births)
                if timed
                else _by_order(expected, sightings, early_us)
            )
            more = expected[-1].seq if expected else 0
            for (at_us, content), reading in pairs:
                if reading is None:
                    more += 1
                    found.add(Track(series.device, series.sensor), more, at_us, content)
                else:
                    found.add(reading.track, reading.seq, at_us, content)
        return found


_Pairs = list[tuple[tuple[int, Content], DueReading | None]]


def _by_time(
    expected: Sequence[DueReading], sightings: Sequence[tuple[int, Content]], *, births: bool
) -> _Pairs:
    """Each sighting with the reading of its time; of those that are left, with one of its value.

    With ``births`` a value tells nothing: that of a birth may be that of a reading that is not there yet. And
    of several sightings of one time those that say what was due are the reading.
    """
    at = {reading.content.ts_us: reading for reading in expected}
    if births:
        right = {found.ts_us for _, found in sightings if _is_due(at.get(found.ts_us), found)}
        return [
            (one, at.get(one[1].ts_us))
            if one[1].ts_us not in right or _is_due(at.get(one[1].ts_us), one[1])
            else (one, None)
            for one in sightings
        ]
    taken: set[int | None] = set()
    pairs: _Pairs = []
    for sighting in sightings:
        reading = at.get(sighting[1].ts_us)
        pairs.append((sighting, reading))
        if reading is not None:
            taken.add(reading.content.ts_us)
    left = [reading for reading in expected if reading.content.ts_us not in taken]
    for number, (sighting, reading) in enumerate(pairs):
        if reading is None and left:
            same = next((one for one in left if one.content.value == sighting[1].value), None)
            if same is not None:
                left.remove(same)
                pairs[number] = sighting, same
    return pairs


def _is_due(reading: DueReading | None, content: Content) -> bool:
    return reading is not None and not differences(reading.content, content)


def _by_order(
    expected: Sequence[DueReading], sightings: Sequence[tuple[int, Content]], early_us: int
) -> _Pairs:
    """Each sighting with the next reading that was due by then and says the same; else with the next one."""
    left = deque(expected)
    last: DueReading | None = None
    pairs: _Pairs = []
    for sighting in sightings:
        at_us, content = sighting
        by_then = [reading for _, reading in zip(range(_LOOK_AHEAD), left, strict=False)
                   if reading.at_us <= at_us + early_us]  # fmt: skip
        match = next((n for n, one in enumerate(by_then) if not differences(one.content, content)), None)
        if match is None and last is not None and not differences(last.content, content):
            pairs.append((sighting, last))  # the same once more
            continue
        if not by_then:
            pairs.append((sighting, None))
            continue
        for _ in range((match or 0) + 1):
            last = left.popleft()
        pairs.append((sighting, last))
    return pairs
