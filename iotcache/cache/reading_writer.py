"""Readings of an application, stored and put into the cache in one call."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from iotcache.cache.context import CacheContext
from iotcache.cache.intervals import Intervals
from iotcache.cache.write_through import WriteThrough
from iotcache.decode.incoming import checked
from iotcache.decode.outcomes import Refused
from iotcache.errors import ReadingRefused
from iotcache.model import Reading, Series, StoredReading, Value


class Written(Struct, frozen=True):
    """What became of readings that are on disk now."""

    stored: int
    """New in the store."""
    duplicates: int
    """There already, with the same value."""
    conflicts: int
    """There already with another value; each is kept as a dead letter."""
    cached: int
    """Entries that were set: those of series that these readings moved on."""
    uncached: tuple[Series, ...] = ()
    """Series whose entry could not be set, as their node is out: an old entry there is deleted as soon as it
    answers, and until then reads go to the store."""


class ReadingWriter:
    """Plan, commit, write through; it learns how often each series reports, for the TTL of its entry."""

    def __init__(self, context: CacheContext, writes: WriteThrough) -> None:
        self._context = context
        self._writes = writes
        self._intervals = Intervals()

    async def write(self, readings: Sequence[Reading]) -> Written:
        """See `DeviceCache.write`."""
        now_us = round(self._context.clock.now() * 1e6)
        taken = [self._taken(position, reading, now_us) for position, reading in enumerate(readings)]
        planned = list(map(StoredReading, taken, self._writes.plan_ttls(taken)))
        committed = await self._context.store.commit(planned)
        results = await self._writes.write_through(committed.newest)
        uncached = tuple(
            stored.reading.series
            for stored, result in zip(committed.newest, results, strict=True)
            if not result.ok
        )
        return Written(
            committed.stored,
            committed.duplicates,
            committed.conflicts,
            len(results) - len(uncached),
            uncached,
        )

    def _taken(self, position: int, reading: Reading, now_us: int) -> Reading:
        """The reading as it is stored: checked, with the time it came in and the interval of its series."""
        received_us = reading.received_us or now_us
        try:
            taken = checked(
                reading.device, reading.sensor, _plain(reading.value), reading.ts_us, unit=reading.unit,
                site=reading.site, seq=reading.seq, boot=reading.boot, received_us=received_us,
            )  # fmt: skip
        except Refused as error:
            raise ReadingRefused(f"reading no. {position + 1} cannot be kept: {error}") from error
        except TypeError as error:  # an application's own types, which no decoder has seen
            raise ReadingRefused(
                f"reading no. {position + 1} has a field of the wrong type: {error}"
            ) from error
        interval_s = reading.interval_s
        if not interval_s and reading.is_news:
            interval_s = self._intervals.note(taken.device, taken.sensor, taken.ts_us)
        return replace(taken, interval_s=interval_s, historical=reading.historical, retained=reading.retained)


def _plain(value: object) -> Value:
    """The value as a type that stores know: an enum's text and numpy's numbers become Python's own."""
    if type(value) in (float, int, bool, str):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise Refused(f"its value is of type {type(value).__name__}: a number, a truth value or a text is needed")
