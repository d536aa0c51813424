"""Loading what the cache does not have from the store: once, however many readers wait for it.

Two mechanisms make it once. Within this process, readers of one entry share a pending load. Among processes,
memcached's own lease decides (`iotcache.cluster.Lease`): the winner reads the store, the others ask the node
again, with back-off, until the value is there. A winner that dies delays them until its lease expires; one
that is only slow, for no longer than `LEASE_WAIT_LIMIT_S`.

A loaded value is stored only where the node still holds the very item that was seen before the store was read
(its CAS unique). So a reader, however slow, never puts an old value where a newer one is, or was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Generic

from msgspec import Struct

from iotcache.backoff import Backoff
from iotcache.cache.context import CacheContext
from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.entry_kind import EntryKind, K, V
from iotcache.cache.fill_result import FillResult, fill_result
from iotcache.cluster.types import GetResult, Lease, Mode, SetItem, WriteResult
from iotcache.errors import CorruptValue, StoreError
from iotcache.misses import Record

STORE_TIMEOUT_S: Final = 5.0
"""The longest that a reader waits for the store."""
ANSWER_KEPT_S: Final = 1.0
"""How long an answer is kept for readers that missed before it came."""
LEASE_WAIT_LIMIT_S: Final = 2.5
"""The longest that a reader waits for another's lease; then it reads the store itself. Above
`iotcache.cache.entry_kind.LOAD_LEASE_S`, so that of those who wait for a dead winner one wins its lease, and
not all give up at once."""
_MIN_PAUSE_S: Final = 0.004
_MAX_PAUSE_S: Final = 0.05
_PENDING_LIMIT: Final = 100_000


class LoadRequest(Struct, Generic[K], frozen=True):
    """An entry that the cache does not have."""

    name: K
    key: str
    repopulate: bool
    """False while its node does not answer: the next read asks the failover node."""
    lease: bool = False
    """Whether its node is asked who is to load it."""
    corrupt: bool = False
    """The entry is there but unreadable: it has to be deleted first."""


class LoadResult(Struct, Generic[V], frozen=True):
    """What the store has of an entry, or the cache after all."""

    value: V | None
    ttl_s: float | None = None
    """TTL of the entry put into the cache; ``None`` when none was."""
    store_ms: float = 0.0
    error: str = ""
    hit: GetResult | None = None
    """Another process has loaded it: the node's answer."""


class PendingLoad(Generic[K, V]):
    """One entry that is being loaded."""

    __slots__ = ("answer", "closed_s", "request", "seen", "waited")

    def __init__(self, request: LoadRequest[K], answer: asyncio.Future[LoadResult[V]]) -> None:
        self.request = request
        self.answer = answer
        self.closed_s = float("inf")
        """Readers that asked the cache later are not served: the answer may be older than their read."""
        self.seen: GetResult | None = None
        """What the node had, with its CAS unique, before the store was read."""
        self.waited = False


class SharedLoads(Generic[K, V]):
    """Reads the store on behalf of misses and puts the values into the cache."""

    def __init__(self, context: CacheContext, kind: EntryKind[K, V], counters: CacheCountersBuilder) -> None:
        self._context = context
        self._kind = kind
        self._counters = counters
        self._pending: dict[K, PendingLoad[K, V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, requests: Sequence[LoadRequest[K]], began_s: float) -> list[LoadResult[V]]:
        """The result of each request, in order; never raises for the store's sake.

        ``began_s`` is the monotonic time at which the caller asked the cache: an answer that came after it
        serves this caller as well.
        """
        loop = asyncio.get_running_loop()
        loads: list[PendingLoad[K, V]] = []
        own: list[PendingLoad[K, V]] = []
        for request in requests:
            load = self._pending.get(request.name)
            if load is None or began_s > load.closed_s:
                self._pending[request.name] = load = PendingLoad(request, loop.create_future())
                own.append(load)
            loads.append(load)
        if own:
            task = loop.create_task(self._run(own))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Not `gather`: a reader that is cancelled must not cancel the others' answer.
        waiting = {load.answer for load in loads if not load.answer.done()}
        if waiting:
            await asyncio.wait(waiting)
        return [load.answer.result() for load in loads]

    async def fill(self, names: Sequence[K]) -> FillResult:
        """Add to the cache what is not there, from the store, counted as no read. Raises `StoreError`.

        With leases (`EntryKind.fill_leases`) nothing that was set and deleted again meanwhile is undone.
        """
        context = self._context
        cluster = context.cluster
        keys = self._kind.keys(names)
        items = await cluster.probe_many(keys)
        loop = asyncio.get_running_loop()
        missing: list[PendingLoad[K, V]] = [
            PendingLoad(LoadRequest(name, key, repopulate=item.failure is None), loop.create_future())
            for name, key, item in zip(names, keys, items, strict=True)
            if not item.present
        ]
        if not missing:
            return await fill_result(cluster, len(keys), 0, 0, ())
        if context.leases and self._kind.fill_leases:
            results = await cluster.lease_many(
                [load.request.key for load in missing], stub_s=self._kind.lease_s
            )
            for load, result in zip(missing, results, strict=True):
                load.seen = result if result.cas else None
        ttls: Mapping[K, float] = {}
        try:
            values = await self._kind.load([load.request.name for load in missing])
            ttls = await self._repopulate(missing, values)
        finally:
            await self._release(missing, ttls)
        not_added = [
            load.request.key
            for load in missing
            if load.request.name in values and load.request.name not in ttls
        ]
        return await fill_result(cluster, len(keys), len(missing), len(values), not_added)

    async def close(self) -> None:
        """Wait for pending loads: `LEASE_WAIT_LIMIT_S` and `STORE_TIMEOUT_S` at most."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _run(self, own: Sequence[PendingLoad[K, V]]) -> None:
        try:
            await self._load_or_wait(own)
        except BaseException as error:
            for load in own:
                if not load.answer.done():
                    load.answer.set_exception(error)
                    load.answer.exception()  # retrieved, also when nobody waits any more
            if not isinstance(error, Exception):
                raise
        finally:
            if any(_failed(load) for load in own) or len(self._pending) > _PENDING_LIMIT:
                self._forget(own)
            else:
                asyncio.get_running_loop().call_later(ANSWER_KEPT_S, self._forget, own)

    def _forget(self, loads: Sequence[PendingLoad[K, V]]) -> None:
        for load in loads:
            if self._pending.get(load.request.name) is load:
                del self._pending[load.request.name]

    def _finish(self, load: PendingLoad[K, V], result: LoadResult[V]) -> None:
        load.closed_s = min(load.closed_s, self._context.clock.monotonic())
        load.answer.set_result(result)

    async def _load_or_wait(self, own: Sequence[PendingLoad[K, V]]) -> None:
        """Read the store for what nobody else is loading; ask the cache for the rest until it is there."""
        context = self._context
        corrupt = [load.request.key for load in own if load.request.corrupt]
        if corrupt and context.repopulate:
            await context.cluster.delete_many(corrupt)
        began_s = context.clock.monotonic()
        to_load = [load for load in own if not load.request.lease]
        waiting = [load for load in own if load.request.lease]
        pause = Backoff(_MIN_PAUSE_S, _MAX_PAUSE_S, rng=context.rng)
        while waiting or to_load:
            if waiting:
                may_wait = context.clock.monotonic() - began_s < LEASE_WAIT_LIMIT_S
                won, waiting = await self._lease(waiting, may_wait)
                to_load += won
            if to_load:
                await self._load(to_load)
                to_load = []
            if waiting:
                await pause.wait()

    async def _lease(
        self, loads: Sequence[PendingLoad[K, V]], may_wait: bool
    ) -> tuple[list[PendingLoad[K, V]], list[PendingLoad[K, V]]]:
        """Those to be loaded now, and those that another process is loading; the others are finished."""
        to_load: list[PendingLoad[K, V]] = []
        held: list[PendingLoad[K, V]] = []
        context = self._context
        asked_s = context.clock.monotonic()
        for load in loads:
            load.closed_s = asked_s
        results = await context.cluster.lease_many(
            [load.request.key for load in loads], stub_s=self._kind.lease_s
        )
        for load, result in zip(loads, results, strict=True):
            load.seen = result
            request = load.request
            if result.hit:
                try:
                    value = self._kind.decode(request.name, result.value, result.flags)
                except CorruptValue:
                    to_load.append(load)
                else:
                    now_s = context.clock.now()
                    context.records.note(request.key, Record(now_s, now_s + result.ttl_s, result.node))
                    self._finish(load, LoadResult(value, hit=result))
            elif result.lease is Lease.HELD and may_wait:
                self._counters.lease_waits += not load.waited
                load.waited = True
                load.closed_s = float("inf")
                held.append(load)
            else:
                self._counters.lease_wins += result.lease is Lease.WON
                to_load.append(load)
        return to_load, held

    async def _load(self, loads: Sequence[PendingLoad[K, V]]) -> None:
        """Finish ``loads`` with the store's answers."""
        context = self._context
        began_s = context.clock.monotonic()
        for load in loads:
            if load.seen is not None:
                load.closed_s = began_s
        self._counters.store_reads += 1
        self._counters.store_series += len(loads)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                values = await self._kind.load([load.request.name for load in loads])
        except (StoreError, TimeoutError) as error:
            self._counters.store_failures += 1
            text = str(error) or f"the store did not answer within {STORE_TIMEOUT_S:g} s"
            failed: LoadResult[V] = LoadResult(None, None, context.since_ms(began_s), text)
            for load in loads:
                self._finish(load, failed)
            await self._release(loads, {})
            return
        store_ms = context.since_ms(began_s)
        ttls = await self._repopulate(loads, values)
        for load in loads:
            name = load.request.name
            self._finish(load, LoadResult(values.get(name), ttls.get(name), store_ms))
        await self._release(loads, ttls)

    async def _release(self, loads: Sequence[PendingLoad[K, V]], ttls: Mapping[K, float]) -> None:
        """Give back the leases of what was not stored, so that nobody waits for it."""
        won = [
            (load.request.key, load.seen)
            for load in loads
            if load.seen is not None and load.seen.lease is Lease.WON and load.request.name not in ttls
        ]
        if won:
            await self._context.cluster.release_many([key for key, _ in won], [seen for _, seen in won])

    async def _repopulate(
        self, loads: Sequence[PendingLoad[K, V]], values: Mapping[K, V]
    ) -> Mapping[K, float]:
        """Put ``values`` into the cache; the TTL of each entry that was accepted, in seconds."""
        context = self._context
        added: list[tuple[LoadRequest[K], SetItem]] = []
        swapped: list[tuple[LoadRequest[K], SetItem]] = []
        seen: list[GetResult] = []
        for load in loads:
            request = load.request
            if request.name not in values or not request.repopulate:
                continue
            value = values[request.name]
            encoded, flags = self._kind.encode(value)
            if len(encoded) > context.max_value_bytes:
                continue
            ttl_s = self._kind.ttl_s(value)
            if load.seen is None:
                added.append((request, SetItem(request.key, encoded, flags, ttl_s, Mode.ADD)))
            elif load.seen.cas:
                swapped.append((request, SetItem(request.key, encoded, flags, ttl_s)))
                seen.append(load.seen)
        results: list[WriteResult] = []
        if added:
            results += await context.cluster.set_many([item for _, item in added])
        if swapped:
            results += await context.cluster.cas_many([item for _, item in swapped], seen)
        ttls: dict[K, float] = {}
        now_s = context.clock.now()
        for (request, item), result in zip([*added, *swapped], results, strict=True):
            if result.ok:
                entry_ttl_s = float(item.ttl_s)
                if result.node != context.cluster.node_of(request.key):
                    entry_ttl_s = min(entry_ttl_s, context.ttl.failover_s)
                ttls[request.name] = entry_ttl_s
                context.records.note(request.key, Record(now_s, now_s + entry_ttl_s, result.node))
        self._counters.repopulated += len(ttls)
        return ttls


def _failed(load: PendingLoad[K, V]) -> bool:
    return load.answer.exception() is not None or bool(load.answer.result().error)
