"""The fleet in columns: one entry a row in each, a row for every series, never moved or removed."""

from __future__ import annotations

import re
from array import array
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
FORM_KNOWN_AFTER = 64
"""Reads after which a series has shown how many decimals it writes."""
_KIND = re.compile(r"[-_. /#]*[0-9][0-9a-fA-F-]*$")
UNREAD, FROM_CACHE, FROM_STORE, FROM_NOWHERE = range(4)
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
        self._trend_length = bytearray()

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
        self._trend_length.append(0)
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
        row, read = update.row, update.read
        self.changes += 1
        moved = read.ts_us / 1e6
        if read.value is not None and moved != self.measured_at[row]:
            self._push_trend(row, read.value)
            self.measured_at[row] = moved
        if read.value != self.value[row] and self.value[row] is not None:
            self.changed_at[row] = update.at_s
        self.value[row] = read.value
        decimals = self.decimals[row]
        if type(read.value) is float and decimals < DECIMALS_MOST and self.version[row] < FORM_KNOWN_AFTER:
            self.decimals[row] = max(decimals, _decimals(read.value))
        if read.unit and not self.unit[row]:
            self.unit[row] = printable(read.unit, 12)
        if read.interval_s > 0:
            self.interval_s[row] = read.interval_s
        self.source[row] = _SOURCE_CODE[read.source]
        self.read_at[row] = update.at_s
        self.node[row] = read.node
        self.reads[row], self.hits[row] = update.reads, update.hits
        self.reason[row] = read.miss_reason.value if read.miss_reason else ""
        self._set_ttl(row, update.at_s, read.ttl_s)
        self.version[row] += 1

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

    def _push_trend(self, row: int, value: Value) -> None:
        if isinstance(value, str):
            return
        start = row * TREND_POINTS
        length = self._trend_length[row]
        if length == TREND_POINTS:
            self._trend[start : start + TREND_POINTS - 1] = self._trend[start + 1 : start + TREND_POINTS]
            self._trend[start + TREND_POINTS - 1] = float(value)
        else:
            self._trend[start + length] = float(value)
            self._trend_length[row] = length + 1

    def trend(self, row: int) -> array[float]:
        """The row's last values, oldest first, at most `TREND_POINTS`."""
        start = row * TREND_POINTS
        return self._trend[start : start + self._trend_length[row]]

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
        for row, (device, _) in enumerate(self.series):
            if self.value[row] is None:
                continue
            everyone.add(device)
            if device not in live and not self.is_stale(row, now_s, wall_s):
                live.add(device)
        return len(live), len(everyone) - len(live)
