"""Expected against seen: what is missing where, and how long each reading took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from msgspec import Struct

from iotcache.histogram import DurationHistogram
from iotcache.model import Series
from iotcache_simulator.ledger.expected import Expected
from iotcache_simulator.ledger.seen import Seen
from iotcache_simulator.report.simulate import Missing

NAMED_MAX = 1_000
"""So many missing readings are named one by one; all are counted."""


_NOTHING = (-1, -1)


class Balance(Struct):
    """The outcome."""

    expected: int = 0
    lost: int = 0
    """Readings missing in one place at least."""
    lost_in: dict[str, int] = {}
    named: list[Missing] = []
    newest: dict[Series, tuple[int, int]] = {}
    """The last reading due of each series: reboots, sequence number."""


async def reconcile(
    due: AsyncIterator[list[Expected]],
    places: Mapping[str, Seen],
    *,
    timed: Seen | None = None,
    began_us: int = 0,
    speed: float = 1.0,
    end_to_end: DurationHistogram | None = None,
) -> Balance:
    """Hold every expected reading against every place.

    With ``timed`` (one of the places, whose times are on the clock of ``began_us``) each reading's time from
    its deadline to its sighting goes into ``end_to_end``.
    """
    balance = Balance(lost_in=dict.fromkeys(places, 0), named=[], newest={})
    counted, repeated = Seen(), 0
    async for window in due:
        for reading in window:
            counted.add(reading.track, reading.seq)
            track, seq = reading.track, reading.seq
            series = Series(track.device, track.sensor)
            place = track.reboots, seq
            if place > balance.newest.get(series, _NOTHING):
                balance.newest[series] = place
            if counted.duplicates > repeated:
                repeated = counted.duplicates  # a device that sends twice is owed one reading
                continue
            absent = tuple([name for name, seen in places.items() if not seen.when(track, seq)])
            if absent:
                balance.lost += 1
                for name in absent:
                    balance.lost_in[name] += 1
                if len(balance.named) < NAMED_MAX:
                    balance.named.append(Missing(track.device, track.sensor, seq, absent))
            if timed is not None and end_to_end is not None and (at_us := timed.when(track, seq)):
                end_to_end.add((at_us - began_us - reading.due_us / speed) / 1e3)
    balance.expected = counted.distinct()
    return balance
