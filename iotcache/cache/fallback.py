"""From a miss to the store and back into the cache: each series asked for once, however many wait for it.

Two things make it once. In this process, readers of one series share a flight. Among processes, memcached's
own lease decides (`iotcache.cluster.Lease`): who wins it asks the store, the others ask the node again, with
jitter, until the value is there. A winner that dies holds them up until its lease runs out; a winner that
only is slow, for no longer than `LEASE_PATIENCE_S`.

What was loaded is stored only where the node still holds the very item that was seen before the store was
asked (its CAS unique). So a reader, however slow, never puts an old value where a newer one is, or was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.cache.counters import CacheCountersBuilder
from iotcache.cache.filled import Filled, account
from iotcache.clock import Clock
from iotcache.codec import CachedReading, decode_cached, encode_reading
from iotcache.errors import CorruptValue, StoreError
from iotcache.misses import Record, Records
from iotcache.model import Series, StoredReading
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, GetResult, SetItem, WriteResult
    from iotcache.store.base import Store

STORE_PATIENCE_S: Final = 5.0
"""A reader waits no longer for the store."""
SHARED_S: Final = 1.0
"""How long an answer is kept for readers who missed before it came."""
LEASE_S: Final = 2
"""Life of a lease. memcached counts whole seconds, so this is 1 to 2 s; with 1 it could be none."""
LEASE_PATIENCE_S: Final = 2.5
"""A reader waits no longer for another's lease, then asks the store itself. Above the life of a lease, so
that of those who wait for a dead winner one wins, and not all lose patience."""
_FIRST_PAUSE_S: Final = 0.004
_LONGEST_PAUSE_S: Final = 0.05
_FLIGHTS_BOUND: Final = 100_000


class Missed(Struct, frozen=True, gc=False):
    """A series that the cache did not have."""

    series: Series
    key: str
    repopulate: bool
    """False while its node is out: the next read asks the stand-in."""
    lease: bool = False
    """Whether its node is asked who is to load it."""
    corrupt: bool = False
    """The entry is there but unreadable: it has to go first."""


class Loaded(Struct, frozen=True, gc=False):
    """What the store knows of a series, or the cache after all."""

    stored: StoredReading | None
    ttl_s: float | None = None
    """Life of the entry put back; ``None`` when none was."""
    store_ms: float = 0.0
    error: str = ""
    late: tuple[CachedReading, GetResult] | None = None
    """Somebody else loaded it: what the node has now."""


class _Flight:
    """One series on its way to an answer."""

    __slots__ = ("answer", "closed_s", "missed", "seen", "waited")

    def __init__(self, missed: Missed, answer: asyncio.Future[Loaded]) -> None:
        self.missed = missed
        self.answer = answer
        self.closed_s = float("inf")
        """Readers who asked the cache later are not served: the answer may be older than their wish."""
        self.seen: GetResult | None = None
        """What the node had, with its CAS unique, before the store was asked."""
        self.waited = False


class Fallback:
    """Reads the store on behalf of misses and repopulates the cache."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        records: Records,
        tally: CacheCountersBuilder,
        ttl: TtlPolicy,
        clock: Clock,
        rng: Random,
        compress_min_bytes: int,
        max_value_bytes: int,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._records = records
        self._tally = tally
        self.ttl = ttl
        self._clock = clock
        self._rng = rng
        self._compress_min_bytes = compress_min_bytes
        self._max_value_bytes = max_value_bytes
        self._flights: dict[Series, _Flight] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def load(self, misses: Sequence[Missed], began_s: float) -> list[Loaded]:
        """The answer for each miss, in order; never raises for the store's sake.

        ``began_s`` is the monotonic time at which the caller asked the cache: an answer that came after it
        serves this caller as well.
        """
        loop = asyncio.get_running_loop()
        flights: list[_Flight] = []
        own: list[_Flight] = []
        for missed in misses:
            flight = self._flights.get(missed.series)
            if flight is None or began_s > flight.closed_s:
                self._flights[missed.series] = flight = _Flight(missed, loop.create_future())
                own.append(flight)
            flights.append(flight)
        if own:
            task = loop.create_task(self._fly(own))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        # Not `gather`: a reader that gives up must not take the others' answer with it.
        pending = {flight.answer for flight in flights if not flight.answer.done()}
        if pending:
            await asyncio.wait(pending)
        return [flight.answer.result() for flight in flights]

    async def fill(self, series: Sequence[Series], keys: Sequence[str], *, lease: bool) -> Filled:
        """Add to the cache what is not there, from the store, on nobody's behalf. Raises `StoreError`.

        With ``lease`` nothing that was set and removed again meanwhile is undone.
        """
        probes = await self._cluster.probe_many(keys)
        loop = asyncio.get_running_loop()
        missing = [
            _Flight(Missed(one, key, repopulate=probe.failure is None), loop.create_future())
            for one, key, probe in zip(series, keys, probes, strict=True)
            if not probe.present
        ]
        if not missing:
            return await account(self._cluster, len(keys), 0, 0, ())
        if lease:
            gots = await self._cluster.lease_many([flight.missed.key for flight in missing], stub_s=LEASE_S)
            for flight, got in zip(missing, gots, strict=True):
                flight.seen = got if got.cas else None
        lives: Mapping[Series, float] = {}
        try:
            found = await self._store.latest_many([flight.missed.series for flight in missing])
            lives = await self._repopulate(missing, found)
        finally:
            await self._release(missing, lives)
        left = [flight.missed.key for flight in missing if _left(flight.missed, found, lives)]
        return await account(self._cluster, len(keys), len(missing), len(found), left)

    async def close(self) -> None:
        """Wait for what is under way: `LEASE_PATIENCE_S` and `STORE_PATIENCE_S` at most."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def _fly(self, own: Sequence[_Flight]) -> None:
        try:
            await self._ask(own)
        except BaseException as error:
            for flight in own:
                if not flight.answer.done():
                    flight.answer.set_exception(error)
                    flight.answer.exception()  # seen, also when nobody waits any more
            if not isinstance(error, Exception):
                raise
        finally:
            if any(self._failed(flight) for flight in own) or len(self._flights) > _FLIGHTS_BOUND:
                self._forget(own)
            else:
                asyncio.get_running_loop().call_later(SHARED_S, self._forget, own)

    def _failed(self, flight: _Flight) -> bool:
        return flight.answer.exception() is not None or bool(flight.answer.result().error)

    def _forget(self, flights: Sequence[_Flight]) -> None:
        for flight in flights:
            if self._flights.get(flight.missed.series) is flight:
                del self._flights[flight.missed.series]

    def _land(self, flight: _Flight, answer: Loaded) -> None:
        flight.closed_s = min(flight.closed_s, self._clock.monotonic())
        flight.answer.set_result(answer)

    async def _ask(self, own: Sequence[_Flight]) -> None:
        """Ask the store for what nobody else is loading, and the cache for the rest until it is there."""
        corrupt = [flight.missed.key for flight in own if flight.missed.corrupt]
        if corrupt:
            await self._cluster.delete_many(corrupt)
        began_s = self._clock.monotonic()
        ours = [flight for flight in own if not flight.missed.lease]
        waiting = [flight for flight in own if flight.missed.lease]
        pause_s = _FIRST_PAUSE_S
        while waiting or ours:
            if waiting:
                patient = self._clock.monotonic() - began_s < LEASE_PATIENCE_S
                won, waiting = await self._lease(waiting, patient)
                ours += won
            if ours:
                await self._load(ours)
                ours = []
            if waiting:
                await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2.0, _LONGEST_PAUSE_S)

    async def _lease(self, flights: Sequence[_Flight], patient: bool) -> tuple[list[_Flight], list[_Flight]]:
        """Those that we are to load now, and those that somebody else is loading; the others have landed."""
        from iotcache.cluster import Lease

        ours: list[_Flight] = []
        held: list[_Flight] = []
        asked_s = self._clock.monotonic()
        for flight in flights:
            flight.closed_s = asked_s
        gots = await self._cluster.lease_many([flight.missed.key for flight in flights], stub_s=LEASE_S)
        for flight, got in zip(flights, gots, strict=True):
            flight.seen = got
            if got.hit:
                try:
                    kept = decode_cached(got.value, got.flags)
                except CorruptValue:
                    ours.append(flight)
                else:
                    now_s = self._clock.now()
                    self._records.note(flight.missed.key, Record(now_s, now_s + got.ttl_s, got.node))
                    self._land(flight, Loaded(None, late=(kept, got)))
            elif got.lease is Lease.HELD and patient:
                self._tally.lease_waits += not flight.waited
                flight.waited = True
                flight.closed_s = float("inf")
                held.append(flight)
            else:
                self._tally.lease_wins += got.lease is Lease.WON
                ours.append(flight)
        return ours, held

    async def _load(self, flights: Sequence[_Flight]) -> None:
        """Land ``flights`` with the store's answers."""
        began_s = self._clock.monotonic()
        for flight in flights:
            if flight.seen is not None:
                flight.closed_s = began_s
        self._tally.store_reads += 1
        self._tally.store_series += len(flights)
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                found = await self._store.latest_many([flight.missed.series for flight in flights])
        except (StoreError, TimeoutError) as error:
            self._tally.store_failures += 1
            text = str(error) or f"the store did not answer within {STORE_PATIENCE_S:g} s"
            lost = Loaded(None, None, (self._clock.monotonic() - began_s) * 1e3, text)
            for flight in flights:
                self._land(flight, lost)
            await self._release(flights, {})
            return
        store_ms = (self._clock.monotonic() - began_s) * 1e3
        lives = await self._repopulate(flights, found)
        for flight in flights:
            series = flight.missed.series
            self._land(flight, Loaded(found.get(series), lives.get(series), store_ms))
        await self._release(flights, lives)

    async def _release(self, flights: Sequence[_Flight], lives: Mapping[Series, float]) -> None:
        """Give back the leases of what was not stored, so that nobody waits for it."""
        from iotcache.cluster import Lease

        kept = [
            (flight.missed.key, flight.seen)
            for flight in flights
            if flight.seen is not None
            and flight.seen.lease is Lease.WON
            and flight.missed.series not in lives
        ]
        if kept:
            await self._cluster.release_many([key for key, _ in kept], [seen for _, seen in kept])

    async def _repopulate(
        self, flights: Sequence[_Flight], found: Mapping[Series, StoredReading]
    ) -> Mapping[Series, float]:
        """Put what was found into the cache; the life of each entry that was taken, in seconds."""
        from iotcache.cluster import Mode, SetItem

        added: list[tuple[Missed, SetItem]] = []
        swapped: list[tuple[Missed, SetItem]] = []
        seen: list[GetResult] = []
        for flight in flights:
            missed = flight.missed
            stored = found.get(missed.series)
            if stored is None or not missed.repopulate:
                continue
            value, flags = encode_reading(stored.reading, self._compress_min_bytes)
            if len(value) > self._max_value_bytes:
                continue
            life_s = self.ttl.jittered(self.ttl.volatile_s(stored.reading.interval_s), self._rng)
            if flight.seen is None:
                added.append((missed, SetItem(missed.key, value, flags, life_s, Mode.ADD)))
            elif flight.seen.cas:
                swapped.append((missed, SetItem(missed.key, value, flags, life_s)))
                seen.append(flight.seen)
        outcomes: list[WriteResult] = []
        if added:
            outcomes += await self._cluster.set_many([item for _, item in added])
        if swapped:
            outcomes += await self._cluster.cas_many([item for _, item in swapped], seen)
        lives: dict[Series, float] = {}
        now_s = self._clock.now()
        for (missed, item), outcome in zip([*added, *swapped], outcomes, strict=True):
            if outcome.ok:
                taken_s = float(item.ttl_s)
                if outcome.node != self._cluster.node_of(missed.key):
                    taken_s = min(taken_s, self.ttl.failover_s)
                lives[missed.series] = taken_s
                self._records.note(missed.key, Record(now_s, now_s + taken_s, outcome.node))
        self._tally.repopulated += len(lives)
        return lives


def _left(missed: Missed, found: Mapping[Series, StoredReading], lives: Mapping[Series, float]) -> bool:
    """Whether the store had it, and no node took it."""
    return missed.series in found and missed.series not in lives
