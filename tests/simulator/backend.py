"""A back end for the ledger to verify: broker, store and cache, each of which may be made to work wrongly.

Store and cache are real ones (SQLite, memcached), filled by the worker's own decoder and cache; the wire is
a list of messages. A mutation changes what one of them holds, as a back end with that fault would.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from iotcache.cache import DeviceCache
from iotcache.cluster import Cluster, SetItem
from iotcache.config.schema import BrokerSettings, CacheSettings, StoreSettings
from iotcache.config.urls import parse_node
from iotcache.decode.decoder import Decoder
from iotcache.decode.topics import Topics
from iotcache.keys import Keys
from iotcache.model import Reading, StoredReading
from iotcache.store import open_store
from iotcache_simulator.fleet.stream import SHARDS
from iotcache_simulator.ledger.listener import Listener
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.partition import PublishTotals
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of
from iotcache_simulator.publish.run import report_of
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases, judged
from iotcache_simulator.wire.connection import BrokerTarget

NOBODY = BrokerSettings(url="mqtt://127.0.0.1:1")


class Delivery(NamedTuple):
    """One message on the wire."""

    topic: str
    payload: bytes


Wire = Callable[[list[Delivery]], list[Delivery]]
Rows = Callable[[list[Reading]], list[Reading]]


class Mutation(Struct, frozen=True):
    """What is wrong with a back end, and how the verdict must name it."""

    name: str
    says: str
    """What one of the failures must contain."""
    wire: Wire = list
    rows: Rows = list
    """Before they are stored."""
    sql: tuple[str, ...] = ()
    """After they were stored."""
    cached: Rows = list
    """The newest readings, before they are cached."""
    raw: bytes | None = None
    """What lies in the cache in place of one reading."""


HEALTHY = Mutation("healthy", "")


async def verdict(
    spec: FleetSpec, node: str, folder: Path, mutation: Mutation = HEALTHY, settle_s: float = 0.3
) -> Report:
    """The report of a run of ``spec`` on a back end with that fault."""
    assert spec.duration_s is not None
    timeline = spec.timeline(int((time.time() - spec.duration_s) * 1e6))
    roster = roster_of(spec)
    until_us = round(spec.duration_s * 1e6)
    messages = stream_of(spec, roster, timeline).window(until_us)
    sent = [Delivery(topic.decode(), payload) for _, _, topic, payload, _ in messages]
    prefix = f"{timeline.boot}:"
    cache = CacheSettings(nodes=(node,), prefix=prefix)
    url = f"sqlite:///{folder}/{timeline.boot}.db"
    store = StoreSettings(url=url)
    await _fill(sent, store, cache, mutation)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        for statement in mutation.sql:
            database.execute(statement)
    count = len(sent)
    totals = PublishTotals(planned=count, published=count, confirmed=count, elapsed_s=spec.duration_s)
    target = BrokerTarget("127.0.0.1", 1)
    report = report_of(spec, target, timeline, totals, "duration", started_s=time.time())
    targets = VerifyTargets(store=store, cache=cache)
    async with Verification(targets, spec, NOBODY, settle_s=settle_s) as verification:
        verification.listener = Listener(NOBODY)
        verification.begin(timeline, time.monotonic() - spec.duration_s)
        for number, delivery in enumerate(mutation.wire(sent), 1):
            verification.listener.take(*delivery, number)
        report = await verification.judged(report, dict.fromkeys(range(SHARDS), until_us))
    return judged(report, cases(report))


async def _fill(
    sent: Sequence[Delivery], store_settings: StoreSettings, cache: CacheSettings, mutation: Mutation
) -> None:
    """As the worker does: decode, commit, write through."""
    decoder = Decoder(Topics(("iot/{site}/{device}/{sensor}",)))
    now_us = time.time_ns() // 1_000
    readings: list[Reading] = []
    for topic, payload in sent:
        decoded = decoder.decode(topic, payload, now_us)
        if isinstance(decoded, list):
            readings += decoded
    nodes = [parse_node(node) for node in cache.nodes]
    keys = Keys(cache.prefix, cache.bucket_s)
    async with open_store(store_settings) as store, Cluster.from_settings(nodes, cache) as cluster:
        rows = mutation.rows(readings)
        if rows:
            await store.commit([StoredReading(row, 0) for row in rows])
        newest = {reading.series: reading for reading in sorted(readings, key=lambda r: r.seq or 0)}
        async with DeviceCache(cluster, store, keys=keys, ttl=cache.ttl) as device_cache:
            entries = mutation.cached(list(newest.values()))
            await device_cache.write_through([StoredReading(entry, 0) for entry in entries])
            if mutation.raw is not None:
                first = min(newest)
                await cluster.delete_many([keys.latest(*first)])
                await _set_raw(cluster, keys.latest(*first), mutation.raw)


async def _set_raw(cluster: Cluster, key: str, value: bytes) -> None:
    await cluster.set_many([SetItem(key, value, 0, 60)])
