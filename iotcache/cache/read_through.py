"""Read-through, the same for every kind of entry: the cache, else the store, and why the cache had it not.

A miss takes this way: budget of its node → shared load within the process → lease among processes → store →
compare-and-set into the cache (`iotcache.cache.loading`) → reason of the miss (`iotcache.misses`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Generic

from iotcache.cache.context import CacheContext
from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.entry_kind import EntryKind, K, V
from iotcache.cache.fill_result import FillResult
from iotcache.cache.loading import LoadRequest, LoadResult, SharedLoads
from iotcache.errors import CorruptValue
from iotcache.misses import Record, miss_reason
from iotcache.model import MissReason, ReadWay, Source

if TYPE_CHECKING:
    from iotcache.cluster import GetResult

_NODE_OUT: Final = (MissReason.NODE_DOWN, MissReason.TIMEOUT)
_LEASABLE: Final = (None, MissReason.CORRUPT, MissReason.NODE_DOWN)
"""A key whose node is out has its lease on the failover node."""


class Miss(Generic[K]):
    """An entry that the cache did not give."""

    __slots__ = ("failure", "key", "name", "position", "result")

    def __init__(
        self, position: int, name: K, key: str, result: GetResult, failure: MissReason | None
    ) -> None:
        self.position = position
        """In the caller's batch."""
        self.name = name
        self.key = key
        self.result = result
        self.failure = failure


class Answer(ReadWay, Generic[V], frozen=True):
    """One answered read."""

    value: V | None


class ReadThrough(Generic[K, V]):
    """Reads entries of one kind through the cache.

    `read` is for one entry. A caller with a batch, as `iotcache.cache.latest`, asks the cache itself, because
    its loop over the hits is the hot path of the whole project, and hands the misses to `resolve`.
    """

    def __init__(
        self, context: CacheContext, kind: EntryKind[K, V], counters: CacheCountersBuilder | None = None
    ) -> None:
        self.counters = counters or CacheCountersBuilder()
        self._context = context
        self._kind = kind
        self._loads = SharedLoads(context, kind, self.counters)

    async def read(self, name: K) -> Answer[V]:
        """One entry, from the cache, else from the store.

        Never raises for a node's or the store's sake. Raises `KeyFormatError` for a name that cannot be one.
        """
        context = self._context
        began_s = context.clock.monotonic()
        (key,) = self._kind.keys((name,))
        (result,) = await context.cluster.get_many((key,))
        context.node_facts.nudge()
        self.counters.reads += 1
        failure = result.failure
        if result.hit:
            try:
                value = self._kind.decode(name, result.value, result.flags)
            except CorruptValue:
                failure = MissReason.CORRUPT
            else:
                self.counters.hits += 1
                now_s = context.clock.now()
                context.records.note(key, Record(now_s, now_s + result.ttl_s, result.node))
                return Answer(
                    value,
                    source=Source.CACHE,
                    node=result.node,
                    ttl_s=result.ttl_s,
                    latency_ms=context.since_ms(began_s),
                )
        ((_, answer),) = await self.resolve((Miss(0, name, key, result, failure),), began_s)
        return answer

    async def resolve(self, misses: Sequence[Miss[K]], began_s: float) -> Iterator[tuple[Miss[K], Answer[V]]]:
        """The answer to each miss, in any order. ``began_s`` is the monotonic time the cache was asked."""
        context = self._context
        missed_s = context.clock.now()
        granted, refused = self._within_budget(misses)
        records = {miss.key: context.records.get(miss.key) for miss in granted}  # before they are repopulated
        requests = [self._request(miss) for miss in granted]
        # The statistics first: a lease is an item as well, and they tell whether the node had any.
        _, loaded = await asyncio.gather(
            context.node_facts.refresh(began_s), self._loads.load(requests, began_s)
        )
        latency_ms = context.since_ms(began_s)
        answers: list[Answer[V]] = []
        for miss, load in zip(granted, loaded, strict=True):
            if load.hit is not None:
                self.counters.hits += 1
                hit = load.hit
                answers.append(
                    Answer(
                        load.value, source=Source.CACHE, node=hit.node, ttl_s=hit.ttl_s, latency_ms=latency_ms
                    )
                )
            else:
                answers.append(
                    self._missed(
                        miss, load, self._reason(miss, records[miss.key], load, missed_s), latency_ms
                    )
                )
        for miss in refused:
            error = (
                f"the cache node {context.cluster.node_of(miss.key)} is out, and store reads on its behalf "
                f"are limited to {context.budget.per_s:g} a second"
            )
            reason = miss.failure or MissReason.NODE_DOWN
            answers.append(self._missed(miss, LoadResult(None, error=error), reason, latency_ms))
        return zip([*granted, *refused], answers, strict=True)

    async def fill(self, names: Sequence[K]) -> FillResult:
        """Add to the cache those entries that are not there, from the store. Raises `StoreError`."""
        return await self._loads.fill(names)

    async def close(self) -> None:
        """Wait for pending loads."""
        await self._loads.close()

    def _within_budget(self, misses: Sequence[Miss[K]]) -> tuple[Sequence[Miss[K]], Sequence[Miss[K]]]:
        """The misses that may go to the store, and those that must not: a dead node's load would drown it."""
        out = [miss for miss in misses if miss.failure in _NODE_OUT]
        granted = self._context.budget.take(len(out))
        if granted == len(out):
            return misses, ()
        refused = out[granted:]
        self.counters.refused += len(refused)
        positions = {miss.position for miss in refused}
        return [miss for miss in misses if miss.position not in positions], refused

    def _request(self, miss: Miss[K]) -> LoadRequest[K]:
        context = self._context
        return LoadRequest(
            miss.name,
            miss.key,
            # A node that hangs would delay this answer once more; the next read asks its failover node.
            repopulate=context.repopulate and miss.failure is not MissReason.TIMEOUT,
            lease=context.leases and context.repopulate and miss.failure in _LEASABLE,
            corrupt=miss.failure is MissReason.CORRUPT,
        )

    def _missed(self, miss: Miss[K], load: LoadResult[V], reason: MissReason, latency_ms: float) -> Answer[V]:
        self.counters.misses[reason] += 1
        source = Source.NONE if load.value is None else Source.STORE
        return Answer(
            load.value,
            source=source,
            node=miss.result.node,
            ttl_s=load.ttl_s,
            miss_reason=reason,
            latency_ms=latency_ms,
            store_ms=load.store_ms,
            error=load.error,
        )

    def _reason(
        self, miss: Miss[K], record: Record | None, load: LoadResult[V], missed_s: float
    ) -> MissReason:
        if load.value is None and not load.error:
            return MissReason.NEVER_SET
        if miss.failure is not None:
            return miss.failure
        node = miss.result.node
        owner = self._context.cluster.node_of(miss.key)
        return miss_reason(
            record,
            None if load.value is None else self._kind.expected(load.value, owner),
            node=node,
            owner=owner,
            history=self._context.node_facts.history(node),
            now_s=missed_s,
            rewritten=self._kind.rewritten,
        )
