"""What a program's own reads and writes come to: an observer for its cluster client, for nodes without a log.

    tap = TrafficTap(memory_bytes)
    cluster.observer = tap

Off unless somebody puts it there. It sees this program alone: where others write the same entries, a hit on
what should have expired tells of their set. It samples by the hash that a text has with it anyway, and a few
keys of each batch say what groups there are. It takes `COST_MOST` of the thread's processor time and no more:
fewer keys are sampled where that would not do, and where few are left it looks on for a while and then rests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import inf
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

COST_MOST: Final = 0.02
"""Share of this thread's processor time that it may take (as much again is lost in displaced caches) …"""
_COST_IDLE: Final = 0.001
"""… or of the time that goes by, in a thread that has little to do."""
BURST_S: Final = 10.0
"""After so long its cost is looked at, and it may rest for a while …"""
_REST_MOST: Final = 30.0
"""… at most so many times as long."""
_KEYS_LEAST: Final = 400
"""Fewer sampled keys say little; half of them are the least that stay."""
_COUNT_EVERY: Final = (0.6, 5.0)
"""A batch is looked through for frequent keys after so many seconds of this thread's processor, or by the
clock."""
_GROUP_EVERY: Final = 200
"""One in so many keys of a batch, and one at the least, is looked at for its group."""
_MISSED_MOST: Final = 10_000
_HIT: Final = attrgetter("hit")


class TrafficTap:
    """A `TrafficMeter` of all nodes together, fed by a cluster client in this process."""

    def __init__(
        self,
        memory_bytes: int,
        *,
        rate: float = 1.0,
        burst_s: float = BURST_S,
        now_s: Callable[[], float] = monotonic,
        cpu_s: Callable[[], float] = thread_time,
    ) -> None:
        """``memory_bytes`` of all nodes; ``rate`` is the share of keys to begin sampling with.

        ``cpu_s`` is the processor time of the thread that reads and writes.
        """
        self.groups = Groups()
        self.meter = TrafficMeter(memory_bytes, self.groups, rate=rate)
        self.meter.sampler.lossy = True
        self._now_s, self._thread_s = now_s, cpu_s
        self._missed: set[str] = set()
        self._uncounted = 0
        """Batches since the last one that was looked through for frequent keys."""
        self._counted = (0.0, -_COUNT_EVERY[1])
        self._turn = 0
        self._burst_s = burst_s
        self._burst: tuple[float, float] | None = None
        """When this burst began, by the clock and in processor time of the thread; ``None``: at rest."""
        self._rests_until_s = -inf
        self._spent_s = 0.0
        """Processor time, in this burst."""
        self.cpu_s = 0.0
        """Processor time that it has taken until now."""

    # As an observer

    def read(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        now_s = self._now_s()
        if now_s < self._rests_until_s or not keys:
            return
        begun_s = self._begin(now_s)
        self._count_groups(keys, results)
        self._uncounted += 1
        if begun_s - self._counted[0] >= _COUNT_EVERY[0] or now_s - self._counted[1] >= _COUNT_EVERY[1]:
            self._counted = begun_s, now_s
            self._count_keys(keys, results)
        places, hashes = self._sampled(keys)
        if places:
            for at in self._others(now_s, places, hashes, keys, results):
                self._take_read(now_s, hashes[at], keys[places[at]], results[places[at]])
        self._account(now_s, begun_s)

    def written(self, items: Sequence[SetItem], results: Sequence[WriteResult]) -> None:
        now_s = self._now_s()
        if now_s < self._rests_until_s or not items:
            return
        begun_s = self._begin(now_s)
        self.meter.counts[What.SET] += len(items)
        self._note_lives(items)
        places, hashes = self._sampled([item.key for item in items])
        if places:
            self._take_writes(now_s, hashes, [items[at] for at in places], [results[at] for at in places])
        self._account(now_s, begun_s)

    def deleted(self, keys: Sequence[str]) -> None:
        now_s = self._now_s()
        if now_s < self._rests_until_s or not keys:
            return
        begun_s = self._begin(now_s)
        self.meter.counts[What.DELETE] += len(keys)
        for at, hashed in zip(*self._sampled(keys), strict=True):
            group = self.groups.number(keys[at].encode())
            self.meter.sampler.take(Reference(hashed, Kind.DELETE, now_s, 0, 0.0, group))
        self._account(now_s, begun_s)

    # What it costs

    def _begin(self, now_s: float) -> float:
        """The thread's processor time now."""
        begun_s = self._thread_s()
        if self._burst is None:
            if self._rests_until_s > -inf:
                self.meter.sampler.gap()
                self._missed.clear()
            self._burst, self._spent_s = (now_s, begun_s), 0.0
        return begun_s

    def _account(self, now_s: float, begun_s: float) -> None:
        """At the end of a burst: sample fewer keys from now on, or rest, as far as it was too dear."""
        cpu_s = self._thread_s()
        self._spent_s += cpu_s - begun_s
        self.cpu_s += cpu_s - begun_s
        if self._burst is None or now_s - self._burst[0] < self._burst_s:
            return
        others_s = cpu_s - self._burst[1] - self._spent_s
        over = self._spent_s / max(COST_MOST * others_s, _COST_IDLE * (now_s - self._burst[0]))
        if over > 1.0 and self.meter.sampler.keys > _KEYS_LEAST:
            self.meter.sampler.thin(max(0.5, 1.0 / over))
        self._burst, self._spent_s = (now_s, cpu_s), 0.0
        if over > 1.0:
            self._burst = None
            self._rests_until_s = now_s + min(over - 1.0, _REST_MOST) * self._burst_s

    # One batch

    def _sampled(self, keys: Sequence[str]) -> tuple[list[int], list[int]]:
        """The places of sampled keys in the batch, and their hashes."""
        # By way of a list: it takes three quarters of the time of `np.fromiter`.
        hashes = np.array(list(map(hash, keys)), np.int64).view(np.uint64) >> np.uint64(32)
        places = np.flatnonzero(hashes < self.meter.sampler.threshold)
        return places.tolist(), hashes[places].tolist()

    def _others(
        self,
        now_s: float,
        places: list[int],
        hashes: list[int],
        keys: Sequence[str],
        results: Sequence[GetResult],
    ) -> Sequence[int]:
        """Count the hits that are ones whatever the memory; which of the sampled keys are to be looked at."""
        missed, sampler = self._missed, self.meter.sampler
        if missed or not all(map(_HIT, map(results.__getitem__, places))):
            hits = [at for at, place in enumerate(places) if results[place].hit and keys[place] not in missed]
            look = [hits[at] for at in sampler.hits([hashes[at] for at in hits], now_s)]
            return sorted({*range(len(places))}.difference(hits).union(look))
        return sampler.hits(hashes, now_s)

    def _count_groups(self, keys: Sequence[str], results: Sequence[GetResult]) -> None:
        """By some keys of the batch, others than of the batch before: the whole is split as they are."""
        meter, size = self.meter, len(keys)
        looked = self._looked(size)
        weight = size / len(looked)
        for at in looked:
            group = self.groups.number(keys[at].encode(), read=False)
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

    def _note_lives(self, items: Sequence[SetItem]) -> None:
        """Of some of the batch: what the last sets of each group were given."""
        for at in self._looked(len(items)):
            group = self.groups.number(items[at].key.encode(), read=False)
            self.meter.lives[group].append(float(items[at].ttl_s))

    def _looked(self, size: int) -> range:
        """The places of a few of a batch, others than of the batch before."""
        self._turn = (self._turn + 37) % _GROUP_EVERY
        return range(self._turn % size, size, _GROUP_EVERY)

    def _take_writes(
        self, now_s: float, hashes: list[int], items: Sequence[SetItem], results: Sequence[WriteResult]
    ) -> None:
        """Most of them are of entries that are known: what they change takes a tenth of the time."""
        missed = self._missed
        chunks = [_chunk(len(item.key), len(item.value), item.flags > 0) for item in items]
        looked: Iterable[int] = range(len(items))
        if not (missed and any(item.key in missed for item in items)) and all(one.ok for one in results):
            looked = self.meter.sampler.rewrites(hashes, chunks, [float(one.ttl_s) for one in items], now_s)
        for at in looked:
            if results[at].ok:
                self._take_write(now_s, hashes[at], chunks[at], items[at])

    # One sampled key

    def _take_read(self, now_s: float, hashed: int, key: str, result: GetResult) -> None:
        sampler = self.meter.sampler
        if result.failure or hashed >= sampler.threshold:
            return
        chunk, found = 0, Found.MISS
        if result.hit:
            found = Found.HIT
            self._missed.discard(key)
            chunk = _chunk(len(key), len(result.value), result.flags > 0)
        elif len(self._missed) < _MISSED_MOST:
            self._missed.add(key)
        group = self.groups.number(key.encode())
        sampler.take(Reference(hashed, Kind.GET, now_s, chunk, 0.0, group, found))

    def _take_write(self, now_s: float, hashed: int, chunk: int, item: SetItem) -> None:
        sampler, key = self.meter.sampler, item.key
        if hashed >= sampler.threshold:
            return
        group = self.groups.number(key.encode(), read=False)
        kind = Kind.FILL if key in self._missed else Kind.WRITE
        self._missed.discard(key)
        sampler.take(Reference(hashed, kind, now_s, chunk, float(item.ttl_s), group))


@lru_cache(maxsize=4_096)
def _chunk(key_bytes: int, value_bytes: int, flags: bool) -> int:
    return DEFAULT_CHUNKS.chunk(item_bytes(key_bytes, value_bytes, flags=flags))
