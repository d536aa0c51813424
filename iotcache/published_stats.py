"""What every process says about itself once a second, retained, on ``iotcache/stats/{role}/{instance}``.

JSON by msgspec. Readers ignore fields they do not know, and fields that are missing have defaults, so that
processes of different versions understand each other. A last will says "gone".
"""

from __future__ import annotations

import os
import platform
import re
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

INGEST_ROLE: Final = "ingest"
SIMULATOR_ROLE: Final = "simulator"
READERS_ROLE: Final = "readers"
STATS_FILTER: Final = "iotcache/stats/#"
_TOPIC: Final = re.compile(r"iotcache/stats/([^/]{1,128})/([^/]{1,128})")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._~@-]")
_STATS_LIMIT_BYTES: Final = 64 * 1024
NEW_US: Final = 3_000_000

S = TypeVar("S", bound="ProcessStats")


class ProcessStats(Struct, kw_only=True):
    """The envelope: who it is and how it stands. Each role adds its own fields."""

    role: str = ""
    instance: str = ""
    state: str = "running"
    """"starting", "running", "waiting" (see `waiting_for`), or "gone": ended or lost."""
    waiting_for: str = ""
    """"" or what it cannot do without just now: "broker: …", "store: …". Safe to show."""
    version: str = ""
    pid: int = 0
    host: str = ""
    started_us: int = 0
    at_us: int = 0
    """When this was published. Times are microseconds since the epoch."""

    @property
    def is_new(self) -> bool:
        """Whether it had only just started: what it waited for then may have been on its way."""
        return 0 <= self.at_us - self.started_us < NEW_US and self.started_us > 0


class KeyPlacement(Struct, frozen=True):
    """Where a process looks for a key: two that differ do not find each other's entries."""

    scheme: str = ""
    """``cache.placement``."""
    nodes: tuple[str, ...] = ()
    """``name=weight`` of each, in the order of their names; the weight is 1 where it plays no part."""
    prefix: str = ""


class NodeListReport(Struct, frozen=True):
    """How a list of nodes kept elsewhere stands beside the nodes in use. Every text is safe to show."""

    source: str = ""
    """The URL in ``cache.nodes``."""
    listed: int = 0
    """Nodes in the newest list that was believed."""
    used: int = 0
    """Nodes in use."""
    difference: str = ""
    """How the two differ; "" where they do not."""
    trouble: str = ""
    """Why the list cannot be read or is not followed just now; "" where it is."""


class GroupMembership(Struct, frozen=True):
    """How a worker stands in its group (`iotcache.worker.leaving`)."""

    leave_id: int = 0
    """Of its leaving, when it was told to end; 0 while it takes readings."""
    keeps_session: bool = False
    """It leaves, and the broker keeps what comes for it meanwhile."""
    promises: dict[str, int] = {}
    """Members that leave, by instance with their `leave_id`, for whom it keeps its session."""


class IngestStats(ProcessStats, kw_only=True):
    """What an ingest worker counts. Totals since its start; ``_per_s`` over the last second."""

    group: str = ""
    """Whose load it shares."""
    client_id: str = ""
    """The name of its session at the broker."""
    membership: GroupMembership = GroupMembership()
    session_ended: bool = False
    """It left for good: the broker keeps nothing for it any more."""
    waiting_store: str = ""
    """Why the store cannot be written just now, the part of `waiting_for` that is about it. Safe to show."""
    waiting_broker: str = ""
    """Why the broker is away."""
    received: int = 0
    """Messages taken from the broker or the gateway."""
    readings: int = 0
    """Readings decoded from them."""
    stored: int = 0
    duplicates: int = 0
    """Readings that the table had already: redelivered, or sent twice."""
    conflicts: int = 0
    """Readings of a known identity and another value; each is among the dead letters."""
    retained: int = 0
    """The broker's copies of older readings that told nothing new, and were passed over."""
    dead_letters: int = 0
    last_refusal: str = ""
    """Why the last of them became one, and its topic. Safe to show."""
    ignored: int = 0
    """Messages that are no readings: configuration, metadata, and those that mappings pass over."""
    nothing_in_it: int = 0
    """Messages of which nothing was used: no mistake, and no reading either."""
    last_nothing_in_it: str = ""
    """The topic of the last of them. Safe to show."""
    batches: int = 0
    received_per_s: float = 0.0
    stored_per_s: float = 0.0
    commit_p50_ms: float = 0.0
    commit_p99_ms: float = 0.0
    """Of the store's commits in the last ten seconds or more."""
    write_through_p50_ms: float = 0.0
    write_through_p99_ms: float = 0.0
    unacked: int = 0
    """QoS 1 messages that the broker holds until we have committed them."""
    queued: int = 0
    """Messages taken off the wire that no batch has taken yet."""
    lag_s: float = 0.0
    """Age of the oldest message that is not acknowledged."""
    commit_failures: int = 0
    """Attempts to commit that failed; each is tried again."""
    cache_writes_per_s: float = 0.0
    """Entries set in the cache over the last second."""
    cache_write_failures: int = 0
    dirty_keys: int = 0
    """Cache entries that may be old: their node could not be told, and is to be."""
    nodes_out: list[str] = []
    """Cache nodes that are out, each with the reason. Nothing waits for them. Safe to show."""
    placement: KeyPlacement | None = None
    """Where it puts entries; ``None`` from versions that do not say."""
    node_list: NodeListReport | None = None
    """Of a worker whose nodes are listed elsewhere."""
    series: int = 0
    """Series seen since the start, as far as remembered."""
    connects: int = 0
    sessions_lost: int = 0
    """How often the broker had forgotten our session, and with it what it had queued for us."""
    takeovers: int = 0
    """How often another program that uses our client id took our connection over."""
    contested: str = ""
    """What tells that there is such a program, while it has done so lately. Safe to show."""
    faults: int = 0
    """Exceptions that nobody foresaw, each contained in its stage: the message is a dead letter, the worker
    goes on. The log tells each."""
    rebirths_asked: int = 0
    """How often Sparkplug edge nodes were asked for their births."""
    births_awaited: int = 0
    """Messages that wait for such a birth."""
    metrics_passed_over: dict[str, int] = {}
    """Sparkplug metrics that are no measurements, by their kind: DataSets, bytes."""
    documents: int = 0
    """Births and configurations that stand in the store since they were said."""
    documents_outdated: int = 0
    """Those of a version that was not above the standing one."""
    devices_warmed: int = 0
    """Devices seen for the first time, or born, whose cache entries were filled."""
    devices_waiting: int = 0
    """Those that wait for it."""
    devices_skipped: int = 0
    """Those for which there was no room in the queue."""
    http_requests: int = 0
    max_rss_bytes: int = 0
    alerts_standing: int = 0
    """Alerts that stand, whoever raised them."""
    alerts_raised: int = 0
    """Alerts that this worker raised."""
    webhook_failures: int = 0
    """Changes of alerts that the webhook never took."""
    aggregates: int = 0
    """Sites' sensors that have an aggregate now."""
    aggregates_written: int = 0
    """Entries of aggregates written to the cache."""
    aggregates_recounted: int = 0
    """Windows that were in doubt and counted anew from the store."""
    aggregates_outside: int = 0
    """Readings too late for their window, or too far in the future."""


class FleetStats(ProcessStats, kw_only=True):
    """What a simulated fleet counts. Totals since its start; lags in milliseconds."""

    devices: int = 0
    series: int = 0
    target_rate: float | None = None
    """Messages a second; ``None`` for as fast as it goes."""
    rate: float = 0.0
    """Messages a second since the last announcement."""
    planned: int = 0
    published: int = 0
    confirmed: int = 0
    unconfirmed: int = 0
    late: int = 0
    skipped: int = 0
    reconnects: int = 0
    lag_p50_ms: float = 0.0
    lag_p99_ms: float = 0.0


class ReaderStats(ProcessStats, kw_only=True):
    """What readers of the cache count. Totals since their start; the rest over the last second."""

    series: int = 0
    """Series that they read among."""
    reads: int = 0
    hits: int = 0
    """Reads that the cache answered."""
    fallbacks: int = 0
    """Reads that the store answered."""
    reads_per_s: float = 0.0
    hits_per_s: float = 0.0
    fallbacks_per_s: float = 0.0
    read_p99_ms: float = 0.0


def role_filter(role: str) -> str:
    """What to subscribe to for the counters of all processes of a role."""
    return f"iotcache/stats/{role}/+"


def stats_topic(role: str, instance: str) -> str:
    """Where a process publishes its counters; characters with a meaning in topics become ``_``."""
    return f"iotcache/stats/{_UNSAFE.sub('_', role)}/{_UNSAFE.sub('_', instance) or '_'}"


def parse_topic(topic: str) -> tuple[str, str] | None:
    """Role and instance that ``topic`` names; ``None`` for other topics."""
    found = _TOPIC.fullmatch(topic)
    return (found[1], found[2]) if found else None


def encode(stats: ProcessStats) -> bytes:
    """The payload to publish, retained."""
    return msgspec.json.encode(stats)


def decode(payload: bytes, kind: type[S]) -> S | None:
    """Counters of the given kind (`ProcessStats` for the envelope only); ``None`` when they are no
    counters."""
    if len(payload) > _STATS_LIMIT_BYTES:
        return None
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


_KINDS: Final[dict[str, type[IngestStats] | type[FleetStats] | type[ReaderStats]]] = {
    INGEST_ROLE: IngestStats,
    SIMULATOR_ROLE: FleetStats,
    READERS_ROLE: ReaderStats,
}


def decode_role(role: str, payload: bytes) -> IngestStats | FleetStats | ReaderStats | None:
    """Counters of a process by the role that its topic names; ``None`` for other roles, and when the payload
    is no counters."""
    kind = _KINDS.get(role)
    return None if kind is None else decode(payload, kind)


class _Session(ProcessStats, kw_only=True, omit_defaults=True):
    group: str = ""
    client_id: str = ""


def gone(role: str, instance: str, *, group: str = "", client_id: str = "") -> bytes:
    """The last will: what the broker publishes in our name when we vanish.

    ``client_id``: the session that stays, and its ``group``.
    """
    host, pid = platform.node(), os.getpid()
    return encode(
        _Session(
            role=role, instance=instance, state="gone", pid=pid, host=host, group=group, client_id=client_id
        )
    )
