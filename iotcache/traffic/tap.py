"""What a program's own reads and writes come to: an observer for its cluster client, for nodes without a log.

    tap = TrafficTap(memory_bytes)
    cluster.observer = tap

Off unless somebody puts it there. It sees this program alone: where others write the same entries, a hit on
what should have expired tells of their set. It samples by the hash that a text has with it anyway, a few
keys of each batch say what groups there are, and fewer keys are sampled where that would take more than
`COST_MOST` of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from time import monotonic, thread_time
from typing import Final

import numpy as np

from iotcache.advisor.item_size import DEFAULT_CHUNKS, item_bytes
from iotcache.advisor.references import Found, Kind, Reference
from iotcache.cluster.types import GetResult, SetItem, WriteResult
from iotcache.traffic.groups import Groups
from iotcache.traffic.meter import TrafficMeter
from iotcache.traffic.watch_lines import What

COST_MOST: Final = 0.01
"""Share of this thread's processor time that taking in sampled keys may take …"""
_COST_IDLE: Final = 0.005
"""… or of the time that goes by, in a thread that has little to do."""
_ALLOWED_S: Final = 0.01
"""Spent before that counts: the first batches are all new."""
_KEYS_LEAST: Final = 200
"""Fewer sampled keys say nothing."""
_COUNT_EVERY: Final = (0.3, 5.0)
"""A batch is looked through for frequent keys after so many seconds of this thread's processor, or by the
clock."""
_GROUP_EVERY: Final = 100
"""One in so many keys of a batch, and one at the least, is looked at for its group."""
_MISSED_MOST: Final = 10_000
_KEY: Final = attrgetter("key")


class TrafficTap:
    """A `TrafficMeter` of all nodes together, fed by a cluster client in this process."""

    def __init__(
        self, memory_bytes: int, *, rate: float = 1.0, now_s: Callable[[], float] = monotonic
    ) -> None:
        """``memory_bytes`` of all nodes; ``rate`` is the share of keys to begin sampling with."""
        self.groups = Groups()
        self.meter = TrafficMeter(memory_bytes, self.groups, rate=rate)
        self.meter.sampler.lossy = True
        self._now_s = now_s
        self._missed: set[str] = set()
        self._uncounted = 0
        """Batches since the last one that was looked through for frequent keys."""
        self._counted = (0.0, -_COUNT_EVERY[1])
        self._turn = 0
        self._began: tuple[float, float] | None = None
        self._spent_s = 0.0

    # As an observer

    def read(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        if not keys:
            return
        now_s = self._now_s()
        self._count_groups(keys, results)
        self._uncounted += 1
        cpu_s = thread_time()
        if cpu_s - self._counted[0] >= _COUNT_EVERY[0] or now_s - self._counted[1] >= _COUNT_EVERY[1]:
            self._counted = cpu_s, now_s
            self._count_keys(keys, results)
        sampled = self._sampled(keys)
        if sampled:
            begun_s = thread_time()
            for at, hashed in sampled:
                self._take_read(now_s, hashed, keys[at], results[at])
            self._account(now_s, begun_s)

    def written(self, items: Sequence[SetItem], results: Sequence[WriteResult]) -> None:
        if not items:
            return
        self.meter.counts[What.SET] += len(items)
        sampled = self._sampled(list(map(_KEY, items)))
        if sampled:
            now_s, begun_s = self._now_s(), thread_time()
            for at, hashed in sampled:
                if results[at].ok:
                    self._take_write(now_s, hashed, items[at])
            self._account(now_s, begun_s)

    def deleted(self, keys: Sequence[str]) -> None:
        self.meter.counts[What.DELETE] += len(keys)
        now_s = self._now_s()
        for at, hashed in self._sampled(keys) if keys else ():
            group = self.groups.number(keys[at].encode())
            self.meter.sampler.take(Reference(hashed, Kind.DELETE, now_s, 0, 0.0, group))

    # One batch

    def _sampled(self, keys: Sequence[str]) -> list[tuple[int, int]]:
        """The places of sampled keys in the batch, and their hashes."""
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys)).view(np.uint64) >> np.uint64(32)
        places = np.flatnonzero(hashes < self.meter.sampler.threshold).tolist()
        return [(at, int(hashes[at])) for at in places]

    def _count_groups(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        """By some keys of the batch, others than of the batch before: the whole is split as they are."""
        meter, size = self.meter, len(keys)
        self._turn = (self._turn + 37) % _GROUP_EVERY
        looked = range(self._turn % size, size, _GROUP_EVERY)
        weight = size / len(looked)
        for at in looked:
            group = self.groups.number(keys[at].encode())
            meter.group_gets[group] += weight
            meter.group_hits[group] += weight * results[at].hit
            meter.sampler.count(((group, weight),))
            meter.counts[What.HIT if results[at].hit else What.MISS] += round(weight)

    def _count_keys(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        """Look through this batch for frequent keys, for all that came since the last one."""
        weight, meter = self._uncounted, self.meter
        self._uncounted = 0
        often = Counter(keys)
        meter.gets.add({key.encode(): count * weight for key, count in often.items()})
        missed = Counter(key for key, result in zip(keys, results, strict=True) if not result.hit)
        meter.misses.add({key.encode(): count * weight for key, count in missed.items()})

    def _account(self, now_s: float, begun_s: float) -> None:
        """Sample fewer keys from now on where taking them in since ``begun_s`` has cost too much."""
        cpu_s = thread_time()
        if self._began is None:
            self._began = now_s, begun_s
        self._spent_s += cpu_s - begun_s
        most_s = max(COST_MOST * (cpu_s - self._began[1]), _COST_IDLE * (now_s - self._began[0]))
        if self._spent_s > _ALLOWED_S + most_s and self.meter.sampler.keys > _KEYS_LEAST:
            self.meter.sampler.thin(0.5)
            self._began, self._spent_s = (now_s, cpu_s), 0.0

    # One sampled key

    def _take_read(self, now_s: float, hashed: int, key: str, result: GetResult) -> None:
        sampler = self.meter.sampler
        if result.failure or hashed >= sampler.threshold:
            return
        chunk, found = 0, Found.MISS
        if result.hit:
            found = Found.HIT
            self._missed.discard(key)
            chunk = DEFAULT_CHUNKS.chunk(item_bytes(len(key), len(result.value), flags=result.flags > 0))
        elif len(self._missed) < _MISSED_MOST:
            self._missed.add(key)
        group = self.groups.number(key.encode())
        sampler.take(Reference(hashed, Kind.GET, now_s, chunk, 0.0, group, found))

    def _take_write(self, now_s: float, hashed: int, item: SetItem) -> None:
        sampler, key = self.meter.sampler, item.key
        if hashed >= sampler.threshold:
            return
        group = self.groups.number(key.encode())
        self.meter.lives[group].append(float(item.ttl_s))
        kind = Kind.FILL if key in self._missed else Kind.WRITE
        self._missed.discard(key)
        chunk = DEFAULT_CHUNKS.chunk(item_bytes(len(key), len(item.value), flags=item.flags > 0))
        sampler.take(Reference(hashed, kind, now_s, chunk, float(item.ttl_s), group))
