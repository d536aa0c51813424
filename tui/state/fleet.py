"""The fleet in columns: one entry a row in each, a row for every series, never moved or removed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import inf, isfinite, nan

from iotcache.model import Series, Source, Value
from iotcache.store.base import SeriesInfo
from iotcache.text import printable
from tui.state.updates import RowUpdate, TtlUpdate

TREND_POINTS = 24
NAME_LIMIT = 120
STALE_INTERVALS = 3.0
"""A series that missed this many of its own intervals is stale."""
DEFAULT_INTERVAL_S = 60.0
DECIMALS_MOST = 3
_KIND = re.compile(r"[-_. /#]*[0-9][0-9a-fA-F-]*$")
UNREAD, FROM_CACHE, FROM_STORE, FROM_NOWHERE = range(4)
_CACHE = Source.CACHE
_SOURCE_CODE = {Source.CACHE: FROM_CACHE, Source.STORE: FROM_STORE, Source.NONE: FROM_NOWHERE}


def _decimals(value: float) -> int:
    text = repr(value)
    return 0 if "e" in text or "n" in text else min(len(text) - text.index(".") - 1, DECIMALS_MOST)


class FleetState:
    """Columns of the fleet. Times ending in ``_at`` are monotonic seconds, ``measured_at`` is wall time."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.row_of: dict[Series, int] = {}
        self.device: list[str] = []
        self.sensor: list[str] = []
        self.site: list[str] = []
        self.unit: list[str] = []
        self.kind: list[str] = []
        """The device's name without its number: what devices of one class have in common."""
        self.sites: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.sensors: dict[str, int] = {}
        """How many rows each has."""
        self.changes = 0
        """Grows with everything that was taken in: who looks at the whole fleet may rest while it stands."""
        self.marked: set[int] = set()
        self.watched: dict[int, None] = {}
        """Rows that are read each interval whether on screen or not, in the order they were chosen."""
        self.haystack: list[str] = []
        self.interval_s = array("d")
        self.value: list[Value | None] = []
        self.decimals = bytearray()
        """The most decimals that the value came with, up to `DECIMALS_MOST`: figures keep their form."""
        self.measured_at = array("d")
        self.read_at = array("d")
        self.source = bytearray()
        self.ttl_end_at = array("d")
        """When the cache entry dies; nan while none is known to be there."""
        self.ttl_span_s = array("d")
        """The full life the bar is drawn against."""
        self.node: list[str] = []
        self.reads = array("Q")
        self.hits = array("Q")
        self.reason: list[str] = []
        self.version = array("Q")
        self.changed_at = array("d")
        """When the value last became another one; -inf before that."""
        self._trend = array("d")
        """A ring of `TREND_POINTS` for each row."""
        self._trend_count = array("Q")
        """How many values a row's ring has taken."""

    def __len__(self) -> int:
        return len(self.series)

    def join(self, info: SeriesInfo) -> int:
        """Add a row; returns its number. Names are made printable here, once."""
        row = len(self.series)
        self.changes += 1
        device, sensor = info.series
        self.series.append(info.series)
        self.row_of[info.series] = row
        self.device.append(printable(device, NAME_LIMIT))
        self.sensor.append(printable(sensor, NAME_LIMIT))
        self.site.append(printable(info.site, NAME_LIMIT))
        self.unit.append(printable(info.unit, 12))
        self._count_names(row)
        self.haystack.append(f"{self.device[row]} {self.sensor[row]} {self.site[row]}".casefold())
        self.interval_s.append(info.interval_s)
        self.value.append(None)
        self.decimals.append(0)
        self.measured_at.append(nan)
        self.read_at.append(nan)
        self.source.append(UNREAD)
        self.ttl_end_at.append(nan)
        self.ttl_span_s.append(nan)
        self.node.append("")
        self.reads.append(0)
        self.hits.append(0)
        self.reason.append("")
        self.version.append(0)
        self.changed_at.append(-inf)
        self._trend.extend([nan] * TREND_POINTS)
        self._trend_count.append(0)
        return row

    def _count_names(self, row: int) -> None:
        kind = _KIND.sub("", self.device[row]) or self.device[row]
        for names, name in (
            (self.sites, self.site[row]),
            (self.sensors, self.sensor[row]),
            (self.kinds, kind),
        ):
            names[name] = names.get(name, 0) + 1
        self.kind.append(kind)

    def apply_read(self, update: RowUpdate) -> None:
        """Take the newest read of a row in."""
        self.apply_reads((update,))

    def apply_reads(self, updates: Sequence[RowUpdate]) -> None:
        """Take the newest reads of many rows in, in their order.

        All that a large fleet costs while nobody looks at it: one flat loop over local names.
        """
        values, measured_at, changed_at, versions = (
            self.value,
            self.measured_at,
            self.changed_at,
            self.version,
        )
        units, intervals, sources, read_at = self.unit, self.interval_s, self.source, self.read_at
        nodes, reads, hits, reasons = self.node, self.reads, self.hits, self.reason
        ttl_end_at, ttl_span_s, decimals = self.ttl_end_at, self.ttl_span_s, self.decimals
        trends, trend_counts = self._trend, self._trend_count
        for update in updates:
            row, read, at_s = update.row, update.read, update.at_s
            value, known = read.value, values[row]
            versions[row] += 1
            if value is not None:
                moved = read.ts_us / 1e6
                if moved != measured_at[row]:
                    measured_at[row] = moved
                    if not isinstance(value, str):
                        count = trend_counts[row]
                        trend_counts[row] = count + 1
                        trends[row * TREND_POINTS + count % TREND_POINTS] = value
            if value != known:
                values[row] = value
                if known is not None:
                    changed_at[row] = at_s
                if isinstance(value, float):
                    places = decimals[row]
                    if places < DECIMALS_MOST and round(value, places) != value:
                        decimals[row] = max(places, _decimals(value))
            if not units[row] and read.unit:
                units[row] = printable(read.unit, 12)
            interval_s = read.interval_s
            if interval_s > 0:
                intervals[row] = interval_s
            source = read.source
            sources[row] = FROM_CACHE if source is _CACHE else _SOURCE_CODE[source]
            read_at[row] = at_s
            nodes[row] = read.node
            reads[row] = update.reads
            hits[row] = update.hits
            why = read.miss_reason
            reasons[row] = why.value if why else ""
            ttl_s = read.ttl_s
            if ttl_s is None:
                ttl_end_at[row] = nan
            else:
                # The server counts whole seconds: between two answers the earlier estimate is the finer one.
                end = at_s + ttl_s
                if not -1.0 < end - ttl_end_at[row] < 1.0:
                    ttl_end_at[row] = end
                    if ttl_s != inf:
                        ttl_span_s[row] = ttl_s if ttl_s > 1.0 else 1.0
        self.changes += len(updates)

    def apply_ttl(self, update: TtlUpdate) -> None:
        """Take a neutral probe's answer in: the entry may have gone since it was read."""
        self.changes += 1
        self._set_ttl(update.row, update.at_s, update.ttl_s)
        self.version[update.row] += 1

    def _set_ttl(self, row: int, at_s: float, ttl_s: float | None) -> None:
        if ttl_s is None:
            self.ttl_end_at[row] = nan
            return
        end = at_s + ttl_s
        known = self.ttl_end_at[row]
        # The server counts whole seconds: between two answers the earlier estimate is the finer one.
        if isfinite(known) and abs(end - known) < 1.0:
            end = known
        elif isfinite(ttl_s):
            self.ttl_span_s[row] = max(ttl_s, 1.0)
        self.ttl_end_at[row] = end

    def trend(self, row: int) -> array[float]:
        """The row's last values, oldest first, at most `TREND_POINTS`."""
        start, count = row * TREND_POINTS, self._trend_count[row]
        if count <= TREND_POINTS:
            return self._trend[start : start + count]
        oldest = start + count % TREND_POINTS
        return self._trend[oldest : start + TREND_POINTS] + self._trend[start:oldest]

    def ttl_left_s(self, row: int, now_s: float) -> float:
        """Seconds the cache entry has left: nan when none is there, inf when it never expires."""
        left = self.ttl_end_at[row] - now_s
        return left if left == inf or left != left else max(left, 0.0)  # noqa: PLR0124 nan test

    def is_stale(self, row: int, now_s: float, wall_s: float) -> bool:
        """Whether the value was `STALE_INTERVALS` of its series' own intervals old when it was last read.

        A large fleet is read in turn: what is not on screen may have moved on since.
        """
        interval = self.interval_s[row] or DEFAULT_INTERVAL_S
        read_wall_s = wall_s - (now_s - self.read_at[row])
        return read_wall_s - self.measured_at[row] > STALE_INTERVALS * interval

    def live_and_stale_devices(self, now_s: float, wall_s: float) -> tuple[int, int]:
        """Devices with at least one series on time, and the others that have ever reported."""
        live: set[str] = set()
        everyone: set[str] = set()
        read_long_ago_s = wall_s - now_s
        columns = zip(self.series, self.value, self.interval_s, self.read_at, self.measured_at, strict=True)
        # `is_stale`, written out: this goes over the whole fleet every second.
        for (device, _), value, interval_s, read_at, measured_at in columns:
            if value is None:
                continue
            everyone.add(device)
            if not read_long_ago_s + read_at - measured_at > STALE_INTERVALS * (
                interval_s or DEFAULT_INTERVAL_S
            ):
                live.add(device)
        return len(live), len(everyone) - len(live)
