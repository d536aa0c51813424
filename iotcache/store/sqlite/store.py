"""The SQLite store: one file, a thread that writes it and a thread that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store.base import (
    SERIES_PAGE,
    Alerts,
    Committed,
    DeadLetters,
    Documents,
    SeriesInfo,
    StoreCounts,
    WindowPage,
)
from iotcache.store.sqlite.alerts import SqliteAlerts
from iotcache.store.sqlite.dead_letters import SqliteDeadLetters
from iotcache.store.sqlite.documents import SqliteDocuments
from iotcache.store.sqlite.reader import SqliteReader
from iotcache.store.sqlite.thread import FileThread
from iotcache.store.sqlite.writer import SqliteWriter


class SqliteStore:
    """`iotcache.store.base.Store` over SQLite in WAL mode.

    Reads have a connection of their own: in WAL mode they neither wait for the writer nor delay it, within
    this process and from others. Opened ``read_only`` it creates nothing and refuses to write.
    """

    grain_us = 0
    """Old readings are deleted row by row."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0, read_only: bool = False) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._read_only = read_only
        self.writer = FileThread("store-write", self._open_writer)
        """The connection that writes; opened when first used."""
        self.reader = FileThread("store-read", self._open_reader)
        """The connection that reads; opened when first used."""
        self.documents: Documents = SqliteDocuments(self.writer, self.reader)
        self.dead_letters: DeadLetters = SqliteDeadLetters(self.writer, self.reader)
        self.alerts: Alerts = SqliteAlerts(self.writer, self.reader)

    def _open_writer(self) -> SqliteWriter:
        if self._read_only:
            raise StoreError(f"the store {self._path} was opened for reading only", retryable=False)
        return SqliteWriter(self._path, busy_timeout_s=self._busy_timeout_s)

    def _open_reader(self) -> SqliteReader:
        return SqliteReader(self._path, busy_timeout_s=self._busy_timeout_s)

    async def open(self) -> None:
        """Create the file or its tables when they are missing. Raises `StoreError`."""
        if not self._read_only:
            await self.writer.open()
        await self.reader.open()

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        redriven: Sequence[int] = (),
    ) -> Committed:
        return await self.writer.run(SqliteWriter.commit, readings, dead_letters, redriven)

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        return await self.writer.run(SqliteWriter.prune, before_us, limit)

    async def mark_stale(self, series: Sequence[Series], at_us: int) -> None:
        await self.writer.run(SqliteWriter.mark_stale, series, at_us)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        return await self.reader.run(SqliteReader.latest_many, series)

    async def series_of(
        self, device: str, site: str, *, with_below: bool, limit: int = 20_000
    ) -> Sequence[Series]:
        return await self.reader.run(SqliteReader.series_of, device, site, limit, with_below=with_below)

    async def directory(self, above: int = 0, limit: int = 10_000) -> Sequence[SeriesInfo]:
        return await self.reader.run(SqliteReader.directory, above, limit)

    async def history(
        self, series: Series, since_us: int, until_us: int, limit: int = 10_000
    ) -> Sequence[Reading]:
        return await self.reader.run(SqliteReader.history, series, since_us, until_us, limit)

    async def window(
        self,
        site: str,
        sensor: str,
        since_us: int,
        until_us: int,
        above: int = 0,
        *,
        series_limit: int = SERIES_PAGE,
    ) -> WindowPage:
        return await self.reader.run(
            SqliteReader.window, site, sensor, since_us, until_us, above, series_limit=series_limit
        )

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        return await self.reader.run(SqliteReader.recent_dead_letters, limit)

    async def counts(self) -> StoreCounts:
        return await self.reader.run(SqliteReader.counts)

    async def ping(self) -> None:
        await self.reader.run(SqliteReader.ping)

    async def close(self) -> None:
        await self.reader.close()
        await self.writer.close()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except StoreError as error:
            if not error.retryable:  # an outage ends by itself, and the first use reports it if it has not
                await self.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
