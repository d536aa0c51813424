"""The state as plain data: what a snapshot, an export or another program is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from iotcache.clock import utc_text
from iotcache.text import printable
from iotcache_tui.state.dashboard import WINDOW_S, DashboardState
from iotcache_tui.state.fleet.fleet_state import FROM_CACHE, FROM_NOWHERE, FROM_STORE, FleetState
from iotcache_tui.state.problems.shown import shown_parts

SCHEMA = 1
SOURCES = {FROM_CACHE: "cache", FROM_STORE: "store", FROM_NOWHERE: "none"}
SERIES_FIELDS = (
    "device", "sensor", "site", "class", "value", "unit", "ts", "age_s", "stale", "source", "ttl_s", "node",
    "reads", "hit_percent", "miss_reason",
)  # fmt: skip


def _finite(value: float, digits: int = 3) -> float | None:
    return round(value, digits) if isfinite(value) else None


def series(fleet: FleetState, row: int, now_s: float, wall_s: float) -> dict[str, Any]:
    """One row, by `SERIES_FIELDS`; ``None`` for what is not known."""
    fleet.settle((row,))
    reads = fleet.reads[row]
    measured = fleet.measured_at[row]
    value = fleet.value[row]
    return {
        "device": fleet.device[row],
        "sensor": fleet.sensor[row],
        "site": fleet.site[row],
        "class": fleet.kind[row],
        "value": printable(value, 200) if isinstance(value, str) else value,
        "unit": fleet.unit[row],
        "ts": utc_text(int(measured * 1e6)) if isfinite(measured) else None,
        "age_s": _finite(wall_s - measured),
        "stale": fleet.is_stale(row),
        "source": SOURCES.get(fleet.source[row]),
        "ttl_s": _finite(fleet.ttl_left_s(row, now_s)),
        "node": printable(fleet.node[row]) or None,
        "reads": reads,
        "hit_percent": round(100.0 * fleet.hits[row] / reads, 2) if reads else None,
        "miss_reason": fleet.reason[row] or None,
    }


def figures(state: DashboardState) -> dict[str, Any]:
    """What the tiles say: over the last `WINDOW_S` seconds."""
    window = state.recent()
    seconds = len(window)
    misses: Counter[str] = Counter()
    for second in window:
        misses.update(second.misses)
    hit = state.hit_percent()
    p50s = sorted(second.p50_ms for second in window if second.reads)
    return {
        "window_s": min(seconds, WINDOW_S),
        "reads_per_s": round(sum(second.reads for second in window) / seconds, 1) if seconds else 0.0,
        "hit_percent": round(hit, 3) if hit is not None else None,
        "fallbacks_per_s": round(sum(second.fallbacks for second in window) / seconds, 1) if seconds else 0.0,
        "fallbacks_total": state.fallbacks_total,
        "misses": dict(misses),
        "read_p50_ms": round(p50s[len(p50s) // 2], 3) if p50s else None,
        "read_p99_ms": round(max((s.p99_ms for s in window if s.reads), default=0.0), 3) if p50s else None,
        "ingest_per_s": window[-1].ingest_per_s if window else None,
        "published_per_s": window[-1].published_per_s if window else None,
    }


def picture(
    state: DashboardState, now_s: float, wall_s: float, rows: Iterable[int] | None = None
) -> dict[str, Any]:
    """Everything on one page; ``rows`` chooses the series, all of them without."""
    fleet = state.fleet
    parts = shown_parts(state.parts, state.problems)
    selected: Sequence[int] = list(range(len(fleet)) if rows is None else rows)
    return {
        "schema": SCHEMA,
        "at": utc_text(int(wall_s * 1e6)),
        "parts": [{"name": one.name, "state": one.state, "text": one.text} for one in parts],
        "nodes": [
            {
                "name": printable(node.name),
                "state": node.state.value,
                "reason": printable(node.reason),
                "version": printable(node.version),
            }
            for node in state.nodes
        ],
        "figures": figures(state),
        "problems": [
            {
                "part": one.part,
                "kind": one.kind or one.label,
                "subject": one.subject,
                "gravity": one.gravity.name.lower(),
                "since": utc_text(int((wall_s - max(now_s - one.since_s, 0.0)) * 1e6)),
                "lasting_s": round(max(now_s - one.since_s, 0.0), 1),
                "text": one.sentence,
                "cause": one.cause,
                "effect": one.effect,
            }
            for one in state.problems
        ],
        "alerts": [
            {
                "name": one.name,
                "subject": one.subject,
                "severity": one.severity.value,
                "acknowledged": one.acknowledged,
                "since": utc_text(int(one.since_s * 1e6)),
                "text": one.text,
            }
            for one in state.alerts
        ],
        "devices": {
            "total": fleet.devices.total,
            "live": fleet.devices.live,
            "stale": fleet.devices.stale,
            "unread": fleet.devices.unread,
        },
        "series_total": len(fleet),
        "series": [series(fleet, row, now_s, wall_s) for row in selected],
        "events": [
            {
                "at": utc_text(int(entry.wall_s * 1e6)),
                "kind": entry.kind,
                "severity": entry.severity.value,
                "subject": entry.subject,
                "text": entry.text,
            }
            for entry in state.log.everything()[-100:]
        ],
    }
