"""A node's ``stats`` as typed figures. Unknown fields are passed over, missing ones are 0.

Source: memcached's doc/protocol.txt, "General-purpose statistics" and "Slab/item statistics".
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from msgspec import Struct

from iotcache.histogram import DurationHistogram


class NodeStats(Struct, frozen=True, kw_only=True):
    """General statistics of one node; counters count since its start."""

    pid: int = 0
    uptime_s: int = 0
    time_s: int = 0
    """The node's own wall clock, seconds since the Unix epoch."""
    started_s: int = 0
    """When the process started by its own clock: ``time - uptime``."""
    version: str = ""
    threads: int = 0
    curr_connections: int = 0
    max_connections: int = 0
    rejected_connections: int = 0
    listen_disabled_num: int = 0
    cmd_get: int = 0
    cmd_set: int = 0
    cmd_flush: int = 0
    cmd_touch: int = 0
    cmd_meta: int = 0
    get_hits: int = 0
    get_misses: int = 0
    get_expired: int = 0
    get_flushed: int = 0
    delete_hits: int = 0
    delete_misses: int = 0
    touch_hits: int = 0
    touch_misses: int = 0
    cas_hits: int = 0
    cas_misses: int = 0
    cas_badval: int = 0
    store_too_large: int = 0
    store_no_memory: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    limit_maxbytes: int = 0
    bytes: int = 0
    """Held by items, their overhead included."""
    curr_items: int = 0
    total_items: int = 0
    evictions: int = 0
    evicted_unfetched: int = 0
    evicted_active: int = 0
    expired_unfetched: int = 0
    reclaimed: int = 0
    conn_yields: int = 0
    log_watcher_skipped: int = 0
    log_worker_dropped: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Hits among all gets since the start; ``None`` before the first one."""
        asked = self.get_hits + self.get_misses
        return self.get_hits / asked if asked else None

    @property
    def fill(self) -> float:
        """Share of the byte limit in use, 0 to 1."""
        return self.bytes / self.limit_maxbytes if self.limit_maxbytes else 0.0


class NodeTelemetry(Struct, frozen=True, kw_only=True):
    """What this client itself has seen of a node since it started."""

    latency: DurationHistogram
    """Of the batches it answered, in ms; a copy."""
    in_flight: int
    """Batches sent and not answered yet."""
    errors: dict[str, int]
    """Failed batches by kind: ``AnswerTimeout``, ``ConnectionLost``, ``ProtocolViolation``."""
    missing: tuple[str, ...]
    """Features that its version lacks and that are switched off."""


class SlabClass(Struct, frozen=True, kw_only=True):
    """One slab class, from ``stats slabs`` and ``stats items`` together."""

    number: int
    chunk_size: int = 0
    chunks_per_page: int = 0
    total_pages: int = 0
    total_chunks: int = 0
    used_chunks: int = 0
    free_chunks: int = 0
    mem_requested: int = 0
    items: int = 0
    age_s: int = 0
    """Age of the oldest item in the LRU."""
    evicted: int = 0
    evicted_nonzero: int = 0
    evicted_time_s: int = 0
    """How long ago the item evicted last had been used last: short means too little memory."""
    evicted_unfetched: int = 0
    evicted_active: int = 0
    expired_unfetched: int = 0
    outofmemory: int = 0
    hits_to_hot: int = 0
    hits_to_warm: int = 0
    hits_to_cold: int = 0
    hits_to_temp: int = 0
    number_hot: int = 0
    number_warm: int = 0
    number_cold: int = 0
    number_temp: int = 0
    """Items in each segment of the LRU; all 0 where the node does not say."""
    age_hot_s: int = 0
    age_warm_s: int = 0
    """Age of the oldest item in these two segments; `age_s` is that of cold, the last one."""


class NodeLimits(Struct, frozen=True, kw_only=True):
    """What a node was started with, from ``stats settings``."""

    maxbytes: int = 0
    maxconns: int = 0
    item_size_max: int = 0
    num_threads: int = 0
    evictions: bool = True
    cas_enabled: bool = True
    lru_segmented: bool = False
    temp_ttl: int = -1
    """Items with a shorter life than this go to the temporary LRU and cannot be evicted; -1 is off."""
    hot_percent: int = 0
    warm_percent: int = 0
    """Most of a slab class's memory that the segments may take; 0 where the node does not say."""
    hot_factor: float = 0.0
    warm_factor: float = 0.0
    """Oldest age in the segment, as a multiple of that in cold."""
    verbosity: int = 0


_RENAMED = {"uptime": "uptime_s", "time": "time_s"}
_RENAMED_SLAB = {
    "number": "items",
    "age": "age_s",
    "age_hot": "age_hot_s",
    "age_warm": "age_warm_s",
    "evicted_time": "evicted_time_s",
}


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if isfinite(value) else 0.0


def node_stats(raw: Mapping[str, str]) -> NodeStats:
    """Read the answer to ``stats``."""
    fields: dict[str, int | str] = {"version": raw.get("version", "")}
    for name, text in raw.items():
        ours = _RENAMED.get(name, name)
        if ours in _STATS_FIELDS:
            fields[ours] = _int(text)
    fields["started_s"] = max(0, _int(raw.get("time", "0")) - _int(raw.get("uptime", "0")))
    return NodeStats(**fields)  # type: ignore[arg-type]


def slab_classes(slabs: Mapping[str, str], items: Mapping[str, str]) -> tuple[SlabClass, ...]:
    """Read ``stats slabs`` (``1:chunk_size``) and ``stats items`` (``items:1:age``) into one row a class."""
    rows: dict[int, dict[str, int]] = {}
    for name, text in slabs.items():
        number, mark, field = name.partition(":")
        if mark and number.isdigit() and field in _SLAB_FIELDS:
            rows.setdefault(int(number), {})[field] = _int(text)
    for name, text in items.items():
        kind, _, rest = name.partition(":")
        number, mark, field = rest.partition(":")
        field = _RENAMED_SLAB.get(field, field)
        if kind == "items" and mark and number.isdigit() and field in _SLAB_FIELDS:
            rows.setdefault(int(number), {})[field] = _int(text)
    return tuple(SlabClass(number=number, **fields) for number, fields in sorted(rows.items()))


def node_limits(raw: Mapping[str, str]) -> NodeLimits:
    """Read the answer to ``stats settings``."""
    return NodeLimits(
        maxbytes=_int(raw.get("maxbytes", "0")),
        maxconns=_int(raw.get("maxconns", "0")),
        item_size_max=_int(raw.get("item_size_max", "0")),
        num_threads=_int(raw.get("num_threads", "0")),
        evictions=raw.get("evictions", "on") == "on",
        cas_enabled=raw.get("cas_enabled", "yes") == "yes",
        lru_segmented=raw.get("lru_segmented", "no") == "yes",
        temp_ttl=_int(raw.get("temporary_ttl", "-1")) if raw.get("temp_lru", "no") == "yes" else -1,
        hot_percent=_int(raw.get("hot_lru_pct", "0")),
        warm_percent=_int(raw.get("warm_lru_pct", "0")),
        hot_factor=_float(raw.get("hot_max_factor", "0")),
        warm_factor=_float(raw.get("warm_max_factor", "0")),
        verbosity=_int(raw.get("verbosity", "0")),
    )


_STATS_FIELDS = frozenset(NodeStats.__struct_fields__) - {"version", "started_s"}
_SLAB_FIELDS = frozenset(SlabClass.__struct_fields__) - {"number"}
