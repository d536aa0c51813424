"""One reading application of a scenario, with what it does around the cache."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from random import Random
from typing import Final

from msgspec import Struct

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster
from iotcache.cluster.types import Mode, SetItem
from iotcache.entry_codec import encode_reading
from iotcache.errors import StoreError
from iotcache.model import Read, Series, Source
from iotcache.tasks import end
from iotcache_simulator.lab.slow_store import SlowStoreAccess

_REFRESHING_S: Final = 2
"""How long the right to refresh a key is kept from all others."""
_NEAR_MOST: Final = 10_000
_UNCOMPRESSED: Final = 1 << 30
"""Entries have the size of their values, as those that the readers' caches load."""
MOST_COPIES: Final = 16


class ArmPolicy(Struct, frozen=True):
    """How an arm uses the cache."""

    ttl_s: float | None
    config_ttl_s: float | None
    jitter: float
    lease: bool
    failover: bool
    placement: str
    negative_ttl_s: float = 0.0
    """How long it is kept that the store has not got a series; 0: it is asked each time."""
    refresh_s: float = 0.0
    """Entries with less life than this are loaded anew in the background, while their value is served."""
    near_s: float = 0.0
    """How long a value is kept in the application itself."""
    copies: int = 1
    """Keys under which each entry is kept; a reader takes one of them at random."""
    writing: str = "through"
    """What a write does to the cache."""
    value_bytes: int = 0
    """How large values are put into the cache; 0: as they come."""
    hand_over: bool = False
    """Whether another list of nodes is a change of the ring, in which entries are handed over."""


class ApplicationTotals:
    """What was read since the last look."""

    def __init__(self) -> None:
        self.reads = self.hits = self.refreshed = 0
        self.sent = self.requests = self.nodes_asked = 0
        """Series and requests that went to the nodes, and nodes that those requests asked."""
        self.written = self.stale = 0
        """Reads of what the arm's writer writes, and those of them with an older value."""
        self.misses: Counter[str] = Counter()


class Application:
    """Reads as its policy says. ``cache_for`` makes the cache of a copy; all share one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        store: SlowStoreAccess,
        policy: ArmPolicy,
        *,
        cache_for: Callable[[int], DeviceCache],
        prefix: str,
        rng: Random,
        acknowledged: Mapping[Series, float],
    ) -> None:
        """``acknowledged``: the newest value of what the arm's writer writes."""
        self.cluster = cluster
        self.policy = policy
        self.totals = ApplicationTotals()
        self._store = store
        self._cache_for = cache_for
        self._caches: list[DeviceCache] = []
        self._prefix = prefix
        self._rng = rng
        self._acknowledged = acknowledged
        self._near: dict[Series, tuple[Read, float]] = {}
        self._refreshing: dict[Series, asyncio.Task[None]] = {}

    @property
    def cache(self) -> DeviceCache:
        """That of the first copy."""
        return self.copy(0)

    @property
    def caches(self) -> Sequence[DeviceCache]:
        """Those that were used."""
        return self._caches

    def copy(self, number: int) -> DeviceCache:
        """The cache of one copy."""
        while len(self._caches) <= number:
            self._caches.append(self._cache_for(len(self._caches)))
        return self._caches[number]

    async def close(self) -> None:
        for task in list(self._refreshing.values()):
            await end(task)

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """As `DeviceCache.read_many`, under the policy."""
        policy = self.policy
        newest = {one: self._acknowledged.get(one) for one in series} if self._acknowledged else {}
        answers: dict[int, Read] = self._near_answers(series) if policy.near_s else {}
        wanted = [at for at in range(len(series)) if at not in answers]
        if wanted and policy.negative_ttl_s:
            found = await self.cluster.get_many([self._negative_key(series[at]) for at in wanted])
            for at, one in zip(wanted, found, strict=True):
                if one.hit:
                    answers[at] = Read(*series[at], value=None, source=Source.CACHE, node=one.node)
            wanted = [at for at in wanted if at not in answers]
        if wanted:
            copy = self.copy(self._rng.randrange(policy.copies) if policy.copies > 1 else 0)
            fetched = await copy.read_many([series[at] for at in wanted])
            answers |= dict(zip(wanted, fetched, strict=True))
            totals = self.totals
            totals.sent += len(wanted)
            totals.requests += 1
            totals.nodes_asked += len({one.node for one in fetched})
            await self._keep(copy, fetched)
        # Those of now: a read that took longer than a second counts in the second in which it ended.
        totals = self.totals
        totals.reads += len(series)
        for answer in answers.values():
            totals.hits += answer.source is Source.CACHE
            if answer.miss_reason is not None:
                totals.misses[answer.miss_reason.value] += 1
            known = newest.get(Series(answer.device, answer.sensor))
            if known is not None and answer.source is not Source.NONE:
                totals.written += 1
                totals.stale += isinstance(answer.value, float | int) and answer.value < known
        return [answers[at] for at in range(len(series))]

    def _near_answers(self, series: Sequence[Series]) -> dict[int, Read]:
        now_s = time.monotonic()
        answers: dict[int, Read] = {}
        for at, one in enumerate(series):
            kept = self._near.get(one)
            if kept is not None and kept[1] > now_s:
                answers[at] = kept[0]
        return answers

    async def _keep(self, copy: DeviceCache, fetched: Sequence[Read]) -> None:
        """What the policy makes of fresh answers."""
        policy = self.policy
        if policy.near_s:
            until_s = time.monotonic() + policy.near_s
            if len(self._near) > _NEAR_MOST:
                self._near.clear()
            for one in fetched:
                if one.source is not Source.NONE:
                    kept = Read(one.device, one.sensor, one.value, Source.CACHE, node=one.node)
                    self._near[Series(one.device, one.sensor)] = kept, until_s
        if policy.negative_ttl_s:
            unknown = [one for one in fetched if one.source is Source.NONE and not one.error]
            if unknown:
                life_s = max(1, round(policy.negative_ttl_s))
                keys = [self._negative_key(Series(one.device, one.sensor)) for one in unknown]
                await self.cluster.set_many([SetItem(key, b"", 0, life_s) for key in keys])
        if policy.refresh_s:
            for one in fetched:
                if one.source is Source.CACHE and one.ttl_s is not None and one.ttl_s <= policy.refresh_s:
                    self._refresh(copy, Series(one.device, one.sensor))

    def _negative_key(self, series: Series) -> str:
        return f"{self._prefix}none:{series.device}:{series.sensor}"

    def _refresh(self, copy: DeviceCache, series: Series) -> None:
        if series not in self._refreshing:
            task = asyncio.create_task(self._load_anew(copy, series))
            self._refreshing[series] = task
            task.add_done_callback(lambda _: self._refreshing.pop(series, None))

    async def _load_anew(self, copy: DeviceCache, series: Series) -> None:
        """One application refreshes; the others find its right taken and go on serving what is there."""
        right = SetItem(
            f"{self._prefix}refresh:{series.device}:{series.sensor}", b"", 0, _REFRESHING_S, Mode.ADD
        )
        (taken,) = await self.cluster.set_many([right])
        if not taken.ok:
            return
        key = copy.keys.latest(*series)
        (seen,) = await self.cluster.get_many([key], cas=True)
        try:
            loaded = await self._store.latest_many([series])
        except StoreError:
            return
        self.totals.refreshed += 1
        if seen.hit and series in loaded:
            # Not written through: a value that has not changed is to live longer all the same. Where the
            # entry was deleted or written meanwhile, it stays so.
            reading = loaded[series].reading
            value, flags = encode_reading(reading, _UNCOMPRESSED)
            life_s = max(1, ceil(copy.plan_ttl(reading) / 1e6 - time.time()))
            await self.cluster.cas_many([SetItem(key, value, flags, life_s)], [seen])
