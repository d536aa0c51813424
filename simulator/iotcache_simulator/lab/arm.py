"""One arm of a scenario: applications that read through the cache under one policy, and their figures."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final, cast

from msgspec import Struct, structs

from iotcache.cache import CacheCounters, DeviceCache
from iotcache.cluster import Cluster
from iotcache.config.schema import Settings
from iotcache.config.urls import parse_node
from iotcache.errors import StoreError
from iotcache.histogram import DurationHistogram
from iotcache.keys import Keys
from iotcache.model import MissReason, NodeState, Series, StoredReading
from iotcache.store.base import Store
from iotcache.tasks import end
from iotcache.ttl import TtlPolicy
from iotcache_simulator.readers.popularity import Choice, popularity
from iotcache_simulator.readers.workload import Readers, ReadSpec

SMOOTH_S: Final = 3
"""Shares are over so many seconds."""


class ArmPolicy(Struct, frozen=True):
    """How an arm uses the cache."""

    ttl_s: float | None
    config_ttl_s: float | None
    jitter: float
    lease: bool
    failover: bool
    placement: str


class StoreProxy:
    """The store as the readers reach it: delayed or cut off, with a count of requests.

    Only the way to it is changed: what it answers is the real store's answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.delay_s = 0.0
        self.stopped = False
        self.requested: Counter[Series] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        self.requested.update(series)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.stopped:
            raise StoreError("the store is cut off", retryable=True)
        return await self._store.latest_many(series)


class _Client:
    """One application."""

    def __init__(self, cache: DeviceCache, cluster: Cluster) -> None:
        self.cache = cache
        self.cluster = cluster
        self.readers: Readers | None = None
        self.task: asyncio.Task[None] | None = None
        self.before: CacheCounters = cache.counters()


class Arm:
    """The applications of one arm; open while it is entered."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        store: Store,
        *,
        prefix: str,
        policy: ArmPolicy,
        clients: int,
        seed: int,
    ) -> None:
        self.name = name
        self.policy = policy
        self.store = StoreProxy(store)
        self.keys = Keys(prefix, settings.cache.bucket_s)
        self.nodes: tuple[str, ...] = ()
        self._settings = settings
        self._count = clients
        self._seed = seed
        self._series: Sequence[Series] = ()
        self._reads = ReadSpec()
        self._popularity = "uniform"
        self._clients: list[_Client] = []
        self._open = AsyncExitStack()
        self._recent: deque[tuple[int, int]] = deque(maxlen=SMOOTH_S)

    @property
    def cache(self) -> DeviceCache:
        """The first application's."""
        return self._clients[0].cache

    # Opening, policy, reading

    async def use_nodes(self, nodes: tuple[str, ...]) -> None:
        """Everybody reads from these nodes now; the new connections take the old ones' place at once."""
        cache = structs.replace(
            self._settings.cache, nodes=nodes, placement=self.policy.placement, failover=self.policy.failover
        )
        clients: list[_Client] = []
        async with AsyncExitStack() as opening:
            for number in range(self._count):
                rng = Random(self._seed + number)
                cluster = Cluster.from_settings([parse_node(node) for node in nodes], cache, rng=rng)
                await opening.enter_async_context(cluster)
                device_cache = DeviceCache(
                    cluster,
                    cast(Store, self.store),
                    keys=self.keys,
                    ttl=self._ttl_policy(),
                    store_reads_per_s=cache.store_reads_per_s,
                    stampede_lease=self.policy.lease,
                    rng=rng,
                )
                await opening.enter_async_context(device_cache)
                clients.append(_Client(device_cache, cluster))
            await self._stop_reading()
            before, self._open = self._open, opening.pop_all()
        # Never a moment without any: the figures are taken while a step is still being carried out.
        self.nodes, self._clients = nodes, clients
        await before.aclose()
        if self._series:
            await self.read(self._series, self._reads, self._popularity)

    async def set_policy(self, policy: ArmPolicy) -> None:
        """Use the cache in another way from now on. Only another placement takes other connections."""
        before, self.policy = self.policy, policy
        if not self.nodes:
            return
        if policy.placement != before.placement:
            await self.use_nodes(self.nodes)
        for client in self._clients:
            client.cache.ttl = self._ttl_policy()
            client.cache.stampede_lease = policy.lease
            client.cluster.failover = policy.failover

    def _ttl_policy(self) -> TtlPolicy:
        """The TTLs under this arm's policy."""
        policy = structs.replace(self._settings.cache.ttl, jitter=self.policy.jitter)
        if self.policy.ttl_s is not None:
            policy = structs.replace(
                policy, volatile_min_s=self.policy.ttl_s, volatile_max_s=self.policy.ttl_s
            )
        if self.policy.config_ttl_s is not None:
            policy = structs.replace(policy, config_s=self.policy.config_ttl_s)
        return policy

    async def read(self, series: Sequence[Series], spec: ReadSpec, name: str) -> None:
        """Begin to read, or read otherwise; ``name`` is a popularity, or ``one`` series only."""
        await self._stop_reading()
        self._series, self._reads, self._popularity = series, spec, name
        each = structs.replace(spec, rate=spec.rate / len(self._clients))
        for number, client in enumerate(self._clients):
            choice: Choice = (
                (lambda n: 0) if name == "one" else popularity(name, len(series), self._seed + number)
            )
            client.readers = Readers(client.cache, series, choice, each)
            client.task = asyncio.create_task(client.readers.run())

    async def _stop_reading(self) -> None:
        for client in self._clients:
            if client.readers is not None:
                client.readers.stop()
            if client.task is not None:
                await end(client.task)
            client.readers = client.task = None

    async def close(self) -> None:
        await self._stop_reading()
        self._clients.clear()
        await self._open.aclose()
        self._open = AsyncExitStack()

    # Figures

    def figures(self) -> dict[str, float | None]:
        """What happened since the last call, which should be a second ago."""
        reads = hits = store_series = 0
        misses: Counter[str] = Counter()
        errors = 0
        latency = DurationHistogram()
        for client in self._clients:
            now, then = client.cache.counters(), client.before
            client.before = now
            reads += now.reads - then.reads
            hits += now.hits - then.hits
            store_series += now.store_series - then.store_series
            misses.update(
                {reason.value: count - then.misses.get(reason, 0) for reason, count in now.misses.items()}
            )
            if client.readers is not None:
                latency.merge([client.readers.service_ms])
                client.readers.service_ms.clear()
                errors += client.readers.totals.errors
                client.readers.totals.errors = 0
        self._recent.append((reads, hits))
        recent_reads = sum(second[0] for second in self._recent)
        requested, self.store.requested = self.store.requested, Counter()
        health = self._clients[0].cluster.health() if self._clients else ()
        up = sum(node.state is NodeState.UP for node in health)
        return {
            "reads_per_s": float(reads),
            "hit_percent": 100.0 * sum(second[1] for second in self._recent) / recent_reads
            if recent_reads
            else None,
            "fallbacks_per_s": float(reads - hits),
            "store_reads_per_s": float(store_series),
            "errors_per_s": float(errors),
            "p50_ms": latency.percentile(50) if reads else None,
            "p99_ms": latency.percentile(99) if reads else None,
            "store_reads_of_one_key": float(max(requested.values(), default=0)),
            "nodes_up": float(up),
            "nodes_down": float(len(health) - up),
            **{f"misses.{reason.value}": float(misses[reason.value]) for reason in MissReason},
        }
