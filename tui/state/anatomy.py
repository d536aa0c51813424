"""Why reads missed and what it cost, and how old what was served is against how long it may live."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import isfinite

from msgspec import Struct

from iotcache.model import MissReason
from tui.state.dashboard import DashboardState
from tui.state.updates import Second

LETTERS = {
    "expired": "x", "evicted": "v", "invalidated": "i", "never_set": "n", "node_down": "d", "timeout": "t",
    "restarted": "r", "corrupt": "c",
}  # fmt: skip
"""What stands for a reason in the plot: it can be told without colour."""
SAMPLE_MOST = 20_000


class Miss(Struct, frozen=True):
    """One reason's part over the time looked at."""

    reason: str
    count: int
    share: float
    """Of all misses, 0 to 1."""
    store_ms: float | None
    """Mean time in the store of those still in the log; ``None`` when none is."""

    @property
    def cost_s(self) -> float | None:
        """Store time that they took in all, in seconds."""
        return None if self.store_ms is None else self.store_ms * self.count / 1e3


def misses(state: DashboardState, seconds: int) -> list[Miss]:
    """By reason, the most frequent first."""
    counts: Counter[str] = Counter()
    for second in state.recent(seconds):
        counts.update(second.misses)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for fallback in state.fallbacks:
        times[fallback.reason.value].append(fallback.store_ms)
    total = sum(counts.values())
    return [
        Miss(reason, count, count / total, sum(times[reason]) / len(times[reason]) if times[reason] else None)
        for reason, count in counts.most_common()
        if count
    ]


def stacked(seconds: Sequence[Second], width: int, height: int) -> tuple[list[str], float]:
    """``height`` lines of ``width`` letters, the top first, a column a stretch of time, and the top of the
    scale in misses a second. A reason that is there at all has at least one letter."""
    if not seconds or width < 1 or height < 1:
        return [], 0.0
    each = max(-(-len(seconds) // width), 1)
    columns: list[list[tuple[str, float]]] = []
    for first in range(len(seconds) % each if len(seconds) > each else 0, len(seconds), each):
        part = seconds[first : first + each]
        counts: Counter[str] = Counter()
        for second in part:
            counts.update(second.misses)
        columns.append(
            [
                (reason.value, counts[reason.value] / len(part))
                for reason in MissReason
                if counts[reason.value]
            ]
        )
    top = max((sum(rate for _, rate in column) for column in columns), default=0.0)
    if not top:
        return [" " * width for _ in range(height)], 0.0
    drawn = []
    for column in columns[-width:]:
        letters = ""
        for reason, rate in column:
            letters += LETTERS[reason] * max(1, round(rate / top * height))
        drawn.append(letters[:height].ljust(height))
    blank = " " * height
    drawn = [blank] * (width - len(drawn)) + drawn
    return ["".join(column[level] for column in drawn) for level in range(height - 1, -1, -1)], top


class Lens(Struct, frozen=True):
    """One class of devices: what it is given, against what it may be given. Ages at the time of the read."""

    kind: str
    series: int
    interval_s: float
    ttl_s: float
    age_p50_s: float
    age_p95_s: float
    hit_percent: float | None
    misses: int


def lenses(state: DashboardState) -> list[Lens]:
    """By class; of a large fleet some of its rows stand for all."""
    fleet = state.fleet
    step = max(len(fleet) // SAMPLE_MOST, 1)
    offset = state.wall_less_monotonic_s
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row in range(0, len(fleet), step):
        if isfinite(fleet.read_at[row]) and fleet.value[row] is not None:
            rows[fleet.kind[row]].append(row)
    found = []
    for kind, members in rows.items():
        ages = sorted(max(fleet.read_at[row] + offset - fleet.measured_at[row], 0.0) for row in members)
        ttls = sorted(span for row in members if isfinite(span := fleet.ttl_span_s[row]))
        intervals = sorted(fleet.interval_s[row] for row in members)
        reads = sum(fleet.reads[row] for row in members)
        hits = sum(fleet.hits[row] for row in members)
        found.append(
            Lens(
                kind, fleet.kinds.get(kind, len(members)), _middle(intervals), _middle(ttls), _middle(ages),
                ages[int(len(ages) * 0.95)], 100.0 * hits / reads if reads else None, (reads - hits) * step,
            )
        )  # fmt: skip
    return sorted(found, key=lambda lens: -lens.misses)


def _middle(values: Sequence[float]) -> float:
    return values[len(values) // 2] if values else 0.0
