"""The report of a run, and its verdict. The JSON schema is documented in docs/report.md."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from iotcache.histogram import Histogram

SCHEMA = "iotcache.simulate/1"
RATE_TOLERANCE = 0.9
"""A run that achieves less than this part of its target rate has failed."""


class Percentiles(Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> Percentiles:
        p50, p95, p99 = (round(histogram.percentile(share), 3) for share in (50, 95, 99))
        return cls(p50, p95, p99, round(histogram.max_ms, 3))


class Rate(Struct, frozen=True):
    """Messages a second of the whole fleet; ``target`` is ``None`` for as fast as it goes."""

    target: float | None
    achieved: float


class Duration(Struct, frozen=True):
    """Seconds: ``planned`` of the fleet's own time (``None``: no end), ``actual`` of real time."""

    planned: float | None
    actual: float


class Report(Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    program: str
    ok: bool
    failures: tuple[str, ...]
    """Each broken promise in a sentence; empty when ``ok``."""
    ended_by: str
    """``duration``, ``signal`` or ``unreachable``."""
    broker: str
    started: str
    """RFC 3339."""
    seed: int
    devices: int
    series: int
    classes: dict[str, int]
    """Devices of each class."""
    qos: int
    connections: int
    processes: int
    speed: float | None
    """``None`` for as fast as it goes."""
    virtual_start: str
    boot: str
    duration_s: Duration
    rate: Rate
    planned: int
    published: int
    confirmed: int
    unconfirmed: int
    unsent: int
    refused: int
    resent: int
    late: int
    reconnects: int
    lag_ms: Percentiles | None
    """From a message's deadline to its hand-over to the connection; ``None`` without deadlines."""
    ack_ms: Percentiles | None
    """From the hand-over to the broker's acknowledgement; ``None`` for QoS 0."""
    digest: str | None
    """SHA-256 of the stream, in hex; ``None`` when the run was cut short."""

    def json(self) -> bytes:
        """Indented JSON with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def broken_promises(report: Report, unreachable: str = "") -> tuple[str, ...]:
    """Why the run is no success: a sentence for each reason. ``unreachable``: why there was no connection."""
    found = []
    if report.ended_by == "unreachable":
        return (unreachable or f"the broker at {report.broker} was never reached",)
    if report.unsent:
        found.append(f"{report.unsent} of {report.planned} planned messages were not sent")
    if report.unconfirmed - report.refused:
        found.append(f"{report.unconfirmed - report.refused} messages were not confirmed by the broker")
    if report.refused:
        found.append(f"{report.refused} messages were refused by the broker")
    length = report.duration_s
    if report.ended_by == "duration" and length.planned and report.speed and length.actual >= 1.0:
        due = report.planned / length.planned * report.speed
        if report.rate.achieved < RATE_TOLERANCE * due:
            found.append(f"the rate was {report.rate.achieved:.1f} messages/s instead of {due:.1f}")
    return tuple(found)
