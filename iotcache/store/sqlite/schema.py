"""The tables of the SQLite store, as numbered steps. A step once released is never edited: add the next."""

from __future__ import annotations

import sqlite3
from typing import Final

from iotcache.errors import StoreError

APPLICATION_ID: Final = 0x696F7463
"""``iotc``: tells our files from other programs' (https://www.sqlite.org/pragma.html#pragma_application_id)."""

# Readings lie clustered by series and time: a history read is one walk. `odd` holds, as JSON, whatever
# of unit, site and boot is not as the series or the key says, which is next to never.
# A reading is known again by the primary key, with seq = INT64_MIN and boot = '' when it has no seq. One that
# was stamped at its receipt is looked for by (series, boot, seq) before (`iotcache.store.identity`).
# A dead letter is known again by its topic and payload: sent again, or garbage without end, it stays one row.
_STEPS: Final = (
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, device TEXT NOT NULL, sensor TEXT NOT NULL,
        site TEXT NOT NULL, unit TEXT NOT NULL,
        UNIQUE (device, sensor)
    );
    CREATE TABLE reading (
        series_id INTEGER NOT NULL, ts_us INTEGER NOT NULL, seq INTEGER NOT NULL, boot TEXT NOT NULL,
        value NOT NULL, received_us INTEGER NOT NULL, odd TEXT,
        PRIMARY KEY (series_id, ts_us, seq, boot)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX reading_identity ON reading (series_id, boot, seq) WHERE seq > -9223372036854775808;
    CREATE TABLE latest (
        series_id INTEGER PRIMARY KEY, ts_us INTEGER NOT NULL, seq INTEGER NOT NULL, boot TEXT NOT NULL,
        value NOT NULL, received_us INTEGER NOT NULL, unit TEXT NOT NULL, site TEXT NOT NULL,
        interval_s REAL NOT NULL, cached_until_us INTEGER NOT NULL
    );
    CREATE TABLE dead_letter (
        id INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
        payload BLOB NOT NULL, digest BLOB NOT NULL UNIQUE, times INTEGER NOT NULL DEFAULT 1
    );
    CREATE INDEX dead_letter_time ON dead_letter (received_us);
    CREATE TABLE total (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO total VALUES ('readings', 0);
    """,
    """
    CREATE TABLE document (
        device TEXT NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL,
        site TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY (device, kind)
    ) WITHOUT ROWID;
    CREATE TABLE decommissioned (device TEXT PRIMARY KEY, at_us INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE alert (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, subject TEXT NOT NULL, severity TEXT NOT NULL,
        state TEXT NOT NULL, since_us INTEGER NOT NULL, body TEXT NOT NULL, value REAL, kind TEXT NOT NULL,
        site TEXT NOT NULL, changed_us INTEGER NOT NULL, acknowledged_us INTEGER NOT NULL,
        acknowledged_by TEXT NOT NULL
    );
    CREATE UNIQUE INDEX alert_standing ON alert (name, subject) WHERE state <> 'cleared';
    CREATE INDEX alert_past ON alert (changed_us) WHERE state = 'cleared';
    """,
    "CREATE INDEX series_sensor ON series (sensor);",
    # Until now the reason alone told of it.
    """
    ALTER TABLE dead_letter ADD COLUMN truncated INTEGER NOT NULL DEFAULT 0;
    UPDATE dead_letter SET truncated = 1
    WHERE (length(payload) = 65536 AND reason LIKE '% are allowed (only its first %')
        OR reason LIKE 'the broker sent a PUBLISH %';
    """,
    """
    DROP INDEX reading_identity;
    CREATE INDEX reading_identity ON reading (series_id, boot, seq)
        WHERE seq > -9223372036854775808 AND (received_us = ts_us OR received_us = 0);
    """,
    "CREATE TABLE stale (series_id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL);",
)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file up to this program's version, each step in a transaction of its own.

    Raises `StoreError` when the file is another program's, or of a newer version than this one.
    """
    version = _version(connection, path)
    if version == len(_STEPS):
        return
    for number in range(version, len(_STEPS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection, path) == number:  # another process may have been quicker
                for statement in _STEPS[number].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection, path: str) -> None:
    """Raise `StoreError` unless the file has this version's tables (for those who only read)."""
    if _version(connection, path) != len(_STEPS):
        raise StoreError(f"the store {path} was never written by an ingest worker of this version")


def _version(connection: sqlite3.Connection, path: str) -> int:
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or version or tables:
            raise StoreError(
                f"the file {path} is a database of another program: name a file of its own", retryable=False
            )
    if version > len(_STEPS):
        raise StoreError(
            f"the store {path} was written by a newer version of this program (format {version}, "
            f"this one knows {len(_STEPS)})",
            retryable=False,
        )
    return version
