"""One connection to the SQLite file: plain blocking calls, each one transaction.

`iotcache.store.sqlite.store.SqliteStore` gives it a thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading, figure_of
from iotcache.store.base import Committed, SeriesInfo, StoreCounts
from iotcache.store.rows import (
    INT64_MAX,
    INT64_MIN,
    NO_SEQ,
    Names,
    SeriesRow,
    check_range,
    give_text,
    history_reading,
    keep_text,
    key_order,
    letter_row,
    newest_of,
    seq_key,
)  # fmt: skip
from iotcache.store.sqlite.rows import Row, give_value, keep_value, reading_row
from iotcache.store.sqlite.schema import check, migrate
from iotcache.store.windows import SERIES_PAGE, WindowPage, of_site

_SERIES_REMEMBERED: Final = 500_000
_CHUNK: Final = 1_000
"""Rows of one multi-row statement; SQLite takes 32,766 variables (since 3.32)."""
_CACHE_KIB: Final = 64 * 1024
_CHECKPOINT_PAGES: Final = 8_000
"""The log is folded into the file every 32 MB: a page touched by many batches is then written once."""

_AT_ONCE: Final = (256, 64, 16, 4, 1)
"""Rows of one writing statement: few sizes, so that all stay prepared. Around each statement, as around each
row of `executemany`, sqlite3 gives the interpreter away, and while the event loop is busy it waits long until
it gets it back: 2,000 rows one by one were seen to take 300 ms beside a busy thread, in one go 40 ms."""

_INSERT_READING = "INSERT OR IGNORE INTO reading VALUES {rows}"
_ADD_LETTER = """
    INSERT INTO dead_letter (received_us, topic, reason, payload, digest) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET
        received_us = excluded.received_us, reason = excluded.reason, times = times + 1
"""
_AS_IT_IS = "SELECT 1 FROM reading WHERE series_id = ? AND ts_us = ? AND seq = ? AND boot = ? AND value IS ?"
_UPSERT_LATEST = """
    INSERT INTO latest VALUES {rows}
    ON CONFLICT (series_id) DO UPDATE SET
        ts_us = excluded.ts_us, seq = excluded.seq, boot = excluded.boot, value = excluded.value,
        received_us = excluded.received_us, unit = excluded.unit, site = excluded.site,
        interval_s = excluded.interval_s, cached_until_us = excluded.cached_until_us
    WHERE (excluded.ts_us, excluded.seq, excluded.boot) >= (latest.ts_us, latest.seq, latest.boot)
"""
_NEWEST_KEYS = "SELECT series_id, ts_us, seq, boot FROM latest WHERE series_id IN {rows}"
_LATEST = """
    WITH want (n, device, sensor) AS (VALUES ?)
    SELECT n, ts_us, seq, boot, value, received_us, latest.unit, latest.site, interval_s, cached_until_us
    FROM want JOIN series USING (device, sensor) JOIN latest ON series_id = id
"""

_OF_SITE = """
    SELECT id, series.site FROM series JOIN latest ON series_id = id
    WHERE sensor = ? AND id > ? AND (series.site = ? OR latest.site = ?) ORDER BY id LIMIT ?
"""


def _places(count: int) -> str:
    return f"({', '.join('?' * count)})"


class SqliteFile:
    """An open SQLite file. Raises `StoreError` from every method; not for use by two threads at once."""

    def __init__(self, path: Path, *, busy_timeout_s: float, read_only: bool) -> None:
        self._path = path
        self._known: dict[Names, SeriesRow] = {}
        self._pruned_to = 0
        if not path.parent.is_dir():
            raise StoreError(f"the folder of the store {path} does not exist: make it first", retryable=False)
        if read_only and not path.exists():
            raise StoreError(f"there is no store {path} yet: an ingest worker makes it")
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
            )
        except sqlite3.Error as error:
            raise self.explained(error) from error
        try:
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if read_only:
                check(self._db, str(path))
                self._db.execute("PRAGMA query_only = ON")
            else:
                self._open_for_writing()
        except sqlite3.Error as error:
            self._db.close()
            raise self.explained(error) from error
        except BaseException:
            self._db.close()
            raise

    def _open_for_writing(self) -> None:
        db = self._db
        migrate(db, str(self._path))
        db.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at every commit: NORMAL may lose the last commits at a power cut, and the
        # broker was already told that they are safe.
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        # The log file is cut back after a checkpoint, so that a burst does not hold its size for ever.
        db.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * 4096 * 2}")

    def close(self) -> None:
        self._db.close()

    # Writing

    def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter],
        settled: Sequence[int] = (),
    ) -> Committed:
        """See `iotcache.store.base.Store.commit`."""
        db = self._db
        found: dict[Names, SeriesRow] = {}
        try:
            db.execute("BEGIN IMMEDIATE")
            rows = self._rows(readings, found)
            stored_count = self._write(_INSERT_READING, sorted(rows, key=key_order))
            candidates = readings if stored_count == len(rows) else self._in_history(readings, rows)
            newest = self._move_latest(candidates, found)
            if stored_count:
                db.execute("UPDATE total SET n = n + ? WHERE name = 'readings'", (stored_count,))
            if dead_letters:
                db.executemany(_ADD_LETTER, [letter_row(letter) for letter in dead_letters])
            if settled:
                db.executemany("DELETE FROM dead_letter WHERE id = ?", [(number,) for number in settled])
            db.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise self.explained(error) from error
            raise
        if len(self._known) + len(found) > _SERIES_REMEMBERED:
            self._known.clear()
        self._known.update(found)
        return Committed(stored_count, len(rows) - stored_count, newest)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back when it raises."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise self.explained(error) from error
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _rows(self, readings: Sequence[StoredReading], found: dict[Names, SeriesRow]) -> list[Row]:
        """The row of each reading; new series are made. ``found`` is what this transaction learned of them:
        it may be remembered only once it is committed."""
        known = self._known
        rows: list[Row] = []
        for stored in readings:
            reading = stored.reading
            names = reading.device, reading.sensor
            series = known.get(names) or found.get(names)
            if series is None:
                check_range(reading)
                series = found[names] = self._series_row(reading)
            rows.append(reading_row(reading, series))
        return rows

    def _series_row(self, reading: Reading) -> SeriesRow:
        names = keep_text(reading.device), keep_text(reading.sensor)
        row = self._db.execute(
            "SELECT id, site, unit FROM series WHERE device = ? AND sensor = ?", names
        ).fetchone()
        if row is not None:
            return SeriesRow(row[0], give_text(row[1]), give_text(row[2]))
        made = self._db.execute(
            "INSERT INTO series (device, sensor, site, unit) VALUES (?, ?, ?, ?)",
            (*names, keep_text(reading.site), keep_text(reading.unit)),
        )
        assert made.lastrowid is not None
        return SeriesRow(made.lastrowid, reading.site, reading.unit)

    def _in_history(self, readings: Sequence[StoredReading], rows: Sequence[Row]) -> list[StoredReading]:
        """Those that stand in the table as they are.

        A redelivery stamped anew is not the newest; one that is the newest is told again, because whoever
        committed it first may have died before the cache heard of it.
        """
        return [
            stored
            for stored, row in zip(readings, rows, strict=True)
            if self._db.execute(_AS_IT_IS, row[:5]).fetchone()
        ]

    def _move_latest(
        self, readings: Sequence[StoredReading], found: dict[Names, SeriesRow]
    ) -> tuple[StoredReading, ...]:
        known = self._known
        newest: dict[int, StoredReading] = {}
        rows = []
        for names, stored in newest_of(readings).items():
            r = stored.reading
            number = (known.get(names) or found[names]).id
            newest[number] = stored
            rows.append(
                (number, r.ts_us, seq_key(r), keep_text(r.boot), keep_value(r.value), r.received_us,
                 keep_text(r.unit), keep_text(r.site), r.interval_s, stored.cached_until_us)
            )  # fmt: skip
        if self._write(_UPSERT_LATEST, rows) == len(rows):
            return tuple(newest.values())
        standing: set[tuple[Any, ...]] = set()
        numbers = list(newest)
        for at in range(0, len(numbers), _CHUNK):
            chunk = numbers[at : at + _CHUNK]
            standing.update(self._db.execute(_NEWEST_KEYS.format(rows=_places(len(chunk))), chunk))
        return tuple(newest[row[0]] for row in rows if row[:4] in standing)

    def _write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write rows, many in one statement; how many were changed."""
        db = self._db
        before = db.total_changes
        at = 0
        for count in _AT_ONCE:
            while len(rows) - at >= count:
                places = ", ".join([_places(len(rows[at]))] * count)
                db.execute(sql.format(rows=places), list(chain.from_iterable(rows[at : at + count])))
                at += count
        return db.total_changes - before

    def prune(self, before_us: int, limit: int) -> int:
        """See `iotcache.store.base.Store.prune`."""
        db = self._db
        gone = 0
        try:
            db.execute("BEGIN IMMEDIATE")
            first = self._pruned_to
            ids = [row[0] for row in db.execute("SELECT id FROM series ORDER BY id <= ?, id", (first,))]
            for series_id in ids:
                gone += db.execute(
                    "DELETE FROM reading WHERE (series_id, ts_us, seq, boot) IN "
                    "(SELECT series_id, ts_us, seq, boot FROM reading "
                    "WHERE series_id = ? AND ts_us < ? ORDER BY ts_us LIMIT ?)",
                    (series_id, before_us, limit - gone),
                ).rowcount
                if gone >= limit:
                    break
                self._pruned_to = series_id
            if gone:
                db.execute("UPDATE total SET n = n - ? WHERE name = 'readings'", (gone,))
            gone += db.execute(
                "DELETE FROM dead_letter WHERE id IN "
                "(SELECT id FROM dead_letter WHERE received_us < ? ORDER BY received_us LIMIT ?)",
                (before_us, limit - gone),
            ).rowcount
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self.explained(error) from error
        return gone

    # Reading

    def latest_many(self, series: Sequence[Series]) -> dict[Series, StoredReading]:
        """See `iotcache.store.base.Store.latest_many`."""
        answer: dict[Series, StoredReading] = {}
        names = iter(series)
        while chunk := list(islice(names, _CHUNK)):
            wanted: list[Any] = []
            for number, one in enumerate(chunk):
                wanted += (number, keep_text(one.device), keep_text(one.sensor))
            want = ",".join(["(?, ?, ?)"] * len(chunk))
            rows = self.query(_LATEST.replace("?", want, 1), wanted)
            for n, ts_us, seq, boot, value, received_us, unit, site, interval_s, until_us in rows:
                one = chunk[n]
                answer[one] = StoredReading(
                    Reading(
                        one.device, one.sensor, give_value(value), ts_us, give_text(unit), give_text(site),
                        None if seq == NO_SEQ else seq, give_text(boot), received_us, interval_s,
                    ),
                    until_us,
                )  # fmt: skip
        return answer

    def directory(self, above: int, limit: int) -> list[SeriesInfo]:
        """See `iotcache.store.base.Store.directory`."""
        rows = self.query(
            "SELECT id, device, sensor, latest.site, latest.unit, interval_s FROM series "
            "JOIN latest ON series_id = id WHERE id > ? ORDER BY id LIMIT ?",
            (above, limit),
        )
        return [
            SeriesInfo(
                Series(give_text(device), give_text(sensor)),
                give_text(site),
                give_text(unit),
                interval_s,
                order,
            )
            for order, device, sensor, site, unit, interval_s in rows
        ]

    def history(self, series: Series, since_us: int, until_us: int, limit: int) -> list[Reading]:
        """See `iotcache.store.base.Store.history`."""
        rows = self.query(
            "SELECT ts_us, seq, boot, value, received_us, odd, site, unit FROM series "
            "JOIN reading ON series_id = id WHERE device = ? AND sensor = ? AND ts_us >= ? AND ts_us < ? "
            "ORDER BY ts_us DESC, seq DESC, boot DESC LIMIT ?",
            (
                keep_text(series.device),
                keep_text(series.sensor),
                max(since_us, INT64_MIN),
                min(until_us, INT64_MAX),
                limit,
            ),
        )
        return [
            history_reading(series, give_value(value), (ts_us, seq, boot), (received_us, odd, site, unit))
            for ts_us, seq, boot, value, received_us, odd, site, unit in reversed(rows)
        ]

    def window(self, site: str, sensor: str, since_us: int, until_us: int, above: int) -> WindowPage:
        """See `iotcache.store.base.Store.window`."""
        kept = keep_text(site)
        series = self.query(_OF_SITE, (keep_text(sensor), above, kept, kept, SERIES_PAGE))
        figures: list[tuple[int, float]] = []
        since_us, until_us = max(since_us, INT64_MIN), min(until_us, INT64_MAX)
        for number, own in series:
            rows = self.query(
                "SELECT ts_us, value, odd, ? FROM reading WHERE series_id = ? AND ts_us >= ? AND ts_us < ?",
                (own, number, since_us, until_us),
            )
            for ts_us, kept_value, _, _ in of_site(rows, site):
                figure = figure_of(give_value(kept_value))
                if figure is not None:
                    figures.append((ts_us, figure))
        return WindowPage(figures, series[-1][0] if len(series) == SERIES_PAGE else 0)

    def recent_dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `iotcache.store.base.Store.dead_letters`."""
        rows = self.query(
            "SELECT topic, payload, reason, received_us FROM dead_letter "
            "ORDER BY received_us DESC, id DESC LIMIT ?",
            (limit,),
        )
        return [
            DeadLetter(give_text(topic), payload, give_text(reason), at)
            for topic, payload, reason, at in rows
        ]

    def counts(self) -> StoreCounts:
        """See `iotcache.store.base.Store.counts`."""
        row = self.query(
            "SELECT (SELECT n FROM total WHERE name = 'readings'), (SELECT count(*) FROM series), "
            "(SELECT count(*) FROM dead_letter), "
            "(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)"
        )[0]
        return StoreCounts(*row)

    def ping(self) -> None:
        """Raise `StoreError` unless the file answers."""
        self.query("SELECT n FROM total")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self.explained(error) from error

    def explained(self, error: sqlite3.Error) -> StoreError:
        """SQLite's error as a sentence about this file (result codes: https://www.sqlite.org/rescode.html)."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        place = self._path
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreError(f"the store {place} is locked by another process")
            case sqlite3.SQLITE_FULL:
                return StoreError(f"the disk of the store {place} is full")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                return StoreError(f"the store {place} or its folder may not be written", retryable=False)
            case sqlite3.SQLITE_CANTOPEN:
                return StoreError(
                    f"the store {place} cannot be opened: is its folder writable?", retryable=False
                )
            case sqlite3.SQLITE_NOTADB:
                return StoreError(f"the file {place} is not an SQLite database", retryable=False)
            case sqlite3.SQLITE_CORRUPT:
                return StoreError(f"the store {place} is damaged: {error}", retryable=False)
            case _:
                return StoreError(f"the store {place} failed: {error}")
