"""History buckets whose entries a late reading has outdated: to be deleted, and once more a little later.

Buckets are put into the cache by their readers. Without a lease, one that read the store just before a late
reading was committed may put its bucket there just after we deleted it: hence the second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from iotcache.cache.aggregates.recount import BUCKET_SETTLE_S
from iotcache.model import Reading, Series

BUCKETS_LIMIT: Final = 20_000
REPEAT_AFTER_S: Final = 6.0
"""Longer than a reader waits for the store (`iotcache.cache.loading.STORE_TIMEOUT_S`)."""

Bucket = tuple[Series, int]
"""A series and the start of the bucket."""


class OutdatedBuckets:
    """The buckets to be deleted now, and those to be deleted once more."""

    def __init__(self, bucket_s: int) -> None:
        self._bucket_us = bucket_s * 1_000_000
        self._noted: dict[tuple[str, str, int], None] = {}
        """Device, sensor, start."""
        self._repeats: deque[tuple[float, list[Bucket]]] = deque()
        self._repeats_size = 0
        self.unswept = 0
        """Buckets for which there was no room: their entries are outdated until they expire."""

    def follow(self, readings: Sequence[Reading], now_us: int) -> None:
        """Note the readings whose buckets have ended."""
        length = self._bucket_us
        ended_us = (now_us - round(BUCKET_SETTLE_S * 1e6)) // length * length
        for reading in readings:
            if reading.ts_us < ended_us:
                bucket = (reading.device, reading.sensor, reading.ts_us // length * length)
                if len(self._noted) < BUCKETS_LIMIT:
                    self._noted[bucket] = None
                elif bucket not in self._noted:
                    self.unswept += 1

    def due(self, now_s: float, limit: int) -> list[Bucket]:
        """Up to about ``limit`` buckets to delete now; ``now_s`` is monotonic."""
        noted = list(islice(self._noted, limit))
        for bucket in noted:
            del self._noted[bucket]
        taken: list[Bucket] = [(Series(device, sensor), start) for device, sensor, start in noted]
        second: list[Bucket] = []
        while self._repeats and self._repeats[0][0] <= now_s and len(second) < limit:
            second += self._repeats.popleft()[1]
        self._repeats_size -= len(second)
        if taken and self._repeats_size < BUCKETS_LIMIT:
            self._repeats.append((now_s + REPEAT_AFTER_S, taken))
            self._repeats_size += len(taken)
        return taken + second
