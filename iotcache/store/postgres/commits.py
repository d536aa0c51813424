"""Commits of readings and dead letters: one transaction each, by COPY where all readings are likely new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

import psycopg

from iotcache.errors import StoreError
from iotcache.model import DeadLetter, Reading, Series, StoredReading
from iotcache.store.base import Committed
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.connection import WriterConnection
from iotcache.store.postgres.identity import without_repeats
from iotcache.store.postgres.partitions import TABLE, Partitions
from iotcache.store.postgres.readings import copy_all, insert_new, move_latest
from iotcache.store.postgres.rows import ReadingRow, reading_row, series_arrays, texts_array
from iotcache.store.postgres.types import Connection
from iotcache.store.rows import (
    Names,
    SeriesRow,
    dead_letter_row,
    escape_text,
    key_order,
    unescape_text,
)

DUPLICATES_EXPECTED_AT_START: Final = 4
"""Commits after the start: what a broker sends first it may have sent before."""
DUPLICATES_EXPECTED_AFTER: Final = 64
"""Commits after one with a duplicate: redeliveries come in swarms."""
_SERIES_REMEMBERED: Final = 500_000


class Commits:
    """Writes batches, and remembers the series and how likely duplicates are."""

    def __init__(
        self,
        writer: WriterConnection,
        partitions: Partitions,
        *,
        duplicates_expected_at_start: int = DUPLICATES_EXPECTED_AT_START,
        duplicates_expected_after: int = DUPLICATES_EXPECTED_AFTER,
    ) -> None:
        self._writer = writer
        self._partitions = partitions
        self._known: dict[Names, SeriesRow] = {}
        self.duplicates_expected = duplicates_expected_at_start
        """For how many commits more duplicates are expected."""
        self._duplicates_expected_after = duplicates_expected_after

    async def commit(
        self,
        connection: Connection,
        readings: Sequence[StoredReading],
        dead_letters: Sequence[DeadLetter],
        redriven: Sequence[int],
    ) -> Committed:
        """See `iotcache.store.base.Store.commit`."""
        optimistic = not self.duplicates_expected and bool(readings)
        if readings and self.duplicates_expected:
            self.duplicates_expected -= 1
        others = dead_letters, redriven
        try:
            return await self._commit(connection, readings, others, optimistic=optimistic)
        except psycopg.errors.UniqueViolation:
            if not optimistic:
                raise
            self.duplicates_expected = self._duplicates_expected_after
            return await self._commit(connection, readings, others, optimistic=False)

    async def _commit(
        self,
        connection: Connection,
        readings: Sequence[StoredReading],
        others: tuple[Sequence[DeadLetter], Sequence[int]],
        *,
        optimistic: bool,
    ) -> Committed:
        """One transaction. ``optimistic``: it fails when some of the readings are stored already.

        Nearly every batch is new from end to end, and COPY, which cannot skip duplicates, takes a third less
        time. A COPY that fails leaves dead rows behind, so after it duplicates are expected for a while.
        """
        new: dict[Names, SeriesRow] = {}
        stored_count, newest, conflicts = 0, tuple[StoredReading, ...](), list[DeadLetter]()
        async with self._writer.transaction(connection):
            if readings:
                await self._identify(connection, readings, new)
                try:
                    stored_count, newest, conflicts = await self._store(
                        connection, self._rows(readings, new), optimistic=optimistic
                    )
                except psycopg.errors.UndefinedTable as error:
                    self._partitions.forget()
                    raise StoreError("a partition of the readings was removed by hand") from error
            dead_letters, redriven = others
            if dead_letters or conflicts:
                letters = map(dead_letter_row, (*dead_letters, *conflicts))
                await connection.cursor().executemany(sql.ADD_DEAD_LETTER, sorted(letters, key=itemgetter(4)))
            if redriven:
                await connection.execute(sql.REMOVE_DEAD_LETTERS, (list(redriven),))
        if len(self._known) + len(new) > _SERIES_REMEMBERED:
            self._known.clear()
        self._known.update(new)
        duplicates = len(readings) - stored_count - len(conflicts)
        return Committed(stored_count, duplicates, newest, len(conflicts))

    async def _store(
        self, connection: Connection, given: Sequence[ReadingRow], *, optimistic: bool
    ) -> tuple[int, tuple[StoredReading, ...], list[DeadLetter]]:
        """Store readings; returns how many are new, those that are the latest of their series now, and dead
        letters of those that contradict what is stored."""
        rows = await without_repeats(connection, given)
        if not rows:
            return 0, (), []
        table = self._partitions.target([row[1] for row in rows])
        if optimistic and len(rows) == len(given) and table != TABLE:
            return len(rows), await copy_all(connection, table, rows), []
        count, in_history, conflicts = await insert_new(connection, table, rows)
        if count < len(rows):
            self.duplicates_expected = self._duplicates_expected_after
        return count, await move_latest(connection, in_history), conflicts

    def _rows(self, readings: Sequence[StoredReading], new: Mapping[Names, SeriesRow]) -> list[ReadingRow]:
        """The row of each reading with the reading itself, in the order of their keys."""
        known = self._known
        rows = []
        for stored in readings:
            reading = stored.reading
            names = reading.device, reading.sensor
            rows.append((*reading_row(reading, known.get(names) or new[names]), stored))
        rows.sort(key=key_order)
        return rows

    async def _identify(
        self, connection: Connection, readings: Sequence[StoredReading], new: dict[Names, SeriesRow]
    ) -> None:
        """Fill ``new`` with the row of each series not remembered yet, inserting those not stored yet."""
        known = self._known
        if {(stored.reading.device, stored.reading.sensor) for stored in readings} <= known.keys():
            return
        first: dict[Series, Reading] = {}
        for stored in readings:
            reading = stored.reading
            if (reading.device, reading.sensor) not in known:
                first.setdefault(reading.series, reading)
        await self._look_up(connection, list(first), new)
        missing = [series for series in first if series not in new]
        if not missing:
            return
        # Ids must become visible in their order, or a reader of the directory could skip one.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (sql.LOCK,))
        await connection.execute(
            sql.ADD_SERIES,
            (
                *series_arrays(missing),
                texts_array(escape_text(first[series].site) for series in missing),
                texts_array(escape_text(first[series].unit) for series in missing),
            ),
        )
        await self._look_up(connection, missing, new)

    async def _look_up(
        self, connection: Connection, series: Sequence[Series], new: dict[Names, SeriesRow]
    ) -> None:
        rows = await connection.execute(sql.FIND_SERIES, series_arrays(series))
        for n, series_id, site, unit in await rows.fetchall():
            new[series[n - 1]] = SeriesRow(series_id, unescape_text(site), unescape_text(unit))
