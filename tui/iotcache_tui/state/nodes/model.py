"""What the nodes say of themselves, beside what this program's readers saw of them; and acts on one node."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from iotcache_tui.state.requests import Request

HISTORY_S = 300
POINT_S = 2.0
_POINTS = int(HISTORY_S / POINT_S)


class SlabFigures(Struct, frozen=True):
    """One slab class that has memory: what of it is shown."""

    number: int
    chunk_bytes: int
    held_bytes: int
    """Memory of its pages (of its items, where the node has no pages)."""
    used_bytes: int
    """Chunks in use."""
    items: int
    evicted: int
    hot: int = 0
    warm: int = 0
    cold: int = 0
    temp: int = 0
    """Items in each segment; all 0 where the node does not say."""
    hot_age_s: int = 0
    warm_age_s: int = 0
    age_s: int = 0
    """Since its oldest item (of hot, of warm, of cold or of the only list) was last used."""


class NodeTuning(Struct, frozen=True):
    """How the node is set: what the acts can change, and shows in their dialogs."""

    segmented: bool = False
    temp_ttl_s: int = -1
    hot_percent: int = 0
    warm_percent: int = 0
    hot_factor: float = 0.0
    warm_factor: float = 0.0
    verbosity: int = 0
    evicts: bool = True


class NodeFigures(Struct, frozen=True, kw_only=True):
    """One node as it stood at ``at_s``. Figures of a node that does not answer stay at their defaults."""

    name: str
    at_s: float
    """Monotonic time of the look."""
    answered: bool = False
    weight: int = 1
    share: float = 0.0
    """Share of all keys that it owns, 0 to 1."""

    # Of the node's own counters; rates over the last ten seconds, None before there are two looks.
    ops_per_s: float | None = None
    gets_per_s: float | None = None
    sets_per_s: float | None = None
    evictions_per_s: float | None = None
    hit_percent: float | None = None
    """As the node counts: of the gets of all its clients."""
    ops_now: float | None = None
    hit_now: float | None = None
    """The same two since the look before, for the plots."""
    used_bytes: int = 0
    limit_bytes: int = 0
    items: int = 0
    evictions: int = 0
    connections: int = 0
    max_connections: int = 0
    uptime_s: int = 0
    threads: int = 0
    slabs: tuple[SlabFigures, ...] = ()
    tuning: NodeTuning | None = None

    # As seen from here.
    p50_ms: float | None = None
    p99_ms: float | None = None
    """Of the batches of the last ten seconds."""
    in_flight: int = 0
    errors: int = 0
    """Failed batches since the start."""
    missing: tuple[str, ...] = ()
    """Features that its version lacks."""
    reads_per_s: float | None = None
    """This program's own reads of keys that are to be found here."""
    read_hit_percent: float | None = None
    unreached_per_s: float | None = None
    """Those of them that never got an answer: node down or time-out."""


class NodesFigures(Struct, frozen=True):
    """All nodes, in the order of the configuration."""

    placement: str
    nodes: tuple[NodeFigures, ...]


class NodeCurves:
    """The last minutes of each node: ops a second and the node's own hit ratio, a point every two seconds."""

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[float, float | None, float | None]]] = {}

    def add(self, figures: NodesFigures) -> None:
        """Note looks that are new."""
        for node in figures.nodes:
            points = self._points.setdefault(node.name, deque(maxlen=_POINTS))
            if not points or points[-1][0] != node.at_s:
                points.append((node.at_s, node.ops_now, node.hit_now))

    def ops(self, name: str, now_s: float, width: int) -> list[float | None]:
        """``width`` values ending now, oldest first; ``None`` where nobody looked."""
        return self._spread(name, now_s, width, 1)

    def hits(self, name: str, now_s: float, width: int) -> list[float | None]:
        """As `ops`, in percent."""
        return self._spread(name, now_s, width, 2)

    def _spread(self, name: str, now_s: float, width: int, field: int) -> list[float | None]:
        values: list[float | None] = [None] * max(width, 0)
        step = max(HISTORY_S / max(width, 1), POINT_S)
        # Places are counted in whole steps of the clock, so that a point stays in its column as it moves.
        newest = int(now_s / step)
        for point in self._points.get(name, ()):
            column = width - 1 - (newest - int(point[0] / step))
            if 0 <= column < width and point[field] is not None:
                values[column] = point[field]
        return _bridged(values)


def _bridged(values: list[float | None]) -> list[float | None]:
    """A single gap between two points is the beat's jitter, not a silence."""
    for column in range(1, len(values) - 1):
        before, after = values[column - 1], values[column + 1]
        if values[column] is None and before is not None and after is not None:
            values[column] = (before + after) / 2
    return values


class WatchNodes(Request, frozen=True):
    """Keep `NodesFigures` coming into the state until cancelled. Answers nothing."""


class NodeAct(StrEnum):
    """What can be done to a node."""

    DRAIN = "drain"
    REJOIN = "rejoin"
    FLUSH = "flush_all"
    MEMORY = "cache_memlimit"
    LRU_TUNE = "lru tune"
    LRU_MODE = "lru mode"
    TEMP_TTL = "lru temp_ttl"
    VERBOSITY = "verbosity"


class ActOnNode(Request, frozen=True):
    """Do one thing to one node. Answers: what the node said, a short text."""

    acts: ClassVar[bool] = True
    node: str
    act: NodeAct
    values: tuple[float | str, ...] = ()
    """As the functions of `iotcache.cluster.admin` take them; none for drain and rejoin."""


def explain_gap(node: NodeFigures) -> Sequence[str]:
    """Why the node's hit ratio is not the readers': sentences, the weightiest first; none when they agree."""
    server, readers = node.hit_percent, node.read_hit_percent
    if server is None or readers is None:
        return ()
    gets, reads, lost = node.gets_per_s or 0.0, node.reads_per_s or 0.0, node.unreached_per_s or 0.0
    reasons: list[str] = []
    if lost >= 0.05:
        reasons.append(f"{lost:.1f} reads/s never reached it (down or timed out): it counts none of them")
    arrived = max(reads - lost, 0.0)
    if gets > arrived * 1.1 + 0.5:
        reasons.append(
            f"{gets - arrived:.0f} of its {gets:.0f} gets/s are other clients', with their own hits"
        )
    if abs(server - readers) < 1.0:
        return reasons
    if server > readers:
        reasons.append("it counts as hits what readers refuse: lease stubs, items from before a fence")
    elif not reasons:
        reasons.append("it counts misses that are no reads here: writers looking before they add")
    return reasons
