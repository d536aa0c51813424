"""History buckets whose entries a late reading made old: to be deleted, and once more a little later.

Buckets are put into the cache by those who read them. One who asked the store just before a late reading was
committed may put theirs there just after we deleted it: hence the second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from iotcache.cache.aggregates.recount import BUCKET_SETTLE_S
from iotcache.model import Reading, Series

BUCKETS_LIMIT: Final = 20_000
AGAIN_S: Final = 6.0
"""Longer than a reader waits for the store (`iotcache.cache.loading.STORE_TIMEOUT_S`)."""

Bucket = tuple[Series, int]
"""A series and the start of the bucket."""


class OldBuckets:
    """Which buckets are to be deleted now, and which once more."""

    def __init__(self, bucket_s: int) -> None:
        self._bucket_us = bucket_s * 1_000_000
        self._now: dict[tuple[str, str, int], None] = {}
        """Device, sensor, start."""
        self._again: deque[tuple[float, list[Bucket]]] = deque()
        self._again_size = 0
        self.unswept = 0
        """Buckets for which there was no room: an entry of theirs is old until it expires."""

    def follow(self, readings: Sequence[Reading], now_us: int) -> None:
        """Note those readings whose buckets are over."""
        length = self._bucket_us
        over_us = (now_us - round(BUCKET_SETTLE_S * 1e6)) // length * length
        for reading in readings:
            if reading.ts_us < over_us:
                bucket = (reading.device, reading.sensor, reading.ts_us // length * length)
                if len(self._now) < BUCKETS_LIMIT:
                    self._now[bucket] = None
                elif bucket not in self._now:
                    self.unswept += 1

    def due(self, now_s: float, limit: int) -> list[Bucket]:
        """Up to about ``limit`` buckets to delete now; ``now_s`` is monotonic."""
        noted = list(islice(self._now, limit))
        for bucket in noted:
            del self._now[bucket]
        taken: list[Bucket] = [(Series(device, sensor), start) for device, sensor, start in noted]
        second: list[Bucket] = []
        while self._again and self._again[0][0] <= now_s and len(second) < limit:
            second += self._again.popleft()[1]
        self._again_size -= len(second)
        if taken and self._again_size < BUCKETS_LIMIT:
            self._again.append((now_s + AGAIN_S, taken))
            self._again_size += len(taken)
        return taken + second
