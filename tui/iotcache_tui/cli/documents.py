"""What commands print with ``--json``, as types: `iotcache_tui.cli.schemas` makes JSON Schemas of them.

What other types describe already (a fleet's report, a plan, an alert) is not described again. Fields are only
ever added, so that a reader passes over what it does not know.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from iotcache.advisor.advice import Advice
from iotcache.advisor.compression import Compression
from iotcache.advisor.curves import MemoryCurve
from iotcache.advisor.evidence import GroupEvidence, SlabEvidence
from iotcache.capacity import Fleet, Need
from iotcache.cluster import ResizeResult
from iotcache.model import Value
from iotcache_simulator.chaos.run import ChaosReport

Reason = str | None
"""Why the cache had nothing: docs/operations.md lists the words. Null for a hit."""


class ReadDocument(Struct, frozen=True):
    """``get --json``: one read through the cache."""

    device: str
    sensor: str
    value: Value | None
    """Null where it is no finite number."""
    unit: str
    ts: str
    """When it was measured, RFC 3339."""
    source: Literal["cache", "store", "none"]
    node: str | None
    """The cache node that was asked."""
    ttl_s: float | None
    """What is left of the entry's life; null for ever, and where there is no entry."""
    miss_reason: Reason
    latency_ms: float
    stale: bool | UnsetType = UNSET
    """There, and true, once the edge node or the device said that it is gone."""


class PlacementDocument(Struct, frozen=True):
    """``where --json``: the node that owns a key."""

    key: str
    node: str
    placement: str
    """``ketama`` or ``rendezvous``."""
    stand_ins: list[str]
    """Who answers for it while its node is out, in this order."""
    epoch: int | None
    """Of the ring that the nodes have announced, 0 where it never changed; null where no node answers, and
    the list of the settings counts."""


class NodeLine(Struct, frozen=True):
    """One node of ``nodes list --json``."""

    name: str
    weight: int
    share: float
    """Of all keys, 0 to 1."""
    state: str
    reason: str
    """Why it is not up."""
    version: str
    items: int
    used_bytes: int
    limit_bytes: int
    gets_per_s: float
    sets_per_s: float
    hit_ratio: float | None
    """Null without gets."""


class FollowerLine(Struct, frozen=True):
    """One client that follows the ring."""

    host: str
    pid: int
    role: str
    epoch: int
    phase: str
    age_s: float
    """Since it was last heard of."""
    handed_over: int
    """Entries that it has copied from old to new owners, in this change or the last one."""
    reads_saved: int
    """Its misses at new owners that old ones answered: as many store reads less."""
    copy_reads: int
    """Its gets that copies of hot keys answered, since its start."""
    copy_writes: int
    """Its sets and deletes that went to copies."""


class NodesDocument(Struct, frozen=True):
    """``nodes list --json``: the nodes in use, and where their list comes from."""

    placement: str
    source: str
    """The URL in ``cache.nodes``; empty where it is the list itself."""
    epoch: int
    """How often the ring was changed."""
    phase: str
    """``steady``, or how far a change is."""
    driver: str
    """Who makes the change."""
    target: list[str]
    """The ring to be; empty when steady."""
    followers: list[FollowerLine]
    """None before the ring's first change, where hot keys have no copies."""
    hot_keys: list[str]
    """Keys whose reads are spread (``cache.hot_replicas``) …"""
    hot_nodes: int
    """… each over so many nodes."""
    nodes: list[NodeLine]


class NodeForecastDocument(Struct, frozen=True):
    """One node before and after."""

    name: str
    share: float
    share_after: float
    used_bytes: int
    used_bytes_after: int
    limit_bytes: int
    fits: bool
    """Whether its memory is enough for what it is to hold, where that is known."""


class NodesForecastDocument(Struct, frozen=True):
    """``nodes whatif --json``, and of the acts: what a change of the list comes to (docs/scaling.md)."""

    nodes: list[NodeForecastDocument]
    share_moved: float
    """Of all keys, 0 to 1; exact."""
    items: int
    items_moved: int
    bytes_moved: int
    walk_items: int
    """Entries to look through."""
    takes_s: float
    """How long the change takes."""
    rewritten_s: float | None
    """Until every entry is written anew; null without sets."""
    reads_per_s: float
    store_reads_without: int
    """At most so many more than now, in the minute after, where nothing is handed over."""
    store_reads_with: int
    result: ResizeResult | None
    """What then happened; null where nothing was changed."""


class WarmDocument(Struct, frozen=True):
    """``warm --json``: what filling the cache came to."""

    entries: int
    """Looked at."""
    filled: int
    present: int
    """Were in the cache already."""
    unknown: int
    """The store has nothing of them any more."""
    failed: int
    reason: str
    """Why some failed; empty when none did."""


class DeviceDocumentState(Struct, frozen=True):
    """A device's metadata or configuration, as it was read."""

    version: int
    ts: str
    """When it was made, RFC 3339."""
    source: str
    node: str | None
    ttl_s: float | None
    miss_reason: Reason
    content: dict[str, Any]


class DeviceDocument(Struct, frozen=True):
    """``device show --json``."""

    device: str
    meta: DeviceDocumentState | None
    """What the device told of itself."""
    cfg: DeviceDocumentState | None
    """What was decided for it."""


class PushDocument(Struct, frozen=True):
    """``device push --json``."""

    device: str
    version: int
    """Of what was pushed."""
    stored: bool
    """Whether it is the device's configuration now."""
    standing: int
    """The version that stands."""
    cached: bool
    topic: str
    """Where it was published; empty without --publish."""


class ServiceDocument(Struct, frozen=True):
    """``device retire --json`` and ``device return --json``."""

    action: Literal["retire", "return"]
    devices: list[str]


class StoreDocument(Struct, frozen=True):
    """``store stats --json``."""

    url: str
    readings: int
    series: int
    dead_letters: int
    bytes: int
    bytes_per_reading: float | None


class DeadLetterDocument(Struct, frozen=True):
    """``deadletter list --json`` prints an array of these, ``deadletter show --json`` one a line."""

    number: int
    time: str
    """When it was last received, RFC 3339."""
    topic: str
    bytes: int
    truncated: bool
    """Whether only these bytes of it were kept."""
    times: int
    reason: str
    hex: str | UnsetType = UNSET
    """The payload; ``show`` only."""


class SettingDocument(Struct, frozen=True):
    """One key of ``config show --json``."""

    value: Any
    """Secrets are ``***``."""
    origin: str
    """``default``, a file's name, ``environment`` or ``flag …``."""


class KeyDocument(Struct, frozen=True):
    """One act of ``config keys --json``."""

    id: str | None
    """Its name in [dashboard.keys]; null for what cannot be moved."""
    keys: list[str]
    what: str
    screens: str


class ScenarioDocument(Struct, frozen=True):
    """One scenario of ``lab list --json``."""

    name: str
    title: str
    level: str
    minutes: float
    summary: str
    teaches: list[str]
    steps: int
    file: str


class ExplainedReading(Struct, frozen=True):
    """A reading that was made of a message."""

    device: str
    sensor: str
    value: Value
    unit: str
    site: str
    ts: str


class ExplainedTrial(Struct, frozen=True):
    mapping: str
    reason: str


class ExplanationDocument(Struct, frozen=True):
    """One line of ``explain --json``."""

    topic: str
    bytes: int
    messages: int
    """How many there were of the kind."""
    topics: int
    outcome: str
    by: str
    """The mapping, preset or format that took it."""
    reason: str
    not_by: list[ExplainedTrial]
    """Mappings that did not take it, and why."""
    readings: list[ExplainedReading]
    preset: str
    """One that would read it; empty for none."""
    proposal: str
    """A mapping that would read it, as TOML."""
    proposed: list[ExplainedReading]


class PlanDocument(Struct, frozen=True):
    """``plan --json``."""

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
    needs: list[Need]
    first_to_saturate: str
    """The part with the least to spare when the load grows."""


class CountedKey(Struct, frozen=True):
    """A frequent key."""

    key: str
    """Printable text."""
    count: float
    error: float
    """It may be so much too high."""


class AdviceNode(Struct, frozen=True):
    """One node of ``advise --json``; rates over the time that was looked at."""

    name: str
    memory_bytes: int
    used_bytes: int
    gets_per_s: float
    misses_per_s: float
    marks_per_s: float
    sets_per_s: float
    evictions_per_s: float
    evicted_unfetched_per_s: float
    connections: int
    connections_max: int
    share: float
    weight: int
    lru_segmented: bool
    temp_ttl_s: int
    slabs: list[SlabEvidence]
    curve: MemoryCurve | None
    top_gets: list[CountedKey]
    compression: Compression | None
    gets_counted: float
    hit_ratio: float | None


class AdviceKeys(Struct, frozen=True):
    gets: list[CountedKey]
    misses: list[CountedKey]
    sets: list[CountedKey]
    bytes: list[CountedKey]
    prefixes: list[CountedKey]


class AdviceChecked(Struct, frozen=True):
    """A prediction and what came of it; ``measured`` is null while it is waited for."""

    at_s: float
    subject: str
    about: str
    change: str
    before: float
    predicted: float
    measured: float | None
    after_s: float
    note: str
    text: str
    error: float | None


class AdviceDocument(Struct, frozen=True):
    """``advise --json`` (docs/advisor.md)."""

    schema: str
    seconds: float
    skipped: float
    notes: list[str]
    advice: list[Advice]
    """The most useful first."""
    checked: list[AdviceChecked]
    """Changes that were noticed meanwhile, the newest first."""
    nodes: list[AdviceNode]
    ring: MemoryCurve | None
    """All nodes as one, resized alike."""
    groups: list[GroupEvidence]
    top: AdviceKeys


class ChaosDocument(Struct, frozen=True):
    """``verify chaos --json`` and its ``--report``."""

    schema: str
    ok: bool
    runs: list[ChaosReport]


class BenchMachine(Struct, frozen=True):
    cpus: int | None
    python: str
    platform: str


class BenchFigures(Struct, frozen=True):
    """One contestant at one task; more is better."""

    task: str
    who: str
    unit: str
    median: float
    runs: list[float]
    note: str


class BenchPromise(Struct, frozen=True):
    task: str
    ours: str
    peer: str
    wanted: float
    """Our median over the peer's, at least."""
    ratio: float | None
    met: bool | None


class BenchDocument(Struct, frozen=True):
    """``bench --json`` prints one of these a benchmark."""

    benchmark: str
    machine: BenchMachine
    rows: list[BenchFigures]
    targets: list[BenchPromise]
    missing: list[str]
    """Peers that are not installed."""


class StackDocument(Struct, frozen=True):
    """The line that ``stack`` prints once it stands: addresses, and process ids."""

    broker: str
    nodes: list[str]
    store: str
    http: str | None
    """The gateway's URL; null without one."""
    pids: dict[str, int | list[int] | None]
