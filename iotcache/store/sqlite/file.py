"""One connection to the SQLite file: opening it, transactions and errors, in plain blocking calls.

`iotcache.store.sqlite.writer` and `iotcache.store.sqlite.reader` add what is written and read,
`iotcache.store.sqlite.thread` runs it beside the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from iotcache.errors import StoreEmpty, StoreError
from iotcache.private_files import make_private_file
from iotcache.store.sqlite.schema import check, migrate

_CACHE_KIB: Final = 64 * 1024
_CHECKPOINT_PAGES: Final = 8_000
"""The log is folded into the file every 32 MB: a page changed by many batches is then written once."""


class SqliteFile:
    """An open SQLite file. Raises `StoreError` from every method; not for use by two threads at once."""

    def __init__(self, path: Path, *, busy_timeout_s: float, read_only: bool) -> None:
        self._path = path
        if not path.parent.is_dir():
            raise StoreError(f"the folder of the store {path} does not exist: make it first", retryable=False)
        if read_only and not path.exists():
            raise StoreEmpty(f"there is no store {path} yet: an ingest worker makes it")
        if not read_only:
            try:
                # SQLite gives its log and index files the mode of the database.
                make_private_file(path)
            except OSError as error:
                raise StoreError(f"the store {path} cannot be made: {error.strerror}") from error
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
        """Close the connection."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back when it raises."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self.explained(error) from error
            raise

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self.explained(error) from error

    def explained(self, error: sqlite3.Error) -> StoreError:
        """SQLite's error as a sentence about this file (result codes: https://www.sqlite.org/rescode.html)."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        path = self._path
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreError(f"the store {path} is locked by another process")
            case sqlite3.SQLITE_FULL:
                return StoreError(f"the disk of the store {path} is full")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                return StoreError(f"the store {path} or its folder may not be written", retryable=False)
            case sqlite3.SQLITE_CANTOPEN:
                return StoreError(
                    f"the store {path} cannot be opened: is its folder writable?", retryable=False
                )
            case sqlite3.SQLITE_NOTADB:
                return StoreError(f"the file {path} is not an SQLite database", retryable=False)
            case sqlite3.SQLITE_CORRUPT:
                return StoreError(f"the store {path} is damaged: {error}", retryable=False)
            case _:
                return StoreError(f"the store {path} failed: {error}")
