"""Why reads missed and what it cost, and how old what was served is against how long it may live."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import isfinite

from msgspec import Struct

from iotcache.model import MissReason
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.reasons import REASONS
from iotcache_tui.state.updates import Second

SAMPLE_MOST = 20_000


class MissShare(Struct, frozen=True):
    """One reason's part over the time looked at."""

    reason: MissReason
    count: int
    share: float
    """Of all misses, 0 to 1."""
    store_ms: float | None
    """Mean time in the store of those still in the log; ``None`` when none is."""

    @property
    def cost_s(self) -> float | None:
        """Store time that they took in all, in seconds."""
        return None if self.store_ms is None else self.store_ms * self.count / 1e3


def misses(state: DashboardState, seconds: int) -> list[MissShare]:
    """By reason, the most frequent first."""
    counts: Counter[MissReason] = Counter()
    for second in state.recent(seconds):
        counts.update(second.misses)
    times: defaultdict[MissReason, list[float]] = defaultdict(list)
    for fallback in state.fallbacks:
        times[fallback.reason].append(fallback.store_ms)
    total = sum(counts.values())
    return [
        MissShare(
            reason, count, count / total, sum(times[reason]) / len(times[reason]) if times[reason] else None
        )
        for reason, count in counts.most_common()
        if count
    ]


def stacked(seconds: Sequence[Second], width: int, height: int) -> tuple[list[str], float]:
    """``height`` lines of ``width`` letters, the top first, a column a stretch of time, and the top of the
    scale in misses a second. A reason that is there at all has at least one letter."""
    if not seconds or width < 1 or height < 1:
        return [], 0.0
    each = max(-(-len(seconds) // width), 1)
    columns: list[list[tuple[MissReason, float]]] = []
    for first in range(len(seconds) % each if len(seconds) > each else 0, len(seconds), each):
        part = seconds[first : first + each]
        counts: Counter[MissReason] = Counter()
        for second in part:
            counts.update(second.misses)
        columns.append([(reason, counts[reason] / len(part)) for reason in MissReason if counts[reason]])
    top = max((sum(rate for _, rate in column) for column in columns), default=0.0)
    if not top:
        return [" " * width for _ in range(height)], 0.0
    drawn = []
    for column in columns[-width:]:
        symbols = ""
        for reason, rate in column:
            symbols += REASONS[reason].symbol * max(1, round(rate / top * height))
        drawn.append(symbols[:height].ljust(height))
    blank = " " * height
    drawn = [blank] * (width - len(drawn)) + drawn
    return ["".join(column[level] for column in drawn) for level in range(height - 1, -1, -1)], top


class ClassFreshness(Struct, frozen=True):
    """One class of devices: what it is given, against what it may be given. Ages at the time of the read."""

    kind: str
    series: int
    interval_s: float
    """The middle one of its sensors; 0 while none is known, as ``ttl_s``."""
    ttl_s: float
    age_p50_s: float
    age_p95_s: float
    spent_p95: float | None
    """The age as a part of the series' own TTL, in 95 of 100 series at most; ``None`` before any is cached.

    Taken series by series: a class has sensors of a second and of a minute."""
    hit_percent: float | None
    misses: int


def freshness_by_class(state: DashboardState) -> list[ClassFreshness]:
    """By class; of a large fleet some of its rows stand for all."""
    fleet = state.fleet
    step = max(len(fleet) // SAMPLE_MOST, 1)
    fleet.settle(range(0, len(fleet), step))
    offset = fleet.wall_less_monotonic_s
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row in range(0, len(fleet), step):
        if isfinite(fleet.read_at[row]) and fleet.value[row] is not None:
            rows[fleet.kind[row]].append(row)
    found = []
    for kind, members in rows.items():
        aged = {row: max(fleet.read_at[row] + offset - fleet.measured_at[row], 0.0) for row in members}
        ages = sorted(aged.values())
        spent = sorted(age / span for row, age in aged.items() if isfinite(span := fleet.ttl_span_s[row]))
        ttls = sorted(span for row in members if isfinite(span := fleet.ttl_span_s[row]))
        intervals = sorted(known for row in members if (known := fleet.interval_s[row]) > 0)
        reads = sum(fleet.reads[row] for row in members)
        hits = sum(fleet.hits[row] for row in members)
        found.append(
            ClassFreshness(
                kind=kind,
                series=fleet.kinds.get(kind, len(members)),
                interval_s=_middle(intervals),
                ttl_s=_middle(ttls),
                age_p50_s=_middle(ages),
                age_p95_s=_p95(ages) or 0.0,
                spent_p95=_p95(spent),
                hit_percent=100.0 * hits / reads if reads else None,
                misses=(reads - hits) * step,
            )
        )
    return sorted(found, key=lambda one: -one.misses)


def _middle(values: Sequence[float]) -> float:
    return values[len(values) // 2] if values else 0.0


def _p95(ordered: Sequence[float]) -> float | None:
    return ordered[int(len(ordered) * 0.95)] if ordered else None
