"""The fleet in columns: one entry a row in each, a row for every series, never moved or removed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from math import inf, isfinite, nan

from rich.cells import cell_len

from iotcache.clock import SYSTEM_CLOCK
from iotcache.model import Series, Source, Value
from iotcache.store.base import SeriesInfo
from iotcache.text import printable
from iotcache_tui.state.fleet.devices import LATE, ON_TIME, UNREPORTED, DeviceCounts
from iotcache_tui.state.updates import ROW_OF, RowUpdate, TtlUpdate

TREND_POINTS = 24
LAST = TREND_POINTS - 1
NAME_LIMIT = 120
STALE_INTERVALS = 3.0
"""A series that missed this many of its own intervals is stale."""
LATE_LEAST_S = 3.0
"""Rows are read about once a second: what is due more often is not late before this."""
DEFAULT_INTERVAL_S = 60.0
DECIMALS_MOST = 3
NAMES = ("device", "sensor", "site", "unit")
"""Columns of texts that stay as they are from a row's joining on."""
UNSEEN = 255
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
        self.changes = 0
        """Grows with everything that was taken in: who looks at the whole fleet may rest while it stands."""
        self.wall_less_monotonic_s = SYSTEM_CLOCK.now() - SYSTEM_CLOCK.monotonic()
        """What turns a monotonic time of this run into wall time."""
        self.marked: set[int] = set()
        self.watched: dict[int, None] = {}
        """Rows that are read each interval whether on screen or not, in the order they were chosen."""
        self._clear()

    def _clear(self) -> None:
        """Columns without a row."""
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
        self.longest = dict.fromkeys(NAMES, 0)
        """Cells of the longest text of each."""
        self.haystack: list[str] = []
        self.interval_s = array("d")
        self.value: list[Value | None] = []
        self.decimals_seen = bytearray()
        """See `decimals`; `UNSEEN` before that was asked for."""
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
        self.trend_ring = array("d")
        """A ring of `TREND_POINTS` for each row."""
        self.trend_next = bytearray()
        """Where a row's ring takes the next value; nan stands there before it went round once."""
        self.status = bytearray()
        """`UNREPORTED`, `ON_TIME` or `LATE`."""
        self.devices = DeviceCounts()
        self._unsettled: dict[int, RowUpdate] = {}
        """The newest read of each row of which only the value was taken in."""

    def reset(self) -> None:
        """Forget all rows; what the user marked stays, for the rows that come next in their place."""
        self._clear()
        self.changes += 1

    def __len__(self) -> int:
        return len(self.series)

    def join(self, info: SeriesInfo) -> int:
        """Add a row; returns its number. Names are made printable here, once."""
        row = len(self.series)
        self.changes += 1
        device, sensor = info.series
        self.series.append(info.series)
        self.devices.join(device)
        self.row_of[info.series] = row
        self.device.append(printable(device, NAME_LIMIT))
        self.sensor.append(printable(sensor, NAME_LIMIT))
        self.site.append(printable(info.site, NAME_LIMIT))
        self.unit.append(printable(info.unit, 12))
        self._count_names(row)
        self.measure((row,))
        self.haystack.append(f"{self.device[row]} {self.sensor[row]} {self.site[row]}".casefold())
        self.interval_s.append(info.interval_s)
        self.value.append(None)
        self.decimals_seen.append(UNSEEN)
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
        self.trend_ring.extend([nan] * TREND_POINTS)
        self.trend_next.append(0)
        self.status.append(UNREPORTED)
        return row

    def measure(self, rows: Iterable[int]) -> None:
        """Take rows' texts into account in what the longest are."""
        columns: tuple[list[str], ...] = self.device, self.sensor, self.site, self.unit
        for key, column in zip(NAMES, columns, strict=True):
            sizes = (len(column[row]) if column[row].isascii() else cell_len(column[row]) for row in rows)
            self.longest[key] = max(self.longest[key], *sizes, 0)

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
        """Take the newest read of a row in, and settle it."""
        self.apply_reads((update,))
        self.settle((update.row,))

    def apply_reads(self, updates: Sequence[RowUpdate]) -> None:
        """Take the newest reads of many rows in, in their order.

        All that a large fleet costs while nobody looks at it, so it does only what the next read would
        not make up for: values, their trend, and who is late. The rest waits in ``_unsettled`` for `settle`.
        """
        values, measured_at, changed_at = self.value, self.measured_at, self.changed_at
        intervals, status = self.interval_s, self.status
        trends, places = self.trend_ring, self.trend_next
        offset = self.wall_less_monotonic_s
        for update in updates:
            row, read = update.row, update.read
            value, known = read.value, values[row]
            if value is None:
                if known is not None:
                    values[row] = None
                    self._stand(row, UNREPORTED)
                continue
            at_s, moved = update.at_s, read.ts_us / 1e6
            if moved != measured_at[row]:
                measured_at[row] = moved
                if value.__class__ is not str:
                    place = places[row]
                    places[row] = place + 1 if place < LAST else 0
                    trends[row * TREND_POINTS + place] = value  # type: ignore[assignment]
            if value != known:
                values[row] = value
                if known is not None:
                    changed_at[row] = at_s
            late_s = STALE_INTERVALS * (read.interval_s or intervals[row] or DEFAULT_INTERVAL_S)
            if late_s < LATE_LEAST_S:  # noqa: PLR1730 (a call would be made for every read)
                late_s = LATE_LEAST_S
            stands = LATE if read.stale or at_s + offset - moved > late_s else ON_TIME
            if stands != status[row]:
                self._stand(row, stands)
        self._unsettled.update(zip(map(ROW_OF, updates), updates, strict=True))
        self.changes += len(updates)

    def _stand(self, row: int, stands: int) -> None:
        self.devices.turn(self.series[row].device, self.status[row], stands)
        self.status[row] = stands

    def settle(self, rows: Iterable[int] | None = None) -> None:
        """Bring every column of ``rows`` up to date, of all rows without; call it before reading them.

        `apply_reads` keeps only the columns of values, times of measurement and trends so.
        """
        unsettled = self._unsettled
        if rows is not None:
            self._settle([unsettled.pop(row) for row in rows if row in unsettled])
        elif unsettled:
            self._unsettled = {}
            self._settle(unsettled.values())

    def _settle(self, updates: Iterable[RowUpdate]) -> None:
        """One flat loop over local names, as a sort of a large fleet waits for it."""
        units, intervals, sources, read_at = self.unit, self.interval_s, self.source, self.read_at
        nodes, reads, hits, reasons = self.node, self.reads, self.hits, self.reason
        versions, decimals = self.version, self.decimals_seen
        ttl_end_at, ttl_span_s = self.ttl_end_at, self.ttl_span_s
        for update in updates:
            row, read, at_s = update.row, update.read, update.at_s
            places, value = decimals[row], read.value
            if places < DECIMALS_MOST and isinstance(value, float) and round(value, places) != value:
                decimals[row] = max(places, _decimals(value))
            versions[row] += 1
            if read.unit and not units[row]:
                units[row] = printable(read.unit, 12)
            if read.interval_s > 0:
                intervals[row] = read.interval_s
            source, why = read.source, read.miss_reason
            sources[row] = FROM_CACHE if source is _CACHE else _SOURCE_CODE[source]
            read_at[row], nodes[row] = at_s, read.node
            reads[row], hits[row] = update.reads, update.hits
            reasons[row] = why.value if why else ""
            ttl_s = read.ttl_s
            if ttl_s is None:
                ttl_end_at[row] = nan
                continue
            # The server counts whole seconds: between two answers the earlier estimate is the finer one.
            end = at_s + ttl_s
            if not -1.0 < end - ttl_end_at[row] < 1.0:
                ttl_end_at[row] = end
                if ttl_s != inf:
                    ttl_span_s[row] = ttl_s if ttl_s > 1.0 else 1.0

    def apply_ttl(self, update: TtlUpdate) -> None:
        """Take a neutral probe's answer in: the entry may have gone since it was read."""
        self.settle((update.row,))
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

    def decimals(self, row: int) -> int:
        """The most decimals that the value came with, up to `DECIMALS_MOST`: figures keep their form."""
        known = self.decimals_seen[row]
        if known == UNSEEN:
            seen = self.trend(row)
            known = max(map(_decimals, seen), default=0)
            if seen:
                self.decimals_seen[row] = known
        return known

    def trend(self, row: int) -> array[float]:
        """The row's last values, oldest first, at most `TREND_POINTS`."""
        start, place = row * TREND_POINTS, row * TREND_POINTS + self.trend_next[row]
        older = self.trend_ring[place : start + TREND_POINTS]
        newer = self.trend_ring[start:place]
        return older + newer if isfinite(older[-1]) else newer

    def ttl_left_s(self, row: int, now_s: float) -> float:
        """Seconds the cache entry has left: nan when none is there, inf when it never expires."""
        left = self.ttl_end_at[row] - now_s
        return left if left == inf or left != left else max(left, 0.0)  # noqa: PLR0124 nan test

    def is_stale(self, row: int) -> bool:
        """Whether the value was `STALE_INTERVALS` of its series' own intervals old when it was last read, or
        its edge node gone.

        A large fleet is read in turn: what is not on screen may have moved on since.
        """
        return self.status[row] == LATE
