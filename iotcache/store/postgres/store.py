"""The PostgreSQL store: psycopg 3, a connection that writes and a few that read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import itemgetter
from types import TracebackType
from typing import Final, Self

import psycopg

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store.base import Alerts, Committed, DeadLetters, Documents, SeriesInfo, StoreCounts
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.alerts import PostgresAlerts
from iotcache.store.postgres.connection import Connection, PgConnection, Row, connection_settings, lost, place
from iotcache.store.postgres.dead_letters import PostgresDeadLetters
from iotcache.store.postgres.documents import PostgresDocuments
from iotcache.store.postgres.partitions import DAY_US, TABLE, Partitions
from iotcache.store.postgres.readings import (
    copy_all,
    insert_new,
    move_latest,
    not_stamped_before,
)
from iotcache.store.postgres.rows import ReadingRow, give_value, numbers_array, reading_row, texts_array
from iotcache.store.rows import (
    INT64_MAX,
    INT64_MIN,
    NO_SEQ,
    Names,
    SeriesRow,
    give_text,
    history_reading,
    keep_text,
    key_order,
    letter_row,
)  # fmt: skip
from iotcache.store.windows import SERIES_PAGE, WindowPage, of_site

_READERS: Final = 3
_SERIES_REMEMBERED: Final = 500_000
_WARY_AT_FIRST: Final = 4
"""What a broker sends first may be what it sent before."""
_WARY_COMMITS: Final = 64


class PostgresStore:
    """`iotcache.store.base.Store` over PostgreSQL 13 or newer, tables in the schema ``iotcache``.

    It connects when first used and again after every outage. Opened ``read_only`` it makes no tables.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str = "",
        read_only: bool = False,
        retention_days: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Days further back than ``retention_days`` get no partition of their own."""
        settings = connection_settings(url, password)
        self.url = f"postgresql://{place(settings)}"
        self._read_only = read_only
        self._writer = PgConnection(settings, read_only=read_only)
        self._readers = [PgConnection(settings, read_only=True) for _ in range(_READERS)]
        self._free: asyncio.LifoQueue[PgConnection] = asyncio.LifoQueue()
        for line in self._readers:
            self._free.put_nowait(line)
        self._known: dict[Names, SeriesRow] = {}
        self._partitions = Partitions(retention_days, clock)
        self._ready = read_only
        self._wary = _WARY_AT_FIRST
        """Commits for which readings that are there already are reckoned with."""
        self._closed = False
        self.documents: Documents = PostgresDocuments(self._transaction, self._query)
        self.dead_letters: DeadLetters = PostgresDeadLetters(self._transaction, self._query)
        self.alerts: Alerts = PostgresAlerts(self._transaction, self._query)

    grain_us = DAY_US
    """Old readings go a day at a time."""

    async def commit(
        self,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter] = (),
        settled: Sequence[int] = (),
    ) -> Committed:
        """See `iotcache.store.base.Store.commit`."""
        times_us = [stored.reading.ts_us for stored in readings]
        await self._partitions.make_room(times_us, self._transaction)
        hopeful = not self._wary and bool(readings)
        self._wary = max(0, self._wary - bool(readings))
        rest = dead_letters, settled
        async with self._writing() as connection:
            try:
                return await self._commit(connection, readings, rest, hopeful=hopeful)
            except psycopg.errors.UniqueViolation:
                if not hopeful:
                    raise
                self._wary = _WARY_COMMITS
                return await self._commit(connection, readings, rest, hopeful=False)

    async def _commit(
        self,
        connection: Connection,
        readings: Sequence[StoredReading],
        rest: tuple[Sequence[DeadLetter], Sequence[int]],
        *,
        hopeful: bool,
    ) -> Committed:
        """One transaction. ``hopeful``: it need not go through when some of the readings are there already.

        Nearly every batch is new from end to end, and COPY, which cannot be ready for the opposite, takes a
        third less time. One that fails leaves dead rows behind, so after it the next ones are wary.
        """
        found: dict[Names, SeriesRow] = {}
        stored_count, newest = 0, tuple[StoredReading, ...]()
        async with connection.transaction():
            if readings:
                if not self._knows(readings):
                    await self._identify(connection, readings, found)
                try:
                    stored_count, newest = await self._store(
                        connection, self._rows(readings, found), hopeful=hopeful
                    )
                except psycopg.errors.UndefinedTable as error:
                    self._partitions.forget()
                    raise StoreError("a partition of the readings was removed by hand") from error
            dead_letters, settled = rest
            if dead_letters:
                await connection.cursor().executemany(
                    sql.ADD_DEAD_LETTER, sorted(map(letter_row, dead_letters), key=itemgetter(4))
                )
            if settled:
                await connection.execute("DELETE FROM dead_letter WHERE id = ANY(%s)", (list(settled),))
        if len(self._known) + len(found) > _SERIES_REMEMBERED:
            self._known.clear()
        self._known.update(found)
        return Committed(stored_count, len(readings) - stored_count, newest)

    async def _store(
        self, connection: Connection, given: Sequence[ReadingRow], *, hopeful: bool
    ) -> tuple[int, tuple[StoredReading, ...]]:
        """Store readings: how many are new, and the series that they moved on."""
        rows = await not_stamped_before(connection, given)
        if not rows:
            return 0, ()
        table = self._partitions.target([row[1] for row in rows])
        if hopeful and len(rows) == len(given) and table != TABLE:
            return len(rows), await copy_all(connection, table, rows)
        count, there = await insert_new(connection, table, rows)
        if count < len(rows):
            self._wary = _WARY_COMMITS
        return count, await move_latest(connection, there)

    def _knows(self, readings: Sequence[StoredReading]) -> bool:
        """Whether the rows of all series are at hand."""
        names = {(stored.reading.device, stored.reading.sensor) for stored in readings}
        return names <= self._known.keys()

    def _rows(self, readings: Sequence[StoredReading], found: Mapping[Names, SeriesRow]) -> list[ReadingRow]:
        """The row of each reading, and the reading behind it, in the order of their keys."""
        known = self._known
        rows = []
        for stored in readings:
            reading = stored.reading
            names = reading.device, reading.sensor
            rows.append((*reading_row(reading, known.get(names) or found[names]), stored))
        rows.sort(key=key_order)
        return rows

    async def _identify(
        self, connection: Connection, readings: Sequence[StoredReading], found: dict[Names, SeriesRow]
    ) -> None:
        """Fill ``found`` with the row of each series not known yet; new ones are made."""
        new: dict[Series, Reading] = {}
        for stored in readings:
            reading = stored.reading
            if (reading.device, reading.sensor) not in self._known:
                new.setdefault(reading.series, reading)
        if not new:
            return
        await self._look_up(connection, list(new), found)
        missing = [series for series in new if series not in found]
        if not missing:
            return
        # Ids must become visible in their order, or a reader of the directory could pass one by.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (sql.LOCK,))
        await connection.execute(
            sql.ADD_SERIES,
            (
                texts_array(keep_text(series.device) for series in missing),
                texts_array(keep_text(series.sensor) for series in missing),
                texts_array(keep_text(new[series].site) for series in missing),
                texts_array(keep_text(new[series].unit) for series in missing),
            ),
        )
        await self._look_up(connection, missing, found)

    async def _look_up(
        self, connection: Connection, series: Sequence[Series], found: dict[Names, SeriesRow]
    ) -> None:
        found_rows = await connection.execute(sql.FIND_SERIES, _names(series))
        for n, number, site, unit in await found_rows.fetchall():
            found[series[n - 1]] = SeriesRow(number, give_text(site), give_text(unit))

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        """See `iotcache.store.base.Store.prune`."""
        async with self._transaction() as connection:
            gone = await self._partitions.prune(connection, before_us, limit)
            if gone >= limit:
                return gone
            done = await connection.execute(sql.PRUNE_DEAD_LETTERS, (before_us, limit - gone))
            return gone + done.rowcount

    async def latest_many(self, series: Sequence[Series]) -> Mapping[Series, StoredReading]:
        """See `iotcache.store.base.Store.latest_many`."""
        answer: dict[Series, StoredReading] = {}
        for n, ts_us, seq, boot, number, exact, received_us, unit, site, interval_s, until_us in (
            await self._query(sql.LATEST, _names(series))
        ):  # fmt: skip
            one = Series(*series[n - 1])
            reading = Reading(
                one.device, one.sensor, give_value(number, exact), ts_us, give_text(unit), give_text(site),
                None if seq == NO_SEQ else seq, give_text(boot), received_us, interval_s,
            )  # fmt: skip
            answer[one] = StoredReading(reading, until_us)
        return answer

    async def directory(self, above: int = 0, limit: int = 10_000) -> Sequence[SeriesInfo]:
        """See `iotcache.store.base.Store.directory`."""
        rows = await self._query(sql.DIRECTORY, (above, limit))
        return [
            SeriesInfo(
                Series(give_text(device), give_text(sensor)),
                give_text(site),
                give_text(unit),
                interval_s,
                order,
            )
            for order, device, sensor, site, unit, interval_s in rows
        ]  # fmt: skip

    async def history(
        self, series: Series, since_us: int, until_us: int, limit: int = 10_000
    ) -> Sequence[Reading]:
        """See `iotcache.store.base.Store.history`."""
        rows = await self._query(
            sql.HISTORY,
            (
                keep_text(series.device),
                keep_text(series.sensor),
                max(since_us, INT64_MIN),
                min(until_us, INT64_MAX),
                limit,
            ),
        )
        return [
            history_reading(
                series, give_value(number, exact), (ts_us, seq, boot), (received_us, odd, site, unit)
            )
            for ts_us, seq, boot, number, exact, received_us, odd, site, unit in reversed(rows)
        ]

    async def window(
        self, site: str, sensor: str, since_us: int, until_us: int, above: int = 0
    ) -> WindowPage:
        """See `iotcache.store.base.Store.window`."""
        kept = keep_text(site)
        series = await self._query(sql.OF_SITE, (keep_text(sensor), above, kept, kept, SERIES_PAGE))
        if not series:
            return WindowPage([], 0)
        ids = [number for (number,) in series]
        rows = await self._query(
            sql.WINDOW, (numbers_array(ids), max(since_us, INT64_MIN), min(until_us, INT64_MAX))
        )
        figures = [(ts_us, number) for ts_us, number, _, _ in of_site(rows, site)]
        return WindowPage(figures, ids[-1] if len(ids) == SERIES_PAGE else 0)

    async def recent_dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """See `iotcache.store.base.Store.dead_letters`."""
        rows = await self._query(sql.DEAD_LETTERS, (limit,))
        return [
            DeadLetter(give_text(topic), payload, give_text(reason), at)
            for topic, payload, reason, at in rows
        ]

    async def counts(self) -> StoreCounts:
        """See `iotcache.store.base.Store.counts`."""
        (row,) = await self._query(sql.COUNTS)
        return StoreCounts(*row)

    async def ping(self) -> None:
        """See `iotcache.store.base.Store.ping`."""
        await self._query("SELECT version FROM format")

    async def close(self) -> None:
        self._closed = True
        for line in (self._writer, *self._readers):
            await line.close()

    async def __aenter__(self) -> Self:
        try:
            await self._make_tables()
        except StoreError as error:
            if not error.retryable:  # an outage ends by itself; the first use will tell if it has
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

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        """The connection that writes."""
        self._check_open()
        if self._read_only:
            raise StoreError(f"the store {self.url} was opened for reading only", retryable=False)
        async with self._writer.use() as connection:
            self._ready = True
            yield connection

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """The connection that writes, in a transaction of its own."""
        async with self._writing() as connection, connection.transaction():
            yield connection

    async def _make_tables(self) -> None:
        if not self._ready:
            async with self._writer.use():
                self._ready = True

    async def _query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        self._check_open()
        await self._make_tables()
        line = await self._free.get()  # the one used last, so that a quiet store keeps one connection open
        try:
            kept = line.connected
            try:
                return await line.fetch(statement, parameters)
            except StoreError as error:
                # A connection kept since before the server's restart tells of that only when it is used.
                if not (kept and lost(error)):
                    raise
            return await line.fetch(statement, parameters)
        finally:
            self._free.put_nowait(line)


def _names(series: Sequence[Series]) -> tuple[str, str]:
    return (
        texts_array(keep_text(device) for device, _ in series),
        texts_array(keep_text(sensor) for _, sensor in series),
    )
