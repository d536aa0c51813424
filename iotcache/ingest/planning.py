"""Before a commit: the interval of each series, and until when the cache entry of a reading is to live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from iotcache.cache.intervals import Intervals
from iotcache.clock import Clock
from iotcache.decode.outcomes import dead_letter
from iotcache.faults import Faults, describe
from iotcache.ingest.batches import DecodedBatch
from iotcache.model import DeadLetter, Reading, StoredReading

PLAN_KEPT_S: Final = 1.0
"""A batch that waited longer for its commit is planned anew: its entries are to live from then on."""
_STAGE: Final = "planning a batch"


class TtlPlanner(Protocol):
    """The part of `iotcache.cache.DeviceCache` that is needed here."""

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        """Until when each reading's entry is to live, in microseconds since the epoch."""
        ...


class Planner:
    """Plans batches. A reading that cannot be planned becomes a dead letter, and the others go on."""

    def __init__(self, cache: TtlPlanner, clock: Clock, faults: Faults) -> None:
        self.intervals = Intervals()
        self._cache = cache
        self._clock = clock
        self._faults = faults

    def plan(self, batch: DecodedBatch) -> None:
        """Fill in ``batch.planned``."""
        try:
            batch.readings = self._with_intervals(batch.readings)
            batch.planned = self._planned(batch.readings)
        except Exception as error:
            self._faults.note(_STAGE, error)
            self._plan_singly(batch)
        batch.planned_s = self._clock.monotonic()

    def refresh(self, batch: DecodedBatch) -> None:
        """Plan the TTLs again when that was too long ago."""
        if self._clock.monotonic() - batch.planned_s <= PLAN_KEPT_S:
            return
        try:
            batch.planned = self._planned(batch.readings)
        except Exception as error:  # the plan before it stands
            self._faults.note(_STAGE, error)
        batch.planned_s = self._clock.monotonic()

    def _planned(self, readings: Sequence[Reading]) -> list[StoredReading]:
        return list(map(StoredReading, readings, self._cache.plan_ttls(readings)))

    def _plan_singly(self, batch: DecodedBatch) -> None:
        readings: list[Reading] = []
        planned: list[StoredReading] = []
        for reading in batch.readings:
            try:
                (noted,) = self._with_intervals([reading])
                (plan,) = self._planned([noted])
            except Exception as error:
                reason = f"planning failed on it: {describe(error)}"
                batch.dead_letters.append(refused_reading(reading, reason))
            else:
                readings.append(noted)
                planned.append(plan)
        batch.readings, batch.planned = readings, planned

    def _with_intervals(self, readings: Sequence[Reading]) -> list[Reading]:
        note = self.intervals.note
        return [
            Reading(
                one.device, one.sensor, one.value, one.ts_us, one.unit, one.site, one.seq, one.boot,
                one.received_us,
                # As `Reading.is_news`: asked for every reading.
                0.0 if one.historical or one.retained else note(one.device, one.sensor, one.ts_us),
                one.historical, one.retained,
            )
            for one in readings
        ]  # fmt: skip


def refused_reading(reading: Reading, reason: str) -> DeadLetter:
    """A dead letter of a reading that was decoded and cannot be kept."""
    try:
        payload = msgspec.json.encode(reading)
    except Exception:  # what cannot be encoded is kept as Python shows it
        payload = repr(reading).encode("utf-8", "backslashreplace")
    return dead_letter(f"{reading.device}/{reading.sensor}", payload, reason, reading.received_us)
