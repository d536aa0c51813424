"""The fleet's columns as a keyframe holds them."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from typing import Final

from msgspec import Struct

from iotcache.model import Series, Value
from iotcache_tui.record.chunks import RecordingError
from iotcache_tui.state.fleet.devices import UNREPORTED
from iotcache_tui.state.fleet.fleet_state import TREND_POINTS, FleetState


class FleetColumns(Struct, frozen=True):
    """One entry a row in each; numbers as little-endian arrays: 8-byte floats, 8-byte counts, or bytes."""

    series: list[Series]
    device: list[str]
    sensor: list[str]
    site: list[str]
    unit: list[str]
    kind: list[str]
    value: list[Value | None]
    node: list[str]
    reason: list[str]
    interval_s: bytes
    measured_at: bytes
    read_at: bytes
    changed_at: bytes
    ttl_end_at: bytes
    ttl_span_s: bytes
    reads: bytes
    hits: bytes
    version: bytes
    source: bytes
    status: bytes
    decimals: bytes
    trend: bytes
    """A ring of `TREND_POINTS` floats for each row."""
    trend_next: bytes
    """Where each ring takes the next value."""


_DAMAGED: Final = "the recording is damaged: its columns differ in length"


def pack(fleet: FleetState) -> FleetColumns:
    """A copy that the fleet's next change does not touch."""
    fleet.settle()
    return FleetColumns(
        series=list(fleet.series),
        device=list(fleet.device),
        sensor=list(fleet.sensor),
        site=list(fleet.site),
        unit=list(fleet.unit),
        kind=list(fleet.kind),
        value=list(fleet.value),
        node=list(fleet.node),
        reason=list(fleet.reason),
        interval_s=_to_bytes(fleet.interval_s),
        measured_at=_to_bytes(fleet.measured_at),
        read_at=_to_bytes(fleet.read_at),
        changed_at=_to_bytes(fleet.changed_at),
        ttl_end_at=_to_bytes(fleet.ttl_end_at),
        ttl_span_s=_to_bytes(fleet.ttl_span_s),
        reads=_to_bytes(fleet.reads),
        hits=_to_bytes(fleet.hits),
        version=_to_bytes(fleet.version),
        source=bytes(fleet.source),
        status=bytes(fleet.status),
        decimals=bytes(fleet.decimals_seen),
        trend=_to_bytes(fleet.trend_ring),
        trend_next=bytes(fleet.trend_next),
    )


def unpack(columns: FleetColumns, fleet: FleetState) -> None:
    """Fill a fleet without rows. Raises `RecordingError` when the columns differ in length."""
    rows = len(columns.series)
    texts = (columns.device, columns.sensor, columns.site, columns.unit, columns.kind, columns.value,
             columns.node, columns.reason)  # fmt: skip
    flags = columns.source, columns.status, columns.decimals, columns.trend_next
    if any(len(column) != rows for column in (*texts, *flags)):
        raise RecordingError(_DAMAGED)
    fleet.series, fleet.device, fleet.sensor = columns.series, columns.device, columns.sensor
    fleet.site, fleet.unit, fleet.kind = columns.site, columns.unit, columns.kind
    fleet.value, fleet.node, fleet.reason = columns.value, columns.node, columns.reason
    fleet.interval_s = _floats(columns.interval_s, rows)
    fleet.measured_at = _floats(columns.measured_at, rows)
    fleet.read_at = _floats(columns.read_at, rows)
    fleet.changed_at = _floats(columns.changed_at, rows)
    fleet.ttl_end_at = _floats(columns.ttl_end_at, rows)
    fleet.ttl_span_s = _floats(columns.ttl_span_s, rows)
    fleet.reads, fleet.hits = _counts(columns.reads, rows), _counts(columns.hits, rows)
    fleet.version = _counts(columns.version, rows)
    fleet.source, fleet.status = bytearray(columns.source), bytearray(columns.status)
    fleet.decimals_seen, fleet.trend_next = bytearray(columns.decimals), bytearray(columns.trend_next)
    fleet.trend_ring = _floats(columns.trend, rows * TREND_POINTS)
    fleet.sites.update(Counter(fleet.site))
    fleet.kinds.update(Counter(fleet.kind))
    fleet.sensors.update(Counter(fleet.sensor))
    names = zip(fleet.device, fleet.sensor, fleet.site, strict=True)
    fleet.haystack.extend(" ".join(parts).casefold() for parts in names)
    fleet.row_of.update((series, row) for row, series in enumerate(fleet.series))
    for series, stands in zip(fleet.series, fleet.status, strict=True):
        fleet.devices.join(series.device)
        if stands != UNREPORTED:
            fleet.devices.turn(series.device, UNREPORTED, stands)
    fleet.measure(range(rows))
    fleet.changes += rows + 1


def _to_bytes(column: array[float] | array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _floats(body: bytes, count: int) -> array[float]:
    column = array("d")
    _fill(column, body, count)
    return column


def _counts(body: bytes, count: int) -> array[int]:
    column = array("Q")
    _fill(column, body, count)
    return column


def _fill(column: array[float] | array[int], body: bytes, count: int) -> None:
    if len(body) != count * column.itemsize:
        raise RecordingError(_DAMAGED)
    column.frombytes(body)
    if sys.byteorder == "big":
        column.byteswap()
