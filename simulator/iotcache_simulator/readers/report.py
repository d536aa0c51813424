"""The report of a read workload (docs/report.md)."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
from msgspec import Struct

from iotcache.text import plural
from iotcache_simulator.readers.workload import Readers, ReadSpec
from iotcache_simulator.report.figures import Duration, Percentiles, Rate

SCHEMA = "iotcache.readers/1"
RATE_TOLERANCE = 0.9
FIGURES = {
    **dict.fromkeys(("planned", "reads", "hits", "fallbacks", "unknown", "errors", "late"), "count"),
    "hit_ratio": "share",
    "rate": "rate",
    **{f"{group}_{name}": "ms" for group in ("latency", "service") for name in ("p50", "p95", "p99", "max")},
}
"""What ``--require`` may name."""


class ReadReport(Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    program: str
    ok: bool
    failures: tuple[str, ...]
    ended_by: str
    started: str
    series: int
    popularity: str
    seed: int
    batch: int
    duration_s: Duration
    rate: Rate
    planned: int
    reads: int
    hits: int
    fallbacks: int
    unknown: int
    errors: int
    late: int
    hit_ratio: float | None
    """Hits of all reads, 0 to 1; ``None`` without reads."""
    miss_reasons: dict[str, int]
    latency_ms: Percentiles
    """From a read's deadline to its answer."""
    service_ms: Percentiles
    """From the request to its answer."""

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def figures(self) -> dict[str, float | None]:
        """The values of `FIGURES`."""
        results: dict[str, float | None] = {
            name: getattr(self, name) for name in FIGURES if hasattr(self, name)
        }
        results["rate"] = self.rate.achieved
        for group, percentiles in (("latency", self.latency_ms), ("service", self.service_ms)):
            for name in ("p50", "p95", "p99", "max"):
                results[f"{group}_{name}"] = getattr(percentiles, name)
        return results

    def promises(self) -> dict[str, str]:
        """What every workload promises, and how it was broken."""
        unanswered = self.planned - self.reads
        broken = {
            "every read was answered": f"not answered: {unanswered} of {plural(self.planned, 'read')}"
            if unanswered
            else "",
            "the store did not fail": f"the store failed for {plural(self.errors, 'read')}"
            if self.errors
            else "",
        }
        target, achieved = self.rate.target, self.rate.achieved
        if target and self.duration_s.actual >= 1.0:
            broken["the rate was kept"] = (
                f"the rate was {achieved:.1f} reads/s instead of {target:.1f}"
                if achieved < RATE_TOLERANCE * target
                else ""
            )
        return broken


def report_of(readers: Readers, spec: ReadSpec, series: int, *, started: str, ended_by: str) -> ReadReport:
    """The report, without a verdict as yet."""
    totals = readers.totals
    elapsed_s = (
        max(readers.elapsed_s, spec.duration_s or 0.0) if ended_by == "duration" else readers.elapsed_s
    )
    return ReadReport(
        program=f"iotcache-tui {version('iotcache-tui')}",
        ok=False,
        failures=(),
        ended_by=ended_by,
        started=started,
        series=series,
        popularity=spec.popularity,
        seed=spec.seed,
        batch=spec.batch,
        duration_s=Duration(spec.duration_s, round(elapsed_s, 3)),
        rate=Rate(spec.rate, round(totals.reads / elapsed_s, 3) if elapsed_s else 0.0),
        planned=totals.planned,
        reads=totals.reads,
        hits=totals.hits,
        fallbacks=totals.fallbacks,
        unknown=totals.unknown,
        errors=totals.errors,
        late=totals.late,
        hit_ratio=round(totals.hits / totals.reads, 6) if totals.reads else None,
        miss_reasons=dict(sorted(totals.reasons.items())),
        latency_ms=Percentiles.of(readers.latency_ms),
        service_ms=Percentiles.of(readers.service_ms),
    )
