"""The SQLite store: one file, a thread that writes it and a thread that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store.base import Alerts, Committed, DeadLetters, Documents, SeriesInfo, StoreCounts
from iotcache.store.sqlite.alerts import SqliteAlerts
from iotcache.store.sqlite.db_thread import DbThread
from iotcache.store.sqlite.dead_letters import SqliteDeadLetters
from iotcache.store.sqlite.documents import SqliteDocuments
from iotcache.store.sqlite.file import SqliteFile
from iotcache.store.windows import WindowPage

T = TypeVar("T")


class SqliteStore:
    """`iotcache.store.base.Store` over SQLite in WAL mode.

    Reads have a connection of their own: in WAL they neither wait for the writer nor hold it up, within
    this process and from others. Opened ``read_only`` it makes nothing and refuses to write.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0, read_only: bool = False) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._read_only = read_only
        self._writing = _ThreadedConnection("store-write", self._open_writer)
        self._reading = _ThreadedConnection("store-read", self._open_reader)
        self.documents: Documents = SqliteDocuments(self._writing.run, self._reading.run)
        self.dead_letters: DeadLetters = SqliteDeadLetters(self._writing.run, self._reading.run)
        self.alerts: Alerts = SqliteAlerts(self._writing.run, self._reading.run)

    def _open_writer(self) -> SqliteFile:
        if self._read_only:
            raise StoreError(f"the store {self._path} was opened for reading only", retryable=False)
        return SqliteFile(self._path, busy_timeout_s=self._busy_timeout_s, read_only=False)

    def _open_reader(self) -> SqliteFile:
        return SqliteFile(self._path, busy_timeout_s=self._busy_timeout_s, read_only=True)

    async def open(self) -> None:
        """Make the file or its tables when they are missing. Raises `StoreError`."""
        if not self._read_only:
            await self._writing.open()
        await self._reading.open()

    grain_us = 0
    """Old readings go one by one."""

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        settled: Sequence[int] = (),
    ) -> Committed:
        return await self._writing.run(SqliteFile.commit, readings, dead_letters, settled)

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        return await self._writing.run(SqliteFile.prune, before_us, limit)

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        return await self._reading.run(SqliteFile.latest_many, series)

    async def directory(self, above: int = 0, limit: int = 10_000) -> Sequence[SeriesInfo]:
        return await self._reading.run(SqliteFile.directory, above, limit)

    async def history(
        self, series: Series, since_us: int, until_us: int, limit: int = 10_000
    ) -> Sequence[Reading]:
        return await self._reading.run(SqliteFile.history, series, since_us, until_us, limit)

    async def window(
        self, site: str, sensor: str, since_us: int, until_us: int, above: int = 0
    ) -> WindowPage:
        return await self._reading.run(SqliteFile.window, site, sensor, since_us, until_us, above)

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        return await self._reading.run(SqliteFile.recent_dead_letters, limit)

    async def counts(self) -> StoreCounts:
        return await self._reading.run(SqliteFile.counts)

    async def ping(self) -> None:
        await self._reading.run(SqliteFile.ping)

    async def close(self) -> None:
        await self._reading.close()
        await self._writing.close()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except StoreError as error:
            if not error.retryable:  # an outage ends by itself; the first use will tell if it has
                await self.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _ThreadedConnection:
    """A connection on a thread of its own, opened on that thread when first needed."""

    def __init__(self, name: str, opener: Callable[[], SqliteFile]) -> None:
        self._lane = DbThread(name)
        self._opener = opener
        self._file: SqliteFile | None = None
        self._closed = False

    async def open(self) -> None:
        await self._lane.run(self._ready)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise StoreError("the store is closed", retryable=False)
        return await self._lane.run(self._work, work, *arguments)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._lane.run(self._shut)
            self._lane.close()

    def _ready(self) -> SqliteFile:
        if self._file is None:
            self._file = self._opener()
        return self._file

    def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self._ready(), *arguments)

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
