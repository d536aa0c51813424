"""What the nodes say of themselves, beside what this program's readers saw of them; and acts on one node."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from iotcache_tui.state.nodes.ring import RingFigures
from iotcache_tui.state.requests import Request

HISTORY_S = 3_600
"""How far back the curves of the nodes are known."""
SPANS_S = (300, 900, 3_600)
"""What plots of the past can show."""
POINT_S = 2.0
_POINTS = int(HISTORY_S / POINT_S)
_HOLD_S = 12.0
"""A look counts for so long where no other follows: nodes that nobody watches are looked at less often."""


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
    ring_name: str = ""
    """What the ring knows it by where that is not its address."""
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
    flushed_at_s: float = 0.0
    """Monotonic time at which a look found that somebody had sent ``flush_all``; 0 for never."""
    restarted_at_s: float = 0.0
    """The same of another process in its place."""
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
    others_gets_per_s: float | None = None
    """The node's gets less this program's own: those of the applications."""
    others_hit_percent: float | None = None


class NodesFigures(Struct, frozen=True):
    """All nodes, in the order of the configuration."""

    placement: str
    nodes: tuple[NodeFigures, ...]
    ring: RingFigures | None = None
    """``None`` in recordings of versions whose ring never changed."""


READ_LEAST_PER_S = 1.0
"""Of a node's gets: clients that follow the ring ask each node for its record about once in two seconds,
which is a miss where the ring was never changed, and nothing that an application reads."""


class Applications(Struct, frozen=True):
    """What everybody but this program read from the nodes, as the nodes count it."""

    gets_per_s: float
    hit_percent: float | None
    """``None`` without gets, or with so few that they may be those of the ring's own records."""

    @property
    def hits_per_s(self) -> float:
        return self.gets_per_s * (self.hit_percent or 0.0) / 100.0


def applications(figures: NodesFigures | None) -> Applications | None:
    """Of all nodes together; ``None`` before two looks at one of them."""
    nodes = figures.nodes if figures is not None else ()
    known = [(node.others_gets_per_s, node.others_hit_percent) for node in nodes]
    counted = [(gets, hit or 0.0) for gets, hit in known if gets is not None]
    if not counted:
        return None
    gets = sum(each for each, _ in counted)
    hits = sum(each * hit / 100.0 for each, hit in counted)
    return Applications(gets, 100.0 * hits / gets if gets >= READ_LEAST_PER_S * len(counted) else None)


class NodeCurves:
    """The last hour of each node: ops a second and its own hit ratio, a point every two seconds at most."""

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[float, float | None, float | None]]] = {}

    def add(self, figures: NodesFigures) -> None:
        """Note looks that are new."""
        for node in figures.nodes:
            points = self._points.setdefault(node.name, deque(maxlen=_POINTS))
            if not points or points[-1][0] != node.at_s:
                points.append((node.at_s, node.ops_now, node.hit_now))

    def ops(self, name: str, now_s: float, width: int, span_s: float = SPANS_S[0]) -> list[float | None]:
        """``width`` values of the last ``span_s``, oldest first; ``None`` where nobody looked."""
        return self._spread(name, (now_s, span_s), width, 1)

    def hits(self, name: str, now_s: float, width: int, span_s: float = SPANS_S[0]) -> list[float | None]:
        """As `ops`, in percent."""
        return self._spread(name, (now_s, span_s), width, 2)

    def _spread(self, name: str, when: tuple[float, float], width: int, field: int) -> list[float | None]:
        now_s, span_s = when
        values: list[float | None] = [None] * max(width, 0)
        step = max(span_s / max(width, 1), POINT_S)
        # Places are counted in whole steps of the clock, so that a point stays in its column as it moves.
        newest = int(now_s / step)
        before: tuple[int, float, float] | None = None
        for point in self._points.get(name, ()):
            column, value = width - 1 - (newest - int(point[0] / step)), point[field]
            if before is not None and point[0] - before[1] <= _HOLD_S:
                for gap in range(max(before[0] + 1, 0), min(column, width)):
                    values[gap] = before[2]
            before = None if value is None else (column, point[0], value)
            if 0 <= column < width and value is not None:
                values[column] = value
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
    REASSIGN = "slabs reassign"
    """One page of memory from one slab class to another; the advisor's, not in the menu."""


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
