"""From a miss to the store and back into the cache: each series asked for once, however many wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.cache.filled import Filled, account
from iotcache.cache.tally import Tally
from iotcache.clock import Clock
from iotcache.codec import encode_reading
from iotcache.errors import StoreError
from iotcache.misses import Record, Records
from iotcache.model import Series, Stored
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.store.base import Store

STORE_PATIENCE_S: Final = 5.0
"""A reader waits no longer for the store."""
SHARED_S: Final = 1.0
"""How long an answer is kept for readers who missed before it came."""
_FLIGHTS_BOUND: Final = 100_000


class Missed(Struct, frozen=True, gc=False):
    """A series that the cache did not have."""

    series: Series
    key: str
    repopulate: bool
    """False while its node is out: the next read asks the stand-in."""
    corrupt: bool = False
    """The entry is there but unreadable: it has to go first."""


class Loaded(Struct, frozen=True, gc=False):
    """What the store knows of a series."""

    stored: Stored | None
    ttl_s: float | None = None
    """Life of the entry put back; ``None`` when none was."""
    store_ms: float = 0.0
    error: str = ""


class _Flight:
    """One store read under way, or just done."""

    def __init__(self, task: asyncio.Task[Mapping[Series, Loaded]]) -> None:
        self.task = task
        self.done_s = float("inf")


class Fallback:
    """Reads the store on behalf of misses and repopulates the cache."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        records: Records,
        tally: Tally,
        ttl: TtlPolicy,
        clock: Clock,
        rng: Random,
        compress_min_bytes: int,
        max_value_bytes: int,
        failover_ttl_s: float,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._records = records
        self._tally = tally
        self._ttl = ttl
        self._clock = clock
        self._rng = rng
        self._compress_min_bytes = compress_min_bytes
        self._max_value_bytes = max_value_bytes
        self._failover_ttl_s = failover_ttl_s
        self._flights: dict[Series, _Flight] = {}
        self._under_way: set[_Flight] = set()

    async def load(self, misses: Sequence[Missed], began_s: float) -> list[Loaded]:
        """The store's answer for each miss, in order; never raises for the store's sake.

        ``began_s`` is the monotonic time at which the caller asked the cache: an answer that came after it
        serves this caller as well.
        """
        flights: list[_Flight] = []
        own: list[Missed] = []
        fresh: _Flight | None = None
        for missed in misses:
            flight = self._flights.get(missed.series)
            if flight is None or began_s > flight.done_s:
                if fresh is None:
                    fresh = _Flight(asyncio.get_running_loop().create_task(self._fly(own)))
                self._flights[missed.series] = flight = fresh
                own.append(missed)
            flights.append(flight)
        if fresh is not None:
            self._launch(fresh, own)
        answers = {flight: await asyncio.shield(flight.task) for flight in dict.fromkeys(flights)}
        return [answers[flight][missed.series] for flight, missed in zip(flights, misses, strict=True)]

    async def fill(self, series: Sequence[Series], keys: Sequence[str]) -> Filled:
        """Add to the cache what is not there, from the store, on nobody's behalf. Raises `StoreError`."""
        probes = await self._cluster.probe_many(keys)
        missing = [
            Missed(one, key, repopulate=probe.failure is None)
            for one, key, probe in zip(series, keys, probes, strict=True)
            if not probe.present
        ]
        found = await self._store.latest_many([missed.series for missed in missing]) if missing else {}
        lives = await self._repopulate(missing, found)
        left = [missed.key for missed in missing if missed.series in found and missed.series not in lives]
        return await account(self._cluster, len(keys), len(missing), len(found), left)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._under_way:
            await asyncio.wait([flight.task for flight in self._under_way])

    def _launch(self, flight: _Flight, own: Sequence[Missed]) -> None:
        self._under_way.add(flight)

        def forget() -> None:
            for missed in own:
                if self._flights.get(missed.series) is flight:
                    del self._flights[missed.series]

        def landed(task: asyncio.Task[Mapping[Series, Loaded]]) -> None:
            self._under_way.discard(flight)
            flight.done_s = self._clock.monotonic()
            failed = task.cancelled() or task.exception() or any(one.error for one in task.result().values())
            if failed or len(self._flights) > _FLIGHTS_BOUND:
                forget()
            else:
                asyncio.get_running_loop().call_later(SHARED_S, forget)

        flight.task.add_done_callback(landed)

    async def _fly(self, misses: Sequence[Missed]) -> Mapping[Series, Loaded]:
        corrupt = [missed.key for missed in misses if missed.corrupt]
        if corrupt:
            await self._cluster.delete_many(corrupt)
        began_s = self._clock.monotonic()
        self._tally.store_reads += 1
        self._tally.store_series += len(misses)
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                found = await self._store.latest_many([missed.series for missed in misses])
        except (StoreError, TimeoutError) as error:
            self._tally.store_failures += 1
            text = str(error) or f"the store did not answer within {STORE_PATIENCE_S:g} s"
            lost = Loaded(None, None, (self._clock.monotonic() - began_s) * 1e3, text)
            return {missed.series: lost for missed in misses}
        store_ms = (self._clock.monotonic() - began_s) * 1e3
        lives = await self._repopulate(misses, found)
        return {
            missed.series: Loaded(found.get(missed.series), lives.get(missed.series), store_ms)
            for missed in misses
        }

    async def _repopulate(
        self, misses: Sequence[Missed], found: Mapping[Series, Stored]
    ) -> Mapping[Series, float]:
        """Add what was found to the cache; the life of each entry that was taken, in seconds."""
        from iotcache.cluster import Item, Mode

        wanted: list[Missed] = []
        items: list[Item] = []
        for missed in misses:
            stored = found.get(missed.series)
            if stored is None or not missed.repopulate:
                continue
            value, flags = encode_reading(stored.reading, self._compress_min_bytes)
            if len(value) <= self._max_value_bytes:
                life_s = self._ttl.jittered(self._ttl.volatile_s(stored.reading.interval_s), self._rng)
                items.append(Item(missed.key, value, flags, life_s, Mode.ADD))
                wanted.append(missed)
        if not items:
            return {}
        lives: dict[Series, float] = {}
        outcomes = await self._cluster.set_many(items)
        now_s = self._clock.now()
        for missed, item, outcome in zip(wanted, items, outcomes, strict=True):
            if outcome.ok:
                taken_s = float(item.ttl_s)
                if outcome.node != self._cluster.node_of(missed.key):
                    taken_s = min(taken_s, self._failover_ttl_s)
                lives[missed.series] = taken_s
                self._records.note(missed.key, Record(now_s, now_s + taken_s, outcome.node))
        self._tally.repopulated += len(lives)
        return lives
