"""`DeviceCache`, the front door: read through the cache to the store, write through to the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from iotcache.cache.aggregates.reader import AggregateCache
from iotcache.cache.budget import Budget
from iotcache.cache.context import CacheContext
from iotcache.cache.counters import CacheCounters, CacheCountersBuilder
from iotcache.cache.document_writes import DocumentWrites
from iotcache.cache.documents import DocumentCache, DocumentEntries
from iotcache.cache.fill_result import FillResult
from iotcache.cache.latest import LatestCache
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.cache.promise import Promises
from iotcache.cache.reading_writer import ReadingWriter, Written
from iotcache.cache.write_through import WriteThrough
from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.entry_codec import COMPRESS_MIN_BYTES
from iotcache.errors import ConfigError
from iotcache.keys import Keys
from iotcache.misses import Records
from iotcache.model import (
    Document,
    DocumentKind,
    DocumentName,
    DocumentRead,
    Event,
    Read,
    Reading,
    Series,
    StoredReading,
)
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, ItemInfo, WriteResult
    from iotcache.config.schema import Settings
    from iotcache.model import AggregateRead, BucketRead
    from iotcache.store.base import Store


class DeviceCache:
    """The newest reading of every series, from Memcached when it is there, else from the store.

    An async context manager. ``cluster`` and ``store`` belong to the caller, who opens and closes them;
    `from_settings` makes a cache that owns both. ``shared_writers`` is for several ingest workers that may
    write the same series: none then puts an older reading over a newer one (see `iotcache.cache.ordered`).
    ``stampede_lease`` lets one reader among all processes load what is missing (`iotcache.cache.loading`).
    `stampede_lease`, `ttl` and `ttl_jitter` may be set at any time; what is under way is not affected.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        keys: Keys | None = None,
        ttl: TtlPolicy | None = None,
        compress_min_bytes: int = COMPRESS_MIN_BYTES,
        max_value_bytes: int = 1_000_000,
        store_reads_per_s: float = 2_000,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        repopulate: bool = True,
        shared_writers: bool = False,
        stampede_lease: bool = True,
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.keys = keys or Keys()
        self.clock = clock
        self._owned: tuple[Cluster, Store] | None = None
        self._exits = AsyncExitStack()
        self._context = context = CacheContext(
            cluster=cluster,
            store=store,
            keys=self.keys,
            ttl=(ttl or TtlPolicy()).checked(),
            clock=clock,
            rng=rng or Random(),
            budget=Budget(store_reads_per_s, clock),
            node_facts=NodeFactsCache(cluster, clock, looks_only=not repopulate),
            records=Records(),
            promises=Promises(self.keys.prefix),
            counters=CacheCountersBuilder(),
            compress_min_bytes=compress_min_bytes,
            max_value_bytes=max_value_bytes,
            repopulate=repopulate,
            leases=stampede_lease,
            shared_writers=shared_writers,
        )
        documents = DocumentEntries(context)
        self._writes = WriteThrough(context)
        self._readings = ReadingWriter(context, self._writes)
        self._latest = LatestCache(context)
        self._documents = DocumentCache(context, documents)
        self._document_writes = DocumentWrites(context, documents, self._writes)
        self._aggregates = AggregateCache(context)

    @property
    def stampede_lease(self) -> bool:
        """Whether one reader among all processes loads what is missing, and the others wait for it."""
        return self._context.leases

    @stampede_lease.setter
    def stampede_lease(self, leases: bool) -> None:
        self._context.leases = leases

    @property
    def ttl(self) -> TtlPolicy:
        """The TTLs of entries that are set from now on. Setting impossible ones raises `ValueError`."""
        return self._context.ttl

    @ttl.setter
    def ttl(self, policy: TtlPolicy) -> None:
        self._context.ttl = policy.checked()

    @property
    def ttl_jitter(self) -> float:
        """By what share TTLs are stretched or cut, so that keys set together do not expire together."""
        return self.ttl.jitter

    @ttl_jitter.setter
    def ttl_jitter(self, share: float) -> None:
        self.ttl = replace(self.ttl, jitter=share)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        read_only: bool = False,
        observe: bool = False,
        role: str = "client",
        follow: bool = False,
        on_event: Callable[[Event], None] | None = None,
        store: Store | None = None,
    ) -> DeviceCache:
        """A cache that opens and closes its cluster and store with itself.

        ``read_only`` opens the store for reading. ``observe`` is for who only looks: reads leave the cache
        as it is, put nothing back, take no lease and make no item younger. ``role`` is what other clients are
        told of this one where it keeps a node out. ``follow``: the ring that the nodes have announced counts,
        and ``cache.nodes`` says only where to look; else entering raises `RingMismatch` where the two are not
        alike. ``on_event`` is called when nodes
        go down and up.
        ``store`` stands in for the one that the settings name, and is opened and closed as that would be.
        Raises `ConfigError` while a part is still "embedded", or is "none".
        """
        from iotcache.cluster import Cluster
        from iotcache.config.node_lists import is_node_list
        from iotcache.config.urls import parse_node
        from iotcache.store import open_store

        cache = settings.cache
        if cache.nodes == "none":
            raise ConfigError('cache.nodes is "none": there is no cache to read')
        if is_node_list(cache.nodes):
            raise ConfigError(
                f"cache.nodes is {cache.nodes!r}, a list that is to be read first: "
                "settings = await iotcache.nodelist.with_listed_nodes(settings)"
            )
        if isinstance(cache.nodes, str):
            raise ConfigError(
                f"cache.nodes is {cache.nodes!r}: embedded nodes have addresses only in a stack"
            )
        cluster = Cluster.from_settings(
            [parse_node(node) for node in cache.nodes],
            cache,
            observe=observe,
            on_event=on_event,
            role=role,
            follow=follow,
        )
        store = store or open_store(settings.store, read_only=read_only)
        device_cache = cls(
            cluster,
            store,
            keys=Keys(cache.prefix, cache.bucket_s),
            ttl=cache.ttl,
            compress_min_bytes=cache.compress_min_bytes,
            max_value_bytes=cache.max_value_bytes,
            store_reads_per_s=cache.store_reads_per_s,
            shared_writers=bool(settings.ingest.group),
            repopulate=not observe,
            stampede_lease=cache.stampede_lease and not observe,
        )
        device_cache._owned = cluster, store
        return device_cache

    async def __aenter__(self) -> Self:
        if self._owned is not None:
            async with AsyncExitStack() as opening:
                for part in self._owned:
                    await opening.enter_async_context(part)
                self._exits = opening.pop_all()
        self._context.node_facts.nudge()  # a first poll, to compare later ones with
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._latest.close()
        await self._documents.close()
        await self._aggregates.close()
        await self._context.node_facts.close()
        await self._writes.close()
        await self._exits.aclose()

    # Reading

    async def read(self, device: str, sensor: str) -> Read:
        """The newest reading of one series; see `read_many`."""
        return (await self.read_many((Series(device, sensor),)))[0]

    async def read_many(self, series: Sequence[Series]) -> list[Read]:
        """The newest reading of each series, in order.

        Never raises for a node's or the store's sake: an answer that could not be had has
        `Source.NONE` and says why. Raises `KeyFormatError` for an empty name.
        """
        return await self._latest.read_many(series)

    async def meta(self, device: str) -> DocumentRead:
        """The metadata of a device, from the cache, else from the store.

        Never raises for a node's or the store's sake; raises `KeyFormatError` for an empty name.
        """
        return await self._documents.read(DocumentName(device, DocumentKind.META))

    async def config(self, device: str) -> DocumentRead:
        """A device's configuration, as pushed last; as `meta`."""
        return await self._documents.read(DocumentName(device, DocumentKind.CONFIG))

    async def aggregate(self, site: str, sensor: str) -> AggregateRead:
        """Count, min, max, mean and p95 of a sensor of a site in the newest minute with readings, and in the
        one before; as `meta`."""
        return await self._aggregates.aggregate(site, sensor)

    async def bucket(self, series: Series, ts_us: int) -> BucketRead:
        """The readings of a series in the bucket of time (`cache.bucket_s`) around ``ts_us``; as `meta`."""
        return await self._aggregates.bucket(series, ts_us)

    async def fill(self, series: Sequence[Series]) -> FillResult:
        """Add to the cache those entries that are not there, from the store.

        Counts as no read and leaves what is there as it is. Raises `StoreError`.
        """
        return await self._latest.fill(series)

    async def fill_documents(self, names: Sequence[DocumentName]) -> FillResult:
        """As `fill`, for documents."""
        return await self._documents.fill(names)

    async def ttl_many(self, series: Sequence[Series]) -> list[ItemInfo]:
        """What the nodes hold of each series, without counting as a read or keeping anything alive.

        A place held for a reader who is loading the value counts as not present.
        """
        return await self._latest.probe_many(series)

    # Writing

    async def write(self, readings: Sequence[Reading]) -> Written:
        """Store readings, then put them into the cache: when this returns, they are on disk.

        One transaction: either all are stored or none. Readings that are there already count as duplicates,
        so that a call that failed may be made again. An interval that is not given is learnt from their
        times. Raises `ReadingRefused` (nothing was written) and `StoreError`; a node that is out is no error.
        """
        return await self._readings.write(readings)

    def plan_ttl(self, reading: Reading) -> int:
        """The promise of this reading's entry: until when it is to live, jitter included, and where.

        In µs since the epoch, the low bits naming the cache (`iotcache.cache.promise`). The writer asks
        before its commit, so that the store has it (`StoredReading.cached_until_us`).
        """
        return self._writes.plan_ttls((reading,))[0]

    def plan_ttls(self, readings: Sequence[Reading]) -> list[int]:
        """`plan_ttl` of each."""
        return self._writes.plan_ttls(readings)

    async def write_through(self, newest: Sequence[StoredReading]) -> list[WriteResult]:
        """Set the entry of each series that a commit moved on (`Committed.newest`), in order.

        Never raises for a node's sake. A key that could not be set is dirty: its old entry is deleted as soon
        as its node answers.
        """
        return await self._writes.write_through(newest)

    async def put_documents(self, documents: Sequence[Document]) -> int:
        """Put documents that were just stored into the cache; an older version never replaces a newer one.

        How many of them are as given, or newer, afterwards; the others have no entry, or a dirty one.
        """
        return await self._document_writes.put(documents)

    async def invalidate_documents(self, names: Sequence[DocumentName]) -> None:
        """Delete the entries of documents; what could not be deleted is dirty and tried again."""
        await self._document_writes.delete(names)

    async def invalidate_buckets(self, buckets: Sequence[tuple[Series, int]]) -> None:
        """Delete the buckets around these times; what could not be deleted is dirty and tried again."""
        keys = {self.keys.bucket(*series, ts_us) for series, ts_us in buckets}
        await self._writes.delete(sorted(keys))

    async def invalidate(self, series: Sequence[Series]) -> list[WriteResult]:
        """Delete the entry of each series, in order; what could not be deleted is dirty and tried again."""
        return await self._writes.delete(self.keys.latest_many(series))

    async def repair(self) -> int:
        """Delete the entries of dirty keys whose nodes answer now; how many are clean.

        Runs by itself every second while there are any.
        """
        return await self._writes.repair()

    def counters(self) -> CacheCounters:
        """What was counted since the cache was made."""
        return self._context.counters.snapshot(len(self._writes.dirty), self._writes.dirty.dropped)
