"""One arm of a scenario: applications that read through the cache under one policy, and their figures."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Final, cast

from msgspec import structs

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster
from iotcache.config.schema import Settings
from iotcache.config.urls import parse_node
from iotcache.histogram import DurationHistogram
from iotcache.keys import Keys
from iotcache.model import MissReason, NodeState, Series
from iotcache.store.base import Store
from iotcache.tasks import end
from iotcache.ttl import TtlPolicy
from iotcache_simulator.fleet.waves.noise import stream_key, unit
from iotcache_simulator.lab.application import MOST_COPIES, Application, ApplicationTotals, ArmPolicy
from iotcache_simulator.lab.slow_store import SlowStoreAccess, StoreConnections
from iotcache_simulator.lab.writers import ArmWriters
from iotcache_simulator.readers.popularity import Choice, popularity
from iotcache_simulator.readers.workload import Readers, ReadSpec

SMOOTH_S: Final = 3
"""Shares are over so many seconds."""
GHOSTS: Final = 60
"""Names that are asked for and that nothing has."""
PROBE: Final = Series("lab-probe", "setpoint")
"""What is written on purpose, and compared with what is read (`iotcache_simulator.lab.probe`)."""


class _Client:
    """One application, and what makes it read."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.readers: Readers | None = None
        self.task: asyncio.Task[None] | None = None
        self.stored_before = 0

    @property
    def cache(self) -> DeviceCache:
        return self.application.cache

    @property
    def cluster(self) -> Cluster:
        return self.application.cluster


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
        connections: StoreConnections | None = None,
        unknown_percent: float = 0.0,
        writes_per_s: float = 0.0,
    ) -> None:
        """``connections`` of the store are shared by the sides of a comparison."""
        self.name = name
        self.policy = policy
        self.store = SlowStoreAccess(store, connections)
        self.writers = ArmWriters(name)
        self.writes_per_s = writes_per_s
        self.unknown_percent = unknown_percent
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
        self._recent_written: deque[tuple[int, int]] = deque(maxlen=SMOOTH_S)
        self._stored_since_change: int | None = None
        self._take_up(policy)

    @property
    def applications(self) -> Sequence[Application]:
        """Those that read."""
        return [client.application for client in self._clients]

    @property
    def asked_per_s(self) -> float:
        """Reads that its readers are to make just now; 0 while none read."""
        return self._reads.rate if any(client.task is not None for client in self._clients) else 0.0

    @property
    def cache(self) -> DeviceCache:
        """The first application's."""
        return self._clients[0].cache

    # Opening, policy, reading

    async def change_nodes(self, nodes: tuple[str, ...]) -> None:
        """Another list: told to the applications that run, or with it they begin anew."""
        self._stored_since_change = 0
        if not self.policy.hand_over:
            await self.use_nodes(nodes)
            return
        addresses = [parse_node(node) for node in nodes]
        await self._clients[0].cluster.resize(addresses, prefix=self.keys.prefix)
        self.nodes = nodes

    async def use_nodes(self, nodes: tuple[str, ...]) -> None:
        """Everybody reads from these nodes now; the new connections take the old ones' place at once."""
        cache = structs.replace(
            self._settings.cache, nodes=nodes, placement=self.policy.placement, failover=self.policy.failover
        )
        clients: list[_Client] = []
        async with AsyncExitStack() as opening:
            for number in range(self._count):
                rng = Random(self._seed + number)
                # The sides share the nodes, and what one of them announces is nothing to the other.
                cluster = Cluster.from_settings(
                    [parse_node(node) for node in nodes], cache, rng=rng, rings=self.policy.hand_over
                )
                await opening.enter_async_context(cluster)
                application = Application(
                    cluster,
                    self.store,
                    self.policy,
                    cache_for=partial(self._copy_of_cache, cluster, rng),
                    prefix=self.keys.prefix,
                    rng=rng,
                    acknowledged=self.writers.acknowledged,
                )
                for copy in range(MOST_COPIES if self.policy.copies > 1 else 1):
                    await opening.enter_async_context(application.copy(copy))
                opening.push_async_callback(application.close)
                clients.append(_Client(application))
            await self._stop_reading()
            await self.writers.stop()
            before, self._open = self._open, opening.pop_all()
        # Never a moment without any: the figures are taken while a step is still being carried out.
        self.nodes, self._clients = nodes, clients
        await before.aclose()
        if self._series:
            await self.read(self._series, self._reads, self._popularity)
        if self.writes_per_s:
            self.write(self.writes_per_s)

    def _copy_of_cache(self, cluster: Cluster, rng: Random, number: int) -> DeviceCache:
        """The cache of one copy: the first has the keys' own names."""
        keys = Keys(f"{self.keys.prefix}{number}:", self.keys.bucket_s) if number else self.keys
        return DeviceCache(
            cluster,
            cast(Store, self.store),
            keys=keys,
            ttl=self._ttl_policy(),
            store_reads_per_s=self._settings.cache.store_reads_per_s,
            # Where a scenario says how large values are, they are to take that room.
            compress_min_bytes=self._settings.cache.max_value_bytes,
            stampede_lease=self.policy.lease,
            rng=rng,
        )

    async def set_policy(self, policy: ArmPolicy) -> None:
        """Use the cache in another way from now on. Only another placement takes other connections."""
        before, self.policy = self.policy, policy
        self._take_up(policy)
        if not self.nodes:
            return
        if (policy.placement, policy.hand_over) != (before.placement, before.hand_over) or (
            (policy.copies > 1) != (before.copies > 1)
        ):
            await self.use_nodes(self.nodes)
        for client in self._clients:
            client.application.policy = policy
            for cache in client.application.caches:
                cache.ttl = self._ttl_policy()
                cache.stampede_lease = policy.lease
            client.cluster.failover = policy.failover

    def _take_up(self, policy: ArmPolicy) -> None:
        self.store.value_bytes = policy.value_bytes
        self.writers.writing = policy.writing

    def write(self, per_s: float) -> None:
        """Write so often from now on, through the first application's cache."""
        self.writes_per_s = per_s
        self.writers.begin(self.cache, per_s)

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
        """Begin to read, or read otherwise; ``name`` is a popularity, or one of `OWN_SERIES`."""
        await self._stop_reading()
        self._series, self._reads, self._popularity = series, spec, name
        # Together they have no more under way than one would: on a busy machine thousands of requests that
        # wait for their turn would keep each other waiting.
        share = len(self._clients)
        each = structs.replace(spec, rate=spec.rate / share, in_flight=max(spec.in_flight // share, 10))
        for number, client in enumerate(self._clients):
            read, law = self._what(series, name)
            choice = popularity(law, len(read), self._seed + number)
            client.readers = Readers(client.application, *self._with_ghosts(read, choice, number), each)
            client.task = asyncio.create_task(client.readers.run())

    def _what(self, series: Sequence[Series], name: str) -> tuple[Sequence[Series], str]:
        """The series that are read, and by which law."""
        own = {"one": series[:1], "probe": (PROBE,), "written": self.writers.series}
        return (own[name], "uniform") if name in own else (series, name)

    def _with_ghosts(
        self, series: Sequence[Series], choice: Choice, number: int
    ) -> tuple[Sequence[Series], Choice]:
        """Some reads ask for what there is not."""
        share = self.unknown_percent / 100.0
        if not share:
            return series, choice
        key, known = stream_key(self._seed + number, "ghosts"), len(series)

        def choose(n: int) -> int:
            drawn = unit(key, n)
            return known + int(drawn / share * GHOSTS) if drawn < share else choice(n)

        return [*series, *(Series(f"ghost-{n:03}", "temperature") for n in range(GHOSTS))], choose

    async def _stop_reading(self) -> None:
        """All at once: those that still read would keep a busy machine from ending the others."""
        tasks = [client.task for client in self._clients if client.task is not None]
        self._say_stop()
        await asyncio.gather(*map(end, tasks))
        for client in self._clients:
            client.readers = client.task = None

    def _say_stop(self) -> None:
        for client in self._clients:
            if client.readers is not None:
                client.readers.stop()
            if client.task is not None:
                client.task.cancel()

    def cut_off(self) -> None:
        """The end is near: read no more, and let nobody wait for the store."""
        self._say_stop()
        self.store.close()

    async def close(self) -> None:
        """End everything without waiting for the store, however slow it was made."""
        self.cut_off()
        await self._stop_reading()
        await self.writers.stop()
        self._clients.clear()
        await self._open.aclose()
        self._open = AsyncExitStack()

    # Figures

    def figures(self) -> dict[str, float | None]:
        """What happened since the last call, which should be a second ago."""
        reads = hits = store_series = sent = requests = nodes_asked = 0
        misses: Counter[str] = Counter()
        errors = written = stale = 0
        latency = DurationHistogram()
        for client in self._clients:
            totals, client.application.totals = client.application.totals, ApplicationTotals()
            reads, hits = reads + totals.reads, hits + totals.hits
            sent, requests = sent + totals.sent, requests + totals.requests
            nodes_asked += totals.nodes_asked
            misses.update(totals.misses)
            written, stale = written + totals.written, stale + totals.stale
            stored = sum(cache.counters().store_series for cache in client.application.caches)
            store_series += max(stored - client.stored_before, 0) + totals.refreshed
            client.stored_before = stored
            if client.readers is not None:
                latency.merge([client.readers.service_ms])
                client.readers.service_ms.clear()
                errors += client.readers.totals.errors
                client.readers.totals.errors = 0
        if self._stored_since_change is not None:
            self._stored_since_change += store_series
        self._recent.append((reads, hits))
        self._recent_written.append((written, stale))
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
            "store_reads_since_change": self._stored_since_change,
            "errors_per_s": float(errors),
            "p50_ms": latency.percentile(50) if reads else None,
            "p99_ms": latency.percentile(99) if reads else None,
            "store_reads_of_one_key": float(max(requested.values(), default=0)),
            "node_gets_per_s": float(sent),
            "nodes_per_request": nodes_asked / requests if requests else None,
            "store_waiting": float(self.store.waiting),
            **self._of_the_writers(),
            "nodes_up": float(up),
            "nodes_down": float(len(health) - up),
            **{f"misses.{reason.value}": float(misses[reason.value]) for reason in MissReason},
        }

    def _of_the_writers(self) -> dict[str, float | None]:
        if not self.writers.acknowledged:
            return {}
        reads = sum(second[0] for second in self._recent_written)
        stale = sum(second[1] for second in self._recent_written)
        return {**self.writers.figures(), "stale_percent": 100.0 * stale / reads if reads else None}
