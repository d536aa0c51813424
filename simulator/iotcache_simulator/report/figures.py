"""Figures that several reports share."""

from __future__ import annotations

from msgspec import Struct

from iotcache.histogram import DurationHistogram
from iotcache_simulator.report.rate_bins import RateBins


class Percentiles(Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, histogram: DurationHistogram) -> Percentiles:
        p50, p95, p99 = (round(histogram.percentile(share), 3) for share in (50, 95, 99))
        return cls(p50, p95, p99, round(histogram.max_ms, 3))


class Rate(Struct, frozen=True):
    """Messages a second of the whole fleet; ``target`` is ``None`` for as fast as it goes."""

    target: float | None
    achieved: float
    by_second: RateBins = RateBins()


class Duration(Struct, frozen=True):
    """Seconds: ``planned`` of the fleet's own time (``None``: no end), ``actual`` of real time."""

    planned: float | None
    actual: float
