"""What ``snapshot --json`` prints, as types; `iotcache_tui.state.snapshot` makes it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from iotcache.model import Value


class SnapshotPart(Struct, frozen=True):
    """A part of the pipeline: broker, store, a worker, the fleet."""

    name: str
    state: str
    text: str


class SnapshotNode(Struct, frozen=True):
    name: str
    state: str
    reason: str
    """Why it is not up; empty when it is."""
    version: str


class SnapshotFigures(Struct, frozen=True):
    """What the tiles say, over the last ``window_s`` seconds."""

    window_s: float
    reads_per_s: float
    hit_percent: float | None
    fallbacks_per_s: float
    """Reads that went to the store because the cache had nothing."""
    fallbacks_total: int
    misses: dict[str, int]
    """Why the cache had nothing, and how often."""
    read_p50_ms: float | None
    read_p99_ms: float | None
    ingest_per_s: float | None
    published_per_s: float | None


class SnapshotProblem(Struct, frozen=True):
    """Something that is wrong now."""

    part: str
    kind: str
    subject: str
    gravity: str
    since: str
    lasting_s: float
    text: str
    cause: str
    effect: str
    """What users of the cache see of it."""


class SnapshotAlert(Struct, frozen=True):
    name: str
    subject: str
    severity: str
    acknowledged: bool
    since: str
    text: str


class SnapshotDevices(Struct, frozen=True):
    total: int
    live: int
    stale: int
    unread: int


class SnapshotSeries(Struct, frozen=True, rename={"kind": "class"}):
    """One sensor of one device; null for what is not known."""

    device: str
    sensor: str
    site: str
    kind: str
    value: Value | None
    unit: str
    ts: str | None
    age_s: float | None
    stale: bool
    source: Literal["cache", "store", "none"] | None
    ttl_s: float | None
    node: str | None
    reads: int
    hit_percent: float | None
    miss_reason: str | None


class SnapshotEvent(Struct, frozen=True):
    at: str
    kind: str
    severity: str
    subject: str
    text: str


class SnapshotDocument(Struct, frozen=True):
    """``snapshot --json`` (docs/operations.md)."""

    schema: int
    at: str
    parts: list[SnapshotPart]
    nodes: list[SnapshotNode]
    figures: SnapshotFigures
    problems: list[SnapshotProblem]
    """The gravest first."""
    alerts: list[SnapshotAlert]
    devices: SnapshotDevices
    series_total: int
    series: list[SnapshotSeries]
    events: list[SnapshotEvent]
