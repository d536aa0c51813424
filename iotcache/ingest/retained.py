"""Retained readings: the broker's copies of older messages, given to whoever subscribes, at each connection.

They are no sign of life, and no news where a series has a newer reading. Taken is what fills a gap: one of a
series of which nothing is known, or one whose own time is later than all that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from iotcache.decode.incoming import EARLIEST_US
from iotcache.ingest.batches import DecodedBatch
from iotcache.model import Reading, Series, StoredReading

UNKNOWN_AGE_US: Final = EARLIEST_US
"""The time of a retained reading that has none of its own: it is older than anything that has one."""


class LatestStore(Protocol):
    """The part of `iotcache.store.base.Store` that is needed here."""

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]: ...


def as_retained(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of a message that came with the retain flag."""
    return [
        replace(one, retained=True, ts_us=UNKNOWN_AGE_US if one.ts_us == one.received_us else one.ts_us)
        for one in readings
    ]


async def drop_outdated(store: LatestStore, batch: DecodedBatch) -> int:
    """Take out of a planned batch the retained readings that fill no gap; how many. Raises `StoreError`."""
    series = {stored.reading.series for stored in batch.planned if stored.reading.retained}
    if not series:
        return 0
    latest = await store.latest_many(list(series))

    def wanted(reading: Reading) -> bool:
        known = latest.get(reading.series) if reading.retained else None
        return known is None or reading.ts_us > known.reading.ts_us

    before = len(batch.planned)
    batch.planned = [stored for stored in batch.planned if wanted(stored.reading)]
    batch.readings = [stored.reading for stored in batch.planned]
    return before - len(batch.planned)
