"""Aggregates and history buckets, as readers get them."""

from __future__ import annotations

from msgspec import Struct

from iotcache.model.readings import ReadWay, Value


class Figures(Struct, frozen=True):
    """Of the numbers in one stretch of time. Times are microseconds since the epoch."""

    start_us: int
    length_s: int
    count: int
    min: float
    max: float
    mean: float
    p95: float
    """Within 1 % of the value at that rank."""
    exact: bool = True
    """False while readings may be missing or counted twice: the worker began within it, or some came twice.
    Made good at its end."""


class AggregateRead(ReadWay, frozen=True):
    """One answered read of a site's aggregate of one sensor, and its way."""

    site: str
    sensor: str
    last: Figures | None
    """Of the newest window with readings, mostly the one that is not over; ``None`` without any."""
    before: Figures | None
    """Of the window before that."""


class BucketRead(ReadWay, frozen=True):
    """One answered read of a series' readings in one bucket of time, and its way."""

    device: str
    sensor: str
    start_us: int
    length_s: int
    readings: tuple[tuple[int, Value], ...]
    """``ts_us`` and value, by time; the newest ones when there are more than a bucket holds."""
    figures: Figures | None
    """Of its numbers; ``None`` without any."""
    left_out: bool
    """There were more readings than the bucket holds."""
    open: bool
    """Its time is not over yet, or was just now: more readings are to be expected."""
