"""Verification of a run: from ``--verify mqtt,store=…,cache=…`` to the ledger in the report."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

import msgspec
from msgspec import Struct

from iotcache.config.schema import BrokerSettings, CacheSettings, Settings, StoreSettings
from iotcache.config.urls import parse_node, parse_store
from iotcache.errors import UsageError
from iotcache.histogram import DurationHistogram
from iotcache.model import Series
from iotcache_simulator.faults.kinds import Skew
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.ledger.expected import expected
from iotcache_simulator.ledger.listener import READS, Listener
from iotcache_simulator.ledger.reconcile import reconcile
from iotcache_simulator.ledger.seen import Seen
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.report.figures import Percentiles
from iotcache_simulator.report.simulate import (
    CacheBalance,
    Ledger,
    MqttBalance,
    Report,
    StoreBalance,
)

_MARGIN_US = 1_000_000
_CACHE_POLL_S = 0.2


class Places(Struct, frozen=True):
    """Where to look for what was published."""

    mqtt: bool = False
    store: StoreSettings | None = None
    cache: CacheSettings | None = None


def parse_places(text: str, settings: Settings) -> Places:
    """``mqtt``, ``store[=URL]`` and ``cache[=host:port,…]``, with commas between. Raises `UsageError`."""
    found: dict[str, list[str]] = {}
    last = ""
    for token in (part.strip() for part in text.split(",")):
        name, _, value = token.partition("=")
        if name in {"mqtt", "store", "cache"}:
            last = name
            found.setdefault(name, [])
            if value:
                found[name].append(value)
        elif last == "cache" and token:
            found[last].append(token)
        else:
            raise UsageError(
                f"--verify: {token!r} is no place: name mqtt, store[=URL] or cache[=host:port,…]"
            )
    if found.get("mqtt"):
        raise UsageError(
            "--verify: mqtt takes no value: it listens to the broker that the fleet publishes to"
        )
    store = cache = None
    if "store" in found:
        url = found["store"][0] if found["store"] else settings.store.url
        store = msgspec.structs.replace(settings.store, url=url)
        if url != "embedded":
            parse_store(url)
    if "cache" in found:
        nodes = tuple(found["cache"]) or settings.cache.nodes
        cache = msgspec.structs.replace(settings.cache, nodes=nodes)
        if not isinstance(nodes, str):
            for node in nodes:
                parse_node(node)
    return Places("mqtt" in found, store, cache)


def check_payload(places: Places, payload: str) -> None:
    """Raises `UsageError` for places that cannot be asked about payloads of that format."""
    if places.mqtt and payload not in READS:
        raise UsageError(
            f"--verify mqtt reads payloads in JSON, CBOR and SenML, and --format is {payload}; "
            "--verify store works where the worker can read them ([ingest.fields])"
        )


def check_named(places: Places) -> None:
    """Raises `UsageError` for places without an address: those of a stack that is not there."""
    if places.store is not None and places.store.url == "embedded":
        raise UsageError("--verify store: the store is embedded in a stack; name it with --verify store=URL")
    if places.cache is not None and isinstance(places.cache.nodes, str):
        raise UsageError(
            "--verify cache: the nodes are embedded in a stack; name them with --verify cache=host:port,…"
        )


class Verification:
    """Watches one run. An async context manager, entered before the run and left after `judged`."""

    def __init__(
        self, places: Places, spec: FleetSpec, broker: BrokerSettings, *, settle_s: float = 10.0
    ) -> None:
        """``settle_s``: how long nothing new must have come before what is missing counts as lost."""
        self._places = places
        self._spec = spec
        self._settle_s = settle_s
        self._listener = Listener(broker, spec.connect_timeout_s) if places.mqtt else None
        self._stack = AsyncExitStack()
        self._timeline = Timeline()
        self._began = 0.0

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            await self._stack.enter_async_context(self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def begin(self, timeline: Timeline, began: float) -> None:
        """The run's virtual time begins at ``began`` (`time.monotonic`)."""
        self._timeline, self._began = timeline, began
        if self._listener is not None:
            self._listener.boot = timeline.boot

    async def judged(
        self, report: Report, horizons: Mapping[int, int], as_it_was: FleetSpec | None = None
    ) -> Report:
        """The report with its ledger; ``as_it_was`` is the run with what it was told meanwhile.

        Where nobody looked, there is no ledger: a loss was neither found nor ruled out. Raises `StoreError`
        when the store cannot be asked, `NodeError` when no cache node answers."""
        if report.ended_by == "unreachable" or self._places == Places():
            return report
        if as_it_was is not None:
            self._spec = as_it_was
        spec, timeline = self._spec, self._timeline
        seen: dict[str, Seen] = {}
        if self._listener is not None:
            await self._listener.settled(report.planned, self._settle_s)
            seen["mqtt"] = self._listener.seen
        if self._places.store is not None:
            seen["store"] = await self._stored(self._places.store, report, horizons)
        end_to_end = DurationHistogram()
        paced = spec.speed < math.inf
        balance = await reconcile(
            expected(spec, timeline, horizons),
            seen,
            timed=seen.get("mqtt") if paced else None,
            began_us=int(self._began * 1e6),
            speed=spec.speed,
            end_to_end=end_to_end,
        )
        cache = None
        if self._places.cache is not None:
            cache = await self._readable(self._places.cache, balance.newest)
        mqtt, store = seen.get("mqtt"), seen.get("store")
        ledger = Ledger(
            expected=balance.expected,
            lost=balance.lost,
            lost_in=balance.lost_in,
            missing=tuple(balance.named),
            mqtt=None
            if mqtt is None
            else MqttBalance(mqtt.distinct(), mqtt.duplicates, mqtt.out_of_order, mqtt.foreign),
            store=None if store is None else StoreBalance(store.distinct()),
            cache=cache,
            end_to_end_ms=Percentiles.of(end_to_end) if mqtt is not None and paced else None,
        )
        return msgspec.structs.replace(report, ledger=ledger)

    @property
    def _shown_us(self) -> int:
        """The time that payloads showed at the beginning."""
        return self._timeline.start_us + self._timeline.shift_us

    async def _stored(self, settings: StoreSettings, report: Report, horizons: Mapping[int, int]) -> Seen:
        from iotcache.store import open_store
        from iotcache_simulator.ledger.places import stored

        roster = roster_of(self._spec)
        series = [
            Series(device.name, sensor.name)
            for device in roster
            for sensor in roster.classes[device.kind].sensor
        ]
        shown_us = self._shown_us
        margin_us = _MARGIN_US + max(
            (abs(round(fault.by_s * 1e6)) for fault in self._spec.faults if isinstance(fault, Skew)),
            default=0,
        )
        span_us = shown_us - margin_us, shown_us + max(horizons.values(), default=0) + margin_us
        async with open_store(settings, read_only=True) as store:
            moved_s, before = time.monotonic(), -1
            while True:
                seen = await stored(store, series, self._timeline.boot, span_us)
                if seen.distinct() >= report.planned:
                    return seen
                if seen.distinct() != before:
                    moved_s, before = time.monotonic(), seen.distinct()
                elif time.monotonic() - moved_s >= self._settle_s:
                    return seen
                await asyncio.sleep(min(1.0, self._settle_s / 4))

    async def _readable(
        self, settings: CacheSettings, newest: Mapping[Series, tuple[int, int]]
    ) -> CacheBalance:
        from iotcache.cluster import Cluster
        from iotcache.keys import Keys
        from iotcache_simulator.ledger.places import readable

        nodes = settings.nodes
        if isinstance(nodes, str):
            raise UsageError("--verify cache: the nodes are embedded in a stack")  # see `check_places`
        keys = Keys(settings.prefix, settings.bucket_s)
        async with Cluster.from_settings([parse_node(node) for node in nodes], settings) as cluster:
            until_s = time.monotonic() + self._settle_s
            while True:
                found = await readable(cluster, keys, newest, self._timeline.boot, self._shown_us)
                if not found.stale or time.monotonic() > until_s:
                    return CacheBalance(found.fresh, found.stale, found.absent, found.others)
                await asyncio.sleep(_CACHE_POLL_S)
