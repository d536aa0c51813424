"""Verification of a run: its readings held against broker, store and cache, into the report's ledger."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

import msgspec

from iotcache.config.schema import BrokerSettings, CacheSettings
from iotcache.config.urls import parse_node
from iotcache.errors import NodeError, UsageError
from iotcache.histogram import DurationHistogram
from iotcache.model import Series
from iotcache_simulator.faults.kinds import Skew
from iotcache_simulator.fleet.roster import interval_us
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.ledger.expected import expected
from iotcache_simulator.ledger.listener import Listener
from iotcache_simulator.ledger.reading_back import ReadBack
from iotcache_simulator.ledger.reconcile import Balance, Newest, reconcile
from iotcache_simulator.ledger.sightings import Sightings
from iotcache_simulator.ledger.store import stored, stored_unnumbered
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.unnumbered import DueReading
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.report.figures import Percentiles
from iotcache_simulator.report.simulate import CacheBalance, Ledger, MqttBalance, Report, StoreBalance

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.store.base import Store
    from iotcache_simulator.ledger.cache import CacheWatch

_MARGIN_US = 1_000_000
_EARLY_US: Final = 100_000
"""So much before its deadline a message may be seen by our own subscriber."""
_CLOCKS_US: Final = 1_000_000
"""So far may a worker's clock, by which it stamps what tells no time, differ from ours."""
_CACHE_POLL_S = 0.2


_NODE_TRIES: Final = 4
_NODE_RETRY_S: Final = 0.3


class Verification:
    """Watches one run. An async context manager, entered before the run and left after `judged`."""

    def __init__(
        self, targets: VerifyTargets, spec: FleetSpec, broker: BrokerSettings, *, settle_s: float = 10.0
    ) -> None:
        """``settle_s``: how long nothing new must have come before what is missing counts as lost."""
        self._targets = targets
        self._spec = spec
        self._settle_s = settle_s
        self.read_back = ReadBack(spec)
        self.listener = Listener(broker, spec.connect_timeout_s, self.read_back) if targets.mqtt else None
        self._store: Store | None = None
        self._cluster: Cluster | None = None
        self._stack = AsyncExitStack()
        self._timeline = Timeline()
        self._began = 0.0
        self._began_us = 0

    async def __aenter__(self) -> Self:
        """Connect to every place, so that one which cannot be asked is found out before the run.

        Raises `BrokerError`, `StoreError` or `NodeError`.
        """
        async with AsyncExitStack() as opening:
            if self.listener is not None:
                await opening.enter_async_context(self.listener)
            if self._targets.store is not None:
                from iotcache.store import open_store

                store = open_store(self._targets.store, read_only=True)
                self._store = await opening.enter_async_context(store)
                await store.counts()
            if self._targets.cache is not None:
                self._cluster = await opening.enter_async_context(_cluster_of(self._targets.cache))
                for tries_left in range(
                    _NODE_TRIES, -1, -1
                ):  # a node that has just started, or a busy machine
                    if any((await self._cluster.node_stats()).values()):
                        break
                    if not tries_left:
                        raise NodeError("none of the cache nodes answered")
                    await asyncio.sleep(_NODE_RETRY_S)
            self._stack = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def begin(self, timeline: Timeline, began: float) -> None:
        """The run's virtual time begins at ``began`` (`time.monotonic`)."""
        self._timeline, self._began = timeline, began
        self._began_us = time.time_ns() // 1_000 + round((began - time.monotonic()) * 1e6)
        if self.listener is not None:
            self.listener.boot = timeline.boot

    async def judged(
        self, report: Report, horizons: Mapping[int, int], as_it_was: FleetSpec | None = None
    ) -> Report:
        """The report with its ledger; ``as_it_was`` is the run with what it was told meanwhile.

        Where nobody looked, there is no ledger: a loss was neither found nor ruled out. Raises `StoreError`
        when the store cannot be asked, `NodeError` when no cache node answers."""
        if report.ended_by in ("unreachable", "failed") or self._targets == VerifyTargets():
            return report
        if as_it_was is not None:
            self._spec = as_it_was
        async with AsyncExitStack() as stack:
            watch: CacheWatch | None = None
            if self._cluster is not None and self._targets.cache is not None:
                from iotcache.keys import Keys
                from iotcache_simulator.ledger.cache import CacheWatch

                settings = self._targets.cache
                keys = Keys(settings.prefix, settings.bucket_s)
                watch = CacheWatch(
                    self._cluster, keys, self.read_back.series, self._timeline.boot,
                    place_of=self._place_of(), numbered=self.read_back.numbered,
                )  # fmt: skip
                await stack.enter_async_context(watch)
            return await self._judged(report, horizons, watch)

    async def _judged(self, report: Report, horizons: Mapping[int, int], watch: CacheWatch | None) -> Report:
        spec, timeline = self._spec, self._timeline
        seen: dict[str, Sightings] = {}
        due = await self._due(horizons) if self.read_back.own else {}
        count = sum(map(len, due.values())) if self.read_back.own else report.planned
        if self.listener is not None:
            await self.listener.settled(count, self._settle_s)
            seen["mqtt"] = self._numbered(self.listener, due)
        if self._store is not None:
            seen["store"] = await self._stored(self._store, count, horizons, due)
        end_to_end = DurationHistogram()
        paced = spec.speed < math.inf
        balance = await reconcile(
            expected(spec, timeline, horizons, self.read_back),
            seen,
            timed=seen.get("mqtt") if paced else None,
            began_us=int(self._began * 1e6),
            speed=spec.speed,
            end_to_end=end_to_end,
        )
        cache = (
            None if watch is None else await self._cached(watch, balance, disturbed=bool(report.reconnects))
        )
        store = seen.get("store")
        ledger = Ledger(
            expected=balance.expected,
            lost=balance.lost,
            lost_in=balance.lost_in,
            missing=tuple(balance.missing),
            altered=balance.altered,
            altered_in=balance.altered_in,
            misplaced=balance.misplaced,
            misplaced_in=balance.misplaced_in,
            deviations=tuple(balance.deviations),
            foreign=balance.foreign,
            foreign_in=balance.foreign_in,
            foreign_readings=tuple(balance.foreign_readings),
            mqtt=self._mqtt(report, balance, seen.get("mqtt")),
            store=None if store is None else StoreBalance(store.distinct(), store.duplicates),
            cache=cache,
            end_to_end_ms=Percentiles.of(end_to_end) if self.listener is not None and paced else None,
        )
        return msgspec.structs.replace(report, ledger=ledger)

    async def _due(self, horizons: Mapping[int, int]) -> dict[Series, list[DueReading]]:
        """What was due of each series, in order, by its times on the clock of subscriber and store."""
        speed, found = self._spec.speed, dict[Series, list[DueReading]]()
        async for window in expected(self._spec, self._timeline, horizons, self.read_back):
            for one in window:
                at_us = self._began_us + (round(one.due_us / speed) if speed < math.inf else 0)
                reading = DueReading(one.track, one.seq, at_us, one.content)
                found.setdefault(Series(one.track.device, one.track.sensor), []).append(reading)
        return found

    def _numbered(self, listener: Listener, due: Mapping[Series, Sequence[DueReading]]) -> Sightings:
        """What the subscriber saw, each reading with its number."""
        if self.read_back.numbered:
            return listener.seen
        offset_us = self._began_us - int(self._began * 1e6)
        shifted = {
            series: [msgspec.structs.replace(one, at_us=one.at_us - offset_us) for one in readings]
            for series, readings in due.items()
        }
        return listener.unnumbered.numbered(shifted, timed=self.read_back.timed, early_us=_EARLY_US)

    def _place_of(self) -> dict[Series, str] | None:
        if not self.read_back.own:
            return None
        return {
            series: self.read_back.place(index, series.sensor)
            for index, kind in enumerate(self.read_back.roster.kinds)
            for sensor in self.read_back.roster.classes[kind].sensor
            for series in (Series(self.read_back.names[index], sensor.name),)
        }

    def _mqtt(self, report: Report, balance: Balance, seen: Sightings | None) -> MqttBalance | None:
        if self.listener is None or seen is None:
            return None
        unexplained = 0
        if self.listener.undisturbed and not report.reconnects:
            # On one connection a broker hands on each message once, in order (MQTT 3.1.1 and 5, 4.6).
            unexplained = max(0, seen.duplicates - balance.repeated - report.resent)
            unexplained += max(0, seen.out_of_order - balance.out_of_order)
        return MqttBalance(
            seen.distinct(), seen.duplicates, seen.out_of_order, self.listener.foreign, unexplained
        )

    @property
    def _shown_us(self) -> int:
        """The time that payloads showed at the beginning."""
        return self._timeline.start_us + self._timeline.shift_us

    async def _stored(
        self, store: Store, count: int, horizons: Mapping[int, int],
        due: Mapping[Series, Sequence[DueReading]],
    ) -> Sightings:  # fmt: skip
        """What the store has, once it has as much as ``count`` or nothing new comes."""
        shown_us = self._shown_us
        margin_us = _MARGIN_US + max(
            (abs(round(fault.by_s * 1e6)) for fault in self._spec.faults if isinstance(fault, Skew)),
            default=0,
        )
        span_us = shown_us - margin_us, shown_us + max(horizons.values(), default=0) + margin_us
        moved_s, before = time.monotonic(), -1
        while True:
            seen = await self._look(store, span_us, due)
            if seen.distinct() >= count:
                return seen
            if seen.distinct() != before:
                moved_s, before = time.monotonic(), seen.distinct()
            elif time.monotonic() - moved_s >= self._settle_s:
                return seen
            await asyncio.sleep(min(1.0, self._settle_s / 4))

    async def _look(
        self, store: Store, span_us: tuple[int, int], due: Mapping[Series, Sequence[DueReading]]
    ) -> Sightings:
        read_back, places = self.read_back, self._place_of()
        if read_back.numbered or places is None:
            return await stored(store, read_back.series, self._timeline.boot, span_us, places)
        if not read_back.timed:  # by the time of receipt
            span_us = self._began_us - _CLOCKS_US, time.time_ns() // 1_000
        elif not read_back.sparkplug:
            # Not what an earlier run told: there is no boot id to know it by. Some tell whole seconds.
            span_us = (span_us[0] + _MARGIN_US) // 1_000_000 * 1_000_000, span_us[1]
        seen = await stored_unnumbered(store, places, span_us, timed=read_back.timed)
        found = seen.numbered(due, timed=read_back.timed, early_us=_CLOCKS_US, births=read_back.sparkplug)
        if read_back.sparkplug:
            found.only({(one.track, one.seq) for readings in due.values() for one in readings})
        return found

    async def _cached(self, watch: CacheWatch, balance: Balance, *, disturbed: bool) -> CacheBalance:
        until_s = time.monotonic() + self._settle_s
        newest = balance.newest
        if not self.read_back.numbered:
            newest = {
                series: msgspec.structs.replace(last, reboots=0, seq=last.content.ts_us or 0)
                for series, last in newest.items()
            }
        await watch.look()
        while not watch.settled(newest) and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_CACHE_POLL_S)
        await watch.look()
        sparkplug = self.read_back.sparkplug
        kept_back = {
            series
            for series, last in balance.newest.items()
            # Measured before the present session of its edge node, or sent after an outage.
            if sparkplug and (disturbed or (last.content.ts_us or 0) - self._shown_us + 1_000 < last.due_us)
        }
        return watch.balance(
            newest, balance, since_us=self._shown_us, lives_until_s=self._lives_until_s(),
            births=sparkplug, kept_back=kept_back,
        )  # fmt: skip

    def _lives_until_s(self) -> Callable[[Series, Newest], float]:
        """Until when (`time.monotonic`) the entry of a series' newest reading is there at the least."""
        assert self._targets.cache is not None
        from iotcache_simulator.ledger.cache import least_ttl_s

        spec, policy = self._spec, self._targets.cache.ttl
        roster = roster_of(spec)
        scale = spec.rate / roster.natural_rate if spec.rate else 1.0
        regular = spec.load is None and not spec.scattered and not spec.faults
        ttl_s: dict[Series, float] = {}
        for device in roster:
            for sensor in roster.classes[device.kind].sensor:
                # A worker that sees irregular intervals may take them for shorter ones.
                interval_s = interval_us(sensor, scale) / 1e6 if regular else 1e-6
                ttl_s[Series(self.read_back.names[device.index], sensor.name)] = least_ttl_s(
                    policy, interval_s
                )

        def lives_until_s(series: Series, newest: Newest) -> float:
            written_s = self._began + (newest.due_us / 1e6 / spec.speed if spec.speed < math.inf else 0.0)
            return written_s + ttl_s[series]

        return lives_until_s


def _cluster_of(settings: CacheSettings) -> Cluster:
    from iotcache.cluster import Cluster

    nodes = settings.nodes
    if isinstance(nodes, str):
        raise UsageError("--verify cache: the nodes are embedded in a stack")  # see `check_named`
    return Cluster.from_settings([parse_node(node) for node in nodes], settings)
