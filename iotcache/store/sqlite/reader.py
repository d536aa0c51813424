"""The connection that reads the SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from iotcache.model import DeadLetter, Reading, Series, StoredReading, figure_of
from iotcache.store.base import SeriesInfo, StoreCounts, WindowPage
from iotcache.store.rows import (
    INT64_MAX,
    INT64_MIN,
    NO_SEQ,
    dead_letter_of,
    escape_text,
    history_reading,
    of_site,
    unescape_text,
)
from iotcache.store.sqlite.file import SqliteFile
from iotcache.store.sqlite.rows import decode_value

_CHUNK: Final = 1_000
"""Series of one statement, at three variables each; SQLite takes 32,766 (since 3.32)."""

_LATEST: Final = """
    WITH want (n, device, sensor) AS (VALUES ?)
    SELECT n, ts_us, seq, boot, value, received_us, latest.unit, latest.site, interval_s, cached_until_us,
        received_us <= coalesce(at_us, -1)
    FROM want JOIN series USING (device, sensor) JOIN latest ON latest.series_id = id
    LEFT JOIN stale ON stale.series_id = id
"""
_DIRECTORY: Final = """
    SELECT id, device, sensor, latest.site, latest.unit, interval_s
    FROM series JOIN latest ON series_id = id WHERE id > ? ORDER BY id LIMIT ?
"""
_SERIES_OF: Final = """
    SELECT device, sensor FROM series JOIN latest ON series_id = id
    WHERE (device = ? OR (device >= ? AND device < ?)) AND latest.site = ? LIMIT ?
"""
_HISTORY: Final = """
    SELECT ts_us, seq, boot, value, received_us, odd, site, unit
    FROM series JOIN reading ON series_id = id
    WHERE device = ? AND sensor = ? AND ts_us >= ? AND ts_us < ?
    ORDER BY ts_us DESC, seq DESC, boot DESC LIMIT ?
"""
_SERIES_OF_SITE: Final = """
    SELECT id, series.site FROM series JOIN latest ON series_id = id
    WHERE sensor = ? AND id > ? AND (series.site = ? OR latest.site = ?) ORDER BY id LIMIT ?
"""
_WINDOW: Final = "SELECT ts_us, value, odd, ? FROM reading WHERE series_id = ? AND ts_us >= ? AND ts_us < ?"
_RECENT_DEAD_LETTERS: Final = """
    SELECT topic, payload, reason, received_us, truncated FROM dead_letter
    ORDER BY received_us DESC, id DESC LIMIT ?
"""
_COUNTS: Final = """
    SELECT (SELECT n FROM total WHERE name = 'readings'), (SELECT count(*) FROM series),
        (SELECT count(*) FROM dead_letter),
        (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)
"""


class SqliteReader(SqliteFile):
    """A connection that cannot write."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        super().__init__(path, busy_timeout_s=busy_timeout_s, read_only=True)

    def latest_many(self, series: Sequence[Series]) -> dict[Series, StoredReading]:
        """See `iotcache.store.base.Store.latest_many`."""
        latest: dict[Series, StoredReading] = {}
        remaining = iter(series)
        while chunk := list(islice(remaining, _CHUNK)):
            parameters: list[Any] = []
            for number, wanted in enumerate(chunk):
                parameters += (number, escape_text(wanted.device), escape_text(wanted.sensor))
            values = ",".join(["(?, ?, ?)"] * len(chunk))
            rows = self.query(_LATEST.replace("?", values, 1), parameters)
            for n, ts_us, seq, boot, value, received_us, unit, site, interval_s, until_us, stale in rows:
                key = chunk[n]
                latest[key] = StoredReading(
                    Reading(
                        key.device, key.sensor, decode_value(value), ts_us, unescape_text(unit),
                        unescape_text(site), None if seq == NO_SEQ else seq, unescape_text(boot),
                        received_us, interval_s, stale=bool(stale),
                    ),
                    until_us,
                )  # fmt: skip
        return latest

    def directory(self, above: int, limit: int) -> list[SeriesInfo]:
        """See `iotcache.store.base.Store.directory`."""
        return [
            SeriesInfo(
                Series(unescape_text(device), unescape_text(sensor)),
                unescape_text(site),
                unescape_text(unit),
                interval_s,
                order,
            )
            for order, device, sensor, site, unit, interval_s in self.query(_DIRECTORY, (above, limit))
        ]

    def series_of(self, device: str, site: str, limit: int, *, with_below: bool) -> list[Series]:
        """See `iotcache.store.base.Store.series_of`."""
        own = escape_text(device)
        below = (f"{own}/", f"{own}0") if with_below else ("", "")  # "0" is the character after "/"
        rows = self.query(_SERIES_OF, (own, *below, escape_text(site), limit))
        return [Series(unescape_text(name), unescape_text(sensor)) for name, sensor in rows]

    def history(self, series: Series, since_us: int, until_us: int, limit: int) -> list[Reading]:
        """See `iotcache.store.base.Store.history`."""
        rows = self.query(
            _HISTORY,
            (
                escape_text(series.device),
                escape_text(series.sensor),
                max(since_us, INT64_MIN),
                min(until_us, INT64_MAX),
                limit,
            ),
        )
        return [
            history_reading(
                series, decode_value(value), (ts_us, seq, boot), (received_us, overrides, site, unit)
            )
            for ts_us, seq, boot, value, received_us, overrides, site, unit in reversed(rows)
        ]

    def window(
        self, site: str, sensor: str, since_us: int, until_us: int, above: int, *, series_limit: int
    ) -> WindowPage:
        """See `iotcache.store.base.Store.window`."""
        stored_site = escape_text(site)
        series = self.query(
            _SERIES_OF_SITE, (escape_text(sensor), above, stored_site, stored_site, series_limit)
        )
        figures: list[tuple[int, float]] = []
        since_us, until_us = max(since_us, INT64_MIN), min(until_us, INT64_MAX)
        for series_id, series_site in series:
            rows = self.query(_WINDOW, (series_site, series_id, since_us, until_us))
            for ts_us, value, _, _ in of_site(rows, site):
                figure = figure_of(decode_value(value))
                if figure is not None:
                    figures.append((ts_us, figure))
        return WindowPage(figures, series[-1][0] if len(series) == series_limit else 0)

    def recent_dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `iotcache.store.base.Store.recent_dead_letters`."""
        return [dead_letter_of(row) for row in self.query(_RECENT_DEAD_LETTERS, (limit,))]

    def counts(self) -> StoreCounts:
        """See `iotcache.store.base.Store.counts`."""
        return StoreCounts(*self.query(_COUNTS)[0])

    def ping(self) -> None:
        """Raise `StoreError` unless the file answers."""
        self.query("SELECT n FROM total")
