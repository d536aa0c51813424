"""Readings and how one is read: the value, its identity, where a read found it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

Value = float | int | bool | str
"""What a sensor may report: a finite number, a truth value, or a short text such as an enum state."""


def figure_of(value: Value) -> float | None:
    """A value to reckon with: truth values are 0 or 1, texts and what no float holds are ``None``."""
    if isinstance(value, str):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


class Series(NamedTuple):
    """One sensor of one device: what a row of the fleet table and a ``latest`` key stand for."""

    device: str
    sensor: str


class Reading(Struct, frozen=True, gc=False):
    """One measurement as a device reported it.

    Its identity is its series and its time, with ``boot`` and ``seq`` where ``seq`` is given: counters begin
    again when a device restarts or joins anew. A reading with ``seq`` that was given the time of its receipt
    (``ts_us`` is ``received_us``) has another time when it is delivered again: it is known by its value then.
    """

    device: str
    sensor: str
    value: Value
    ts_us: int
    unit: str = ""
    site: str = ""
    seq: int | None = None
    boot: str = ""
    received_us: int = 0
    """When the ingest worker took it in; 0 for not yet."""
    interval_s: float = 0.0
    """The time between two readings of this series as far as known; 0 for unknown."""
    historical: bool = False
    """Measured earlier and sent late, as its device says: it enters history, and is no news of the device."""
    retained: bool = False
    """The broker's copy of an older message: no news of the device, and nothing where newer is known."""
    stale: bool = False
    """Its edge node, or device, said since that it is gone. Of a store's newest readings only."""

    @property
    def series(self) -> Series:
        return Series(self.device, self.sensor)

    @property
    def is_news(self) -> bool:
        """Whether its device was heard of just now."""
        return not (self.historical or self.retained)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values say the same: numbers by their amount, truth values and texts among themselves."""
    if isinstance(one, bool | str) or isinstance(other, bool | str):
        return type(one) is type(other) and one == other
    return one == other


class StoredReading(Struct, frozen=True, gc=False):
    """The newest reading of a series as the durable store has it."""

    reading: Reading
    cached_until_us: int = 0
    """Until when the writer's own cache entry was to live, its low bits naming the cache
    (`iotcache.cache.promise`); 0 when it was never cached."""


class Source(StrEnum):
    """Where a read found its value."""

    CACHE = "cache"
    STORE = "store"
    NONE = "none"
    """Neither the cache nor the store knows the series, or the store could not be asked."""


class MissReason(StrEnum):
    """Why a read did not come from the cache."""

    NEVER_SET = "never_set"
    EXPIRED = "expired"
    EVICTED = "evicted"
    INVALIDATED = "invalidated"
    NODE_DOWN = "node_down"
    TIMEOUT = "timeout"
    RESTARTED = "restarted"
    CORRUPT = "corrupt"
    MOVED = "moved"
    """Its writer, with another list of nodes, has set it on another node."""
    UNKNOWN = "unknown"
    """Nothing tells, or what is known leaves more than one cause."""


class ReadWay(Struct, frozen=True, kw_only=True):
    """How a document or an aggregate was come by: what the reads of both have in common."""

    source: Source
    node: str = ""
    """``host:port`` (or socket path) of the node that was asked; empty when none could be."""
    ttl_s: float | None = None
    """Remaining life of the cache entry; ``None`` when it is not in the cache."""
    miss_reason: MissReason | None = None
    latency_ms: float = 0.0
    """From the call to the answer, store included."""
    store_ms: float = 0.0
    """The part of it spent in the store; 0 for a hit."""
    error: str = ""
    """Why even the store gave nothing, when it failed; safe to show."""


class Read(Struct, frozen=True, gc=False):
    """One answered read: the value, and everything the dashboard wants to say about its way."""

    device: str
    sensor: str
    value: Value | None
    source: Source
    unit: str = ""
    ts_us: int = 0
    node: str = ""
    """``host:port`` (or socket path) of the node that was asked; empty when none could be."""
    ttl_s: float | None = None
    """Remaining life of the cache entry as the server says; after a fallback that of the new entry;
    ``None`` when the value is not in the cache, ``inf`` when it never expires."""
    miss_reason: MissReason | None = None
    latency_ms: float = 0.0
    """From the call to the answer, store included."""
    store_ms: float = 0.0
    """The part of it spent in the store; 0 for a hit."""
    site: str = ""
    interval_s: float = 0.0
    """The time between two readings of this series as far as known; 0 for unknown."""
    error: str = ""
    """Why even the store gave nothing, when it failed; safe to show."""
    stale: bool = False
    """Its edge node, or device, said since that it is gone."""
