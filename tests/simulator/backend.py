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
from iotcache.config.schema import BrokerSettings, CacheSettings, IngestSettings, StoreSettings
from iotcache.config.urls import parse_node
from iotcache.decode.decoder import Decoder
from iotcache.decode.topics import Topics
from iotcache.keys import Keys
from iotcache.model import Reading, StoredReading
from iotcache.store import open_store
from iotcache.worker.reader import decoder_for, topics_of
from iotcache_simulator.faults.kinds import Fault
from iotcache_simulator.fleet.classes import PRESETS
from iotcache_simulator.fleet.rendering.joint import announcements_of
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS
from iotcache_simulator.ledger.listener import Listener
from iotcache_simulator.ledger.reading_back import ReadBack
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


def newest_of(readings: list[Reading]) -> list[Reading]:
    """The newest of each series."""
    in_order = sorted(readings, key=lambda reading: (reading.ts_us, reading.seq or 0))
    return list({reading.series: reading for reading in in_order}.values())


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
    newest: Rows = newest_of
    """Which of all readings are the newest of their series."""
    cached: Rows = list
    """The newest readings, before they are cached."""
    faults: tuple[Fault, ...] = ()
    """Of the fleet: what the back end does wrong only then."""
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
    began_us = time.time_ns() // 1_000 - until_us
    received_us = [began_us + message[0] for message in messages]
    sent = [Delivery(topic.decode(), payload) for _, _, topic, payload, _ in messages]
    prefix = f"{timeline.boot}:"
    cache = CacheSettings(nodes=(node,), prefix=prefix)
    url = f"sqlite:///{folder}/{timeline.boot}.db"
    store = StoreSettings(url=url)
    await _fill(sent, store, cache, mutation, decoder_of(spec, roster), received_us)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        for statement in mutation.sql:
            database.execute(statement)
    count = len(sent)
    totals = PublishTotals(planned=count, published=count, confirmed=count, elapsed_s=spec.duration_s)
    target = BrokerTarget("127.0.0.1", 1)
    report = report_of(spec, target, timeline, totals, "duration", started_s=time.time())
    timed = ReadBack(spec).timed or ReadBack(spec).numbered
    targets = VerifyTargets(store=store, cache=cache if timed else None)
    async with Verification(targets, spec, NOBODY, settle_s=settle_s) as verification:
        verification.listener = Listener(NOBODY, read_back=verification.read_back)
        verification.begin(timeline, time.monotonic() - spec.duration_s)
        for number, delivery in enumerate(mutation.wire(sent), time.monotonic_ns() // 1_000):
            verification.listener.take(*delivery, number)
        report = await verification.judged(report, dict.fromkeys(range(SHARDS), until_us))
    return judged(report, cases(report))


def decoder_of(spec: FleetSpec, roster: Roster) -> Decoder:
    """That of a worker with the preset of the fleet, if it has one, which has heard what devices announce."""
    names = [kind.name for kind in spec.classes if kind.name in PRESETS]
    if not names:
        return Decoder(Topics(("iot/{site}/{device}/{sensor}",)))
    ingest = IngestSettings(topics=(), preset=tuple(names))
    decoder = decoder_for(ingest, topics_of(ingest))
    for index in range(len(roster)):
        for topic, text in announcements_of(roster, index):
            decoder.decode(topic, text.encode(), 1)
    return decoder


async def _fill(  # noqa: PLR0917
    sent: Sequence[Delivery], store_settings: StoreSettings, cache: CacheSettings, mutation: Mutation,
    decoder: Decoder, received_us: Sequence[int],
) -> None:  # fmt: skip
    """As the worker does: decode, commit, write through."""
    readings: list[Reading] = []
    for (topic, payload), at_us in zip(sent, received_us, strict=True):
        decoded = decoder.decode(topic, payload, at_us)
        if isinstance(decoded, list):
            readings += decoded
    nodes = [parse_node(node) for node in cache.nodes]
    keys = Keys(cache.prefix, cache.bucket_s)
    async with open_store(store_settings) as store, Cluster.from_settings(nodes, cache) as cluster:
        rows = mutation.rows(readings)
        if rows:
            await store.commit([StoredReading(row, 0) for row in rows])
        newest = mutation.newest(readings)
        async with DeviceCache(cluster, store, keys=keys, ttl=cache.ttl) as device_cache:
            entries = mutation.cached(newest)
            await device_cache.write_through([StoredReading(entry, 0) for entry in entries])
            if mutation.raw is not None:
                first = min(reading.series for reading in newest)
                await cluster.delete_many([keys.latest(*first)])
                await _set_raw(cluster, keys.latest(*first), mutation.raw)


async def _set_raw(cluster: Cluster, key: str, value: bytes) -> None:
    await cluster.set_many([SetItem(key, value, 0, 60)])
