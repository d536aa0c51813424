"""A published workload over keys of its own: gets by its law, what is missed put back, writes beside it.

There is no store behind it: a miss is filled at once with a value as large, and a life as long, as the shape
says. Keys begin with ``w:`` and end by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from iotcache.cluster import Cluster
from iotcache.cluster.types import SetItem
from iotcache.model import MissReason, Read, Series, Source
from iotcache_simulator.readers.popularity import Choice
from iotcache_simulator.readers.shapes import Workload

_PREFIX = "w"


class KeyedReads:
    """Reads that `iotcache_simulator.readers.workload.Readers` can make: a series is the number of a key."""

    def __init__(self, cluster: Cluster, workload: Workload, choice: Choice, seed: int) -> None:
        """``choice`` says which keys are written, by the same law as they are read."""
        self.written = 0
        """Sets that were no fills."""
        self._cluster = cluster
        self._workload = workload
        self._choice = choice
        self._rng = np.random.default_rng(seed)

    @staticmethod
    def series(keys: int) -> list[Series]:
        """All keys, by their numbers."""
        return [Series(_PREFIX, str(number)) for number in range(keys)]

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """Get, fill what was missed, and write as often as the shape does between so many gets."""
        numbers = [int(one.sensor) for one in series]
        found = await self._cluster.get_many([self._workload.key(number, _PREFIX) for number in numbers])
        missed = [number for number, one in zip(numbers, found, strict=True) if not one.hit]
        share = self._workload.shape.writes
        writes = int(self._rng.binomial(len(numbers), min(share / (1.0 - share), 1.0)))
        also = [self._choice(int(self._rng.integers(1 << 40))) for _ in range(writes)]
        self.written += writes
        stored = list(dict.fromkeys((*missed, *also)))
        if stored:
            await self._cluster.set_many([self._item(number) for number in stored])
        return [
            Read(
                *one, value=None, source=Source.CACHE if result.hit else Source.STORE, node=result.node,
                miss_reason=None if result.hit else result.failure or MissReason.NEVER_SET,
                latency_ms=result.latency_ms,
            )
            for one, result in zip(series, found, strict=True)
        ]  # fmt: skip

    def _item(self, number: int) -> SetItem:
        workload = self._workload
        size, ttl_s = int(workload.value_bytes[number]), int(workload.ttls_s[number])
        return SetItem(workload.key(number, _PREFIX), b"x" * size, 0, ttl_s)
