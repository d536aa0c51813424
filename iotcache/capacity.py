"""How much of everything a fleet needs: a small model, calibrated by this program's own benchmarks.

Every figure is a plain product; each result says what it rests on, so that a reader may put in figures of
their own machines. Rates are a second, sizes bytes, times seconds.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from msgspec import Struct

# Measured with `iotcache-tui bench` on two shared cores of a server of the 2020s (Linux, Python 3.11,
# memcached 1.6.18, mosquitto 2.0, PostgreSQL 15), rounded down. One process has one core's worth.
WORKER_MESSAGES_PER_S: Final = 30_000
"""One ingest worker: single readings, QoS 1, to PostgreSQL or SQLite and the cache (`bench ingest`)."""
WORKER_PACKED_READINGS_PER_S: Final = 60_000
"""The same with 50 readings in a message."""
PACKED_FROM: Final = 10
"""Readings in a message from which on the packed figure holds."""
CACHE_SETS_PER_S: Final = 400_000
"""Confirmed sets of one client over three nodes (`bench cluster`)."""
CACHE_GETS_PER_S: Final = 300_000
"""Gets with TTL and flags of one client over three nodes."""
NODE_OPERATIONS_PER_S: Final = 500_000
"""What one memcached process with four threads is planned for; its own benchmarks reach twice that."""
BROKER_MESSAGES_PER_S: Final = 20_000
"""One mosquitto with QoS 1 (it has one thread); EMQX and VerneMQ nodes are planned for `CLUSTER_BROKER_…`."""
CLUSTER_BROKER_MESSAGES_PER_S: Final = 100_000
BROKER_CONNECTIONS: Final = 50_000
CLUSTER_BROKER_CONNECTIONS: Final = 500_000
POSTGRES_ROWS_PER_S: Final = 50_000
"""One PostgreSQL with batches as arrays; TimescaleDB and partitions keep it there as the table grows."""
ITEM_OVERHEAD_BYTES: Final = 56
"""A memcached item's header with CAS (memcached 1.6, items.c: 48 to 56 bytes)."""
SLAB_WASTE: Final = 1.15
"""Items lie in slab chunks a factor of 1.25 apart: half a step is lost in the mean."""
MEMORY_FILL: Final = 0.8
"""A cache is planned for four fifths of its memory."""
KEY_BYTES: Final = 32
READING_BYTES: Final = 110
"""The cached JSON of one reading."""
META_BYTES: Final = 420
"""A device's metadata and configuration with their keys."""
ROW_BYTES_SQLITE: Final = 60
ROW_BYTES_POSTGRES: Final = 110
"""A reading in its table, indexes included, before compression."""
PUBLISH_OVERHEAD_BYTES: Final = 62
"""MQTT fixed header, topic and packet id, TCP and IP headers shared by a few messages."""
NODE_MEMORY_BYTES: Final = 8 * 1024**3
"""A cache node's memory (-m) in the plan."""
SQLITE_ROWS_PER_S: Final = 15_000
"""Above it one file is no longer the right place."""
SQLITE_BYTES: Final = 200 * 1024**3


class Fleet(Struct, frozen=True, kw_only=True):
    """What is asked for."""

    devices: int
    interval_s: float
    """Between two readings of one sensor."""
    sensors: int = 1
    """Of a device."""
    ttl_s: float = 0.0
    """Of a cached reading; 0: three intervals."""
    payload_bytes: int = 140
    readings_per_message: int = 1
    reads_per_s: float | None = None
    """Series read through the cache; ``None``: as many as are written."""
    hit_ratio: float = 0.98
    retention_days: float = 30.0
    qos: int = 1


class Need(Struct, frozen=True):
    """One part of the plan."""

    part: str
    what: str
    """What to have."""
    load: float
    """What it has to bear, in ``unit``."""
    unit: str
    capacity: float
    """What one of them bears."""
    count: int
    basis: str
    """What the figures rest on."""

    @property
    def used(self) -> float:
        """Share of what is planned that the load takes."""
        return self.load / (self.capacity * self.count) if self.capacity and self.count else 0.0


class Plan(Struct, frozen=True):
    """The whole plan."""

    fleet: Fleet
    messages_per_s: float
    readings_per_s: float
    bytes_per_s: float
    """On the wire to the broker."""
    items: int
    """In the cache."""
    cache_bytes: float
    rows_per_day: float
    store_bytes: float
    """After the retention is full."""
    store_reads_per_s: float
    needs: tuple[Need, ...]

    @property
    def first_to_saturate(self) -> Need:
        """The part with the least to spare when the load grows."""
        return max(self.needs, key=lambda need: need.used)


def item_bytes(value_bytes: int, key_bytes: int = KEY_BYTES) -> float:
    """What one item takes of a node's memory."""
    return (key_bytes + value_bytes + ITEM_OVERHEAD_BYTES) * SLAB_WASTE


def plan(fleet: Fleet) -> Plan:
    """What the fleet needs. Counts are whole; cache nodes have one to spare, so that any one may be lost."""
    series = fleet.devices * fleet.sensors
    readings = series / fleet.interval_s
    messages = readings / fleet.readings_per_message
    ttl_s = fleet.ttl_s or 3 * fleet.interval_s
    # An entry lives until its TTL, unless the next reading replaces it: never more than one a series.
    live = series * min(1.0, ttl_s / fleet.interval_s)
    items = round(live) + 2 * fleet.devices
    cache_bytes = live * item_bytes(READING_BYTES) + fleet.devices * item_bytes(META_BYTES)
    reads = readings if fleet.reads_per_s is None else fleet.reads_per_s
    rows_per_day = readings * 86_400
    large = messages > BROKER_MESSAGES_PER_S or fleet.devices > BROKER_CONNECTIONS
    small = (
        readings <= SQLITE_ROWS_PER_S
        and rows_per_day * fleet.retention_days * ROW_BYTES_SQLITE <= SQLITE_BYTES
    )
    row_bytes = ROW_BYTES_SQLITE if small else ROW_BYTES_POSTGRES
    needs = (
        _broker(fleet, messages, large=large),
        _workers(fleet, messages, readings),
        _nodes(cache_bytes, readings + reads),
        _store(readings + reads * (1 - fleet.hit_ratio), small=small),
    )
    return Plan(
        fleet=fleet,
        messages_per_s=messages,
        readings_per_s=readings,
        bytes_per_s=messages * (fleet.payload_bytes * fleet.readings_per_message + PUBLISH_OVERHEAD_BYTES),
        items=items,
        cache_bytes=cache_bytes,
        rows_per_day=rows_per_day,
        store_bytes=rows_per_day * fleet.retention_days * row_bytes,
        store_reads_per_s=reads * (1 - fleet.hit_ratio),
        needs=needs,
    )


def _broker(fleet: Fleet, messages: float, *, large: bool) -> Need:
    rate = CLUSTER_BROKER_MESSAGES_PER_S if large else BROKER_MESSAGES_PER_S
    connections = CLUSTER_BROKER_CONNECTIONS if large else BROKER_CONNECTIONS
    by_rate, by_connections = messages / rate, fleet.devices / connections
    what = "nodes of an EMQX or VerneMQ cluster" if large else "mosquitto"
    if by_rate >= by_connections:
        load, unit, capacity = messages, "messages/s", float(rate)
    else:
        load, unit, capacity = float(fleet.devices), "connections", float(connections)
    # A cluster has one node to spare; a single mosquitto is what it is.
    count = max(1, ceil(load / capacity)) + (1 if large else 0)
    return Need("broker", what, load, unit, capacity, count, f"QoS {fleet.qos}, one connection a device")


def _workers(fleet: Fleet, messages: float, readings: float) -> Need:
    packed = fleet.readings_per_message >= PACKED_FROM
    load, capacity = (readings, WORKER_PACKED_READINGS_PER_S) if packed else (messages, WORKER_MESSAGES_PER_S)
    unit = "readings/s" if packed else "messages/s"
    count = max(1, ceil(load / (capacity * MEMORY_FILL)))
    basis = "bench ingest, a core a worker, to four fifths" + ("; a shared subscription" if count > 1 else "")
    what = "ingest worker" if count == 1 else "workers (ingest.group)"
    return Need("ingest", what, load, unit, float(capacity), count, basis)


def _nodes(cache_bytes: float, operations: float) -> Need:
    room = NODE_MEMORY_BYTES * MEMORY_FILL
    by_memory, by_rate = cache_bytes / room, operations / NODE_OPERATIONS_PER_S
    if by_memory >= by_rate:
        load, unit, capacity = cache_bytes, "bytes", room
    else:
        load, unit, capacity = operations, "operations/s", float(NODE_OPERATIONS_PER_S)
    count = max(2, ceil(load / capacity) + 1)
    basis = f"{NODE_MEMORY_BYTES // 1024**3} GiB a node, four fifths full, one node to spare"
    return Need("cache", "memcached nodes", load, unit, capacity, count, basis)


def _store(rows: float, *, small: bool) -> Need:
    if small:
        return Need(
            "store", "SQLite file", rows, "rows/s", float(SQLITE_ROWS_PER_S), 1, "one worker, one disk"
        )
    count = max(1, ceil(rows / POSTGRES_ROWS_PER_S))
    what = "PostgreSQL server" if count == 1 else "PostgreSQL servers, devices divided among them"
    basis = "batches as arrays; partitions or a TimescaleDB hypertable by day"
    return Need("store", what, rows, "rows/s", float(POSTGRES_ROWS_PER_S), count, basis)
