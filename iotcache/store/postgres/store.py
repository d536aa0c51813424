"""The PostgreSQL store: psycopg 3, a connection that writes and a few that read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from iotcache.clock import SYSTEM_CLOCK, Clock
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
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.alerts import PostgresAlerts
from iotcache.store.postgres.commits import (
    DUPLICATES_EXPECTED_AFTER,
    DUPLICATES_EXPECTED_AT_START,
    Commits,
)
from iotcache.store.postgres.connection import WriterConnection, connection_settings
from iotcache.store.postgres.dead_letters import PostgresDeadLetters
from iotcache.store.postgres.documents import PostgresDocuments
from iotcache.store.postgres.errors import address
from iotcache.store.postgres.partitions import DAY_US, LOCK_TIMEOUT_S, Partitions
from iotcache.store.postgres.reader_pool import ReaderPool
from iotcache.store.postgres.rows import decode_value, numbers_array, series_arrays
from iotcache.store.postgres.types import Connection, Row
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


class PostgresStore:
    """`iotcache.store.base.Store` over PostgreSQL 13 or newer, tables in the schema ``iotcache``.

    It connects when first used and again after every outage, directly or through a pooler such as PgBouncer
    in transaction mode. Opened ``read_only`` it creates no tables.
    """

    grain_us = DAY_US
    """Old readings are deleted a day at a time."""

    def __init__(
        self,
        url: str,
        *,
        password: str = "",
        read_only: bool = False,
        retention_days: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        duplicates_expected_at_start: int = DUPLICATES_EXPECTED_AT_START,
        duplicates_expected_after: int = DUPLICATES_EXPECTED_AFTER,
    ) -> None:
        """Days further back than ``retention_days`` get no partition of their own.

        ``lock_timeout_s`` bounds the wait for the lock that making or dropping a partition needs. The last
        two say for how many commits duplicates are expected, so that COPY is not tried.
        """
        settings = connection_settings(url, password)
        self.url = f"postgresql://{address(settings)}"
        self._read_only = read_only
        self._writer = WriterConnection(settings, read_only=read_only)
        self._readers = ReaderPool(settings)
        self._partitions = Partitions(retention_days, clock, lock_timeout_s=lock_timeout_s)
        self._commits = Commits(
            self._writer,
            self._partitions,
            duplicates_expected_at_start=duplicates_expected_at_start,
            duplicates_expected_after=duplicates_expected_after,
        )
        self._ready = read_only
        """Whether the tables are known to be there."""
        self._closed = False
        self.documents: Documents = PostgresDocuments(self._begin, self._query)
        self.dead_letters: DeadLetters = PostgresDeadLetters(self._begin, self._query)
        self.alerts: Alerts = PostgresAlerts(self._begin, self._query)

    @property
    def duplicates_expected(self) -> int:
        """For how many commits more duplicates are expected."""
        return self._commits.duplicates_expected

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        redriven: Sequence[int] = (),
    ) -> Committed:
        """See `iotcache.store.base.Store.commit`."""
        times_us = [stored.reading.ts_us for stored in readings]
        await self._partitions.make_room(times_us, self._begin)
        async with self._write() as connection:
            return await self._commits.commit(connection, readings, dead_letters, redriven)

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """See `iotcache.store.base.Store.prune`."""
        async with self._begin() as connection:
            deleted = await self._partitions.prune(connection, before_us, limit)
            if deleted >= limit:
                return deleted
            done = await connection.execute(sql.PRUNE_DEAD_LETTERS, (before_us, limit - deleted))
            return deleted + done.rowcount

    async def mark_stale(self, series: Sequence[Series], at_us: int) -> None:
        """See `iotcache.store.base.Store.mark_stale`."""
        async with self._write() as connection, self._writer.transaction(connection):
            await connection.execute(sql.MARK_STALE, (at_us, *series_arrays(series)))

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        """See `iotcache.store.base.Store.latest_many`."""
        latest: dict[Series, StoredReading] = {}
        rows = await self._query(sql.LATEST, series_arrays(series))
        for n, ts_us, seq, boot, number, exact, received_us, unit, site, interval_s, until_us, stale in rows:
            key = Series(*series[n - 1])
            reading = Reading(
                key.device, key.sensor, decode_value(number, exact), ts_us, unescape_text(unit),
                unescape_text(site), None if seq == NO_SEQ else seq, unescape_text(boot), received_us,
                interval_s, stale=stale,
            )  # fmt: skip
            latest[key] = StoredReading(reading, until_us)
        return latest

    async def series_of(
        self, device: str, site: str, *, with_below: bool, limit: int = 20_000
    ) -> Sequence[Series]:
        """See `iotcache.store.base.Store.series_of`."""
        own = escape_text(device)
        rows = await self._query(sql.SERIES_OF, (own, with_below, f"{own}/", escape_text(site), limit))
        return [Series(unescape_text(name), unescape_text(sensor)) for name, sensor in rows]

    async def directory(self, above: int = 0, limit: int = 10_000) -> Sequence[SeriesInfo]:
        """See `iotcache.store.base.Store.directory`."""
        rows = await self._query(sql.DIRECTORY, (above, limit))
        return [
            SeriesInfo(
                Series(unescape_text(device), unescape_text(sensor)),
                unescape_text(site),
                unescape_text(unit),
                interval_s,
                order,
            )
            for order, device, sensor, site, unit, interval_s in rows
        ]

    async def history(
        self, series: Series, since_us: int, until_us: int, limit: int = 10_000
    ) -> Sequence[Reading]:
        """See `iotcache.store.base.Store.history`."""
        device, sensor = escape_text(series.device), escape_text(series.sensor)
        rows = await self._query(
            sql.HISTORY, (device, sensor, max(since_us, INT64_MIN), min(until_us, INT64_MAX), limit)
        )
        return [
            history_reading(
                series, decode_value(number, exact), (ts_us, seq, boot), (received_us, overrides, site, unit)
            )
            for ts_us, seq, boot, number, exact, received_us, overrides, site, unit in reversed(rows)
        ]

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
        """See `iotcache.store.base.Store.window`."""
        stored_site = escape_text(site)
        series = await self._query(
            sql.SERIES_OF_SITE, (escape_text(sensor), above, stored_site, stored_site, series_limit)
        )
        if not series:
            return WindowPage([], 0)
        ids = [series_id for (series_id,) in series]
        rows = await self._query(
            sql.WINDOW, (numbers_array(ids), max(since_us, INT64_MIN), min(until_us, INT64_MAX))
        )
        figures = [(ts_us, number) for ts_us, number, _, _ in of_site(rows, site)]
        return WindowPage(figures, ids[-1] if len(ids) == series_limit else 0)

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """See `iotcache.store.base.Store.recent_dead_letters`."""
        return [dead_letter_of(row) for row in await self._query(sql.RECENT_DEAD_LETTERS, (limit,))]

    async def counts(self) -> StoreCounts:
        """See `iotcache.store.base.Store.counts`."""
        (row,) = await self._query(sql.COUNTS)
        return StoreCounts(*row)

    async def ping(self) -> None:
        """See `iotcache.store.base.Store.ping`."""
        await self._query("SELECT version FROM iotcache.format")

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._writer.close()
        await self._readers.close()

    async def __aenter__(self) -> Self:
        try:
            await self._create_tables()
        except StoreError as error:
            if not error.retryable:  # an outage ends by itself, and the first use reports it if it has not
                await self.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", retryable=False)

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Connection]:
        """The connection that writes, outside a transaction."""
        self._check_open()
        if self._read_only:
            raise StoreError(f"the store {self.url} was opened for reading only", retryable=False)
        async with self._writer.use() as connection:
            self._ready = True
            yield connection

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Connection]:
        """The connection that writes, in a transaction of its own."""
        async with self._write() as connection, self._writer.transaction(connection):
            yield connection

    async def _create_tables(self) -> None:
        if not self._ready:
            async with self._writer.use():
                self._ready = True

    async def _query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        self._check_open()
        await self._create_tables()
        return await self._readers.fetch(statement, parameters)
