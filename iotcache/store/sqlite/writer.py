"""The connection that writes the SQLite file: commits and pruning, each call one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from iotcache.model import DeadLetter, Reading, Series, StoredReading, same_value
from iotcache.store.base import Committed
from iotcache.store.identity import LOOK_BACK_US, Stamps, conflict
from iotcache.store.rows import (
    NO_SEQ,
    Names,
    SeriesRow,
    check_range,
    dead_letter_row,
    escape_text,
    key_order,
    newest_of,
    seq_key,
    unescape_text,
)
from iotcache.store.sqlite.file import SqliteFile
from iotcache.store.sqlite.rows import Row, decode_value, encode_value, reading_row

_SERIES_REMEMBERED: Final = 500_000
_CHUNK: Final = 1_000
"""Variables of one statement; SQLite takes 32,766 (since 3.32)."""
_ROWS_PER_STATEMENT: Final = (256, 64, 16, 4, 1)
"""Rows of one writing statement: few sizes, so that all stay prepared. Around each statement, as around each
row of `executemany`, sqlite3 releases the interpreter's lock, and beside a busy event loop it waits long to
get it back: 2,000 rows one by one were seen to take 300 ms, in large statements 40 ms."""

_INSERT_READING: Final = "INSERT OR IGNORE INTO reading VALUES {rows}"
_ADD_DEAD_LETTER: Final = """
    INSERT INTO dead_letter (received_us, topic, reason, payload, digest, truncated)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET
        received_us = excluded.received_us, reason = excluded.reason, times = times + 1,
        truncated = truncated AND excluded.truncated
"""
_STORED_VALUE: Final = "SELECT value FROM reading WHERE series_id = ? AND ts_us = ? AND seq = ? AND boot = ?"
_STAMPED_BEFORE: Final = """
    WITH want (series_id, boot, seq, ts_us) AS (VALUES {rows})
    SELECT DISTINCT reading.series_id, reading.boot, reading.seq, reading.ts_us, reading.value
    FROM want CROSS JOIN reading
    WHERE reading.series_id = want.series_id AND reading.boot = want.boot AND reading.seq = want.seq
        AND reading.seq > -9223372036854775808
        AND (reading.received_us = reading.ts_us OR reading.received_us = 0)
        AND reading.ts_us < want.ts_us AND reading.ts_us >= want.ts_us - {look_back_us}
"""
"""Its conditions are those of the index `reading_identity`, word by word: else SQLite does not use it."""
_UPSERT_LATEST: Final = """
    INSERT INTO latest VALUES {rows}
    ON CONFLICT (series_id) DO UPDATE SET
        ts_us = excluded.ts_us, seq = excluded.seq, boot = excluded.boot, value = excluded.value,
        received_us = excluded.received_us, unit = excluded.unit, site = excluded.site,
        interval_s = excluded.interval_s, cached_until_us = excluded.cached_until_us
    WHERE (excluded.ts_us, excluded.seq, excluded.boot) >= (latest.ts_us, latest.seq, latest.boot)
"""
_LATEST_KEYS: Final = "SELECT series_id, ts_us, seq, boot FROM latest WHERE series_id IN {rows}"
_FIND_SERIES: Final = "SELECT id, site, unit FROM series WHERE device = ? AND sensor = ?"
_ADD_SERIES: Final = "INSERT INTO series (device, sensor, site, unit) VALUES (?, ?, ?, ?)"
_MARK_STALE: Final = """
    INSERT INTO stale SELECT id, ? FROM series WHERE device = ? AND sensor = ?
    ON CONFLICT (series_id) DO UPDATE SET at_us = max(at_us, excluded.at_us)
"""
_PRUNE_READINGS: Final = """
    DELETE FROM reading WHERE (series_id, ts_us, seq, boot) IN (
        SELECT series_id, ts_us, seq, boot FROM reading
        WHERE series_id = ? AND ts_us < ? ORDER BY ts_us LIMIT ?)
"""
_PRUNE_DEAD_LETTERS: Final = """
    DELETE FROM dead_letter
    WHERE id IN (SELECT id FROM dead_letter WHERE received_us < ? ORDER BY received_us LIMIT ?)
"""


class SqliteWriter(SqliteFile):
    """The one connection of a process that writes the file."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        super().__init__(path, busy_timeout_s=busy_timeout_s, read_only=False)
        self._known: dict[Names, SeriesRow] = {}
        self._pruned_to = 0

    def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter],
        redriven: Sequence[int] = (),
    ) -> Committed:
        """See `iotcache.store.base.Store.commit`."""
        new: dict[Names, SeriesRow] = {}
        with self.transaction() as db:
            rows = self._rows(readings, new)
            candidates = readings
            if any(row[2] != NO_SEQ and row[5] in (0, row[1]) for row in rows):
                candidates, rows = self._without_repeats(readings, rows)
            stored_count = self._write(_INSERT_READING, sorted(rows, key=key_order))
            conflicts: list[DeadLetter] = []
            if stored_count != len(rows):
                candidates, conflicts = self._in_history(candidates, rows)
            newest = self._move_latest(candidates, new)
            if stored_count:
                db.execute("UPDATE total SET n = n + ? WHERE name = 'readings'", (stored_count,))
            if dead_letters or conflicts:
                db.executemany(_ADD_DEAD_LETTER, map(dead_letter_row, chain(dead_letters, conflicts)))
            if redriven:
                db.executemany("DELETE FROM dead_letter WHERE id = ?", [(number,) for number in redriven])
        if len(self._known) + len(new) > _SERIES_REMEMBERED:
            self._known.clear()
        self._known.update(new)
        duplicates = len(readings) - stored_count - len(conflicts)
        return Committed(stored_count, duplicates, newest, len(conflicts))

    def _rows(self, readings: Sequence[StoredReading], new: dict[Names, SeriesRow]) -> list[Row]:
        """The row of each reading; new series are inserted.

        Series looked up or inserted go into ``new``: they may be remembered only after the commit.
        """
        known = self._known
        rows: list[Row] = []
        for stored in readings:
            reading = stored.reading
            names = reading.device, reading.sensor
            series = known.get(names) or new.get(names)
            if series is None:
                check_range(reading)
                series = new[names] = self._series_row(reading)
            rows.append(reading_row(reading, series))
        return rows

    def _series_row(self, reading: Reading) -> SeriesRow:
        names = escape_text(reading.device), escape_text(reading.sensor)
        row = self._db.execute(_FIND_SERIES, names).fetchone()
        if row is not None:
            return SeriesRow(row[0], unescape_text(row[1]), unescape_text(row[2]))
        inserted = self._db.execute(
            _ADD_SERIES, (*names, escape_text(reading.site), escape_text(reading.unit))
        )
        assert inserted.lastrowid is not None
        return SeriesRow(inserted.lastrowid, reading.site, reading.unit)

    def _without_repeats(
        self, readings: Sequence[StoredReading], rows: Sequence[Row]
    ) -> tuple[list[StoredReading], list[Row]]:
        """The readings, and their rows, without those that were stamped at an earlier receipt."""
        stamps = Stamps()
        wanted = [
            (row[0], row[3], row[2], row[1]) for row in rows if row[2] != NO_SEQ and row[5] in (0, row[1])
        ]
        for start in range(0, len(wanted), _CHUNK // 4):
            chunk = wanted[start : start + _CHUNK // 4]
            marks = ", ".join([_row_marks(4)] * len(chunk))
            statement = _STAMPED_BEFORE.format(rows=marks, look_back_us=LOOK_BACK_US)
            for series_id, boot, seq, ts_us, value in self._db.execute(
                statement, list(chain.from_iterable(chunk))
            ):
                stamps.note((series_id, boot, seq), ts_us, decode_value(value))
        kept: list[int] = []
        for n in sorted(range(len(rows)), key=lambda n: rows[n][1]):
            row, reading = rows[n], readings[n].reading
            if row[2] != NO_SEQ and row[5] in (0, row[1]):
                identity = row[0], row[3], row[2]
                if stamps.repeats(identity, row[1], reading.value):
                    continue
                stamps.note(identity, row[1], reading.value)
            kept.append(n)
        kept.sort()
        return [readings[n] for n in kept], [rows[n] for n in kept]

    def _in_history(
        self, readings: Sequence[StoredReading], rows: Sequence[Row]
    ) -> tuple[list[StoredReading], list[DeadLetter]]:
        """The readings that the table holds unchanged, and dead letters of those that contradict it.

        One that is the newest is returned again: the worker that committed it first may have died before it
        wrote to the cache.
        """
        unchanged: list[StoredReading] = []
        conflicts: list[DeadLetter] = []
        for stored, row in zip(readings, rows, strict=True):
            (value,) = self._db.execute(_STORED_VALUE, row[:4]).fetchone()
            if value == row[4] and type(value) is type(row[4]):
                unchanged.append(stored)
            elif not same_value(stored.reading.value, known := decode_value(value)):
                conflicts.append(conflict(stored.reading, known))
        return unchanged, conflicts

    def _move_latest(
        self, readings: Sequence[StoredReading], new: dict[Names, SeriesRow]
    ) -> tuple[StoredReading, ...]:
        """Replace the latest reading of each series by a newer one; returns those that are the latest now."""
        known = self._known
        newest: dict[int, StoredReading] = {}
        rows = []
        for names, stored in newest_of(readings).items():
            r = stored.reading
            series_id = (known.get(names) or new[names]).id
            newest[series_id] = stored
            rows.append(
                (series_id, r.ts_us, seq_key(r), escape_text(r.boot), encode_value(r.value), r.received_us,
                 escape_text(r.unit), escape_text(r.site), r.interval_s, stored.cached_until_us)
            )  # fmt: skip
        if self._write(_UPSERT_LATEST, rows) == len(rows):
            return tuple(newest.values())
        latest_keys: set[tuple[Any, ...]] = set()
        ids = list(newest)
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            latest_keys.update(self._db.execute(_LATEST_KEYS.format(rows=_row_marks(len(chunk))), chunk))
        return tuple(newest[row[0]] for row in rows if row[:4] in latest_keys)

    def _write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write rows, many in one statement; returns how many were changed."""
        db = self._db
        before = db.total_changes
        start = 0
        for count in _ROWS_PER_STATEMENT:
            while len(rows) - start >= count:
                marks = ", ".join([_row_marks(len(rows[start]))] * count)
                db.execute(sql.format(rows=marks), list(chain.from_iterable(rows[start : start + count])))
                start += count
        return db.total_changes - before

    def mark_stale(self, series: Sequence[Series], at_us: int) -> None:
        """See `iotcache.store.base.Store.mark_stale`."""
        with self.transaction() as db:
            db.executemany(
                _MARK_STALE, [(at_us, escape_text(one.device), escape_text(one.sensor)) for one in series]
            )

    def prune(self, before_us: int, limit: int) -> int:
        """See `iotcache.store.base.Store.prune`."""
        deleted = 0
        with self.transaction() as db:
            # Goes on with the series after the last one that was finished.
            resume = self._pruned_to
            ids = [row[0] for row in db.execute("SELECT id FROM series ORDER BY id <= ?, id", (resume,))]
            for series_id in ids:
                deleted += db.execute(_PRUNE_READINGS, (series_id, before_us, limit - deleted)).rowcount
                if deleted >= limit:
                    break
                self._pruned_to = series_id
            if deleted:
                db.execute("UPDATE total SET n = n - ? WHERE name = 'readings'", (deleted,))
            deleted += db.execute(_PRUNE_DEAD_LETTERS, (before_us, limit - deleted)).rowcount
        return deleted


def _row_marks(count: int) -> str:
    return f"({', '.join('?' * count)})"
