"""Readings on their way into PostgreSQL: all in one go, or those that are new; then the newest of each."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from iotcache.model import StoredReading
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.connection import Connection
from iotcache.store.postgres.partitions import LOOK_BACK_US
from iotcache.store.postgres.rows import ReadingRow, arrays, copy_rows
from iotcache.store.rows import INT64_MIN, NO_SEQ, age_key, keep_text


async def copy_all(
    connection: Connection, table: str, rows: Sequence[ReadingRow]
) -> tuple[StoredReading, ...]:
    """Store readings of one partition that are all new; the series that they moved on.

    Raises `psycopg.errors.UniqueViolation`, and the transaction is lost, when one of them is there.
    """
    copy = SQL(sql.COPY_READINGS).format(table=Identifier(table))
    async with connection.cursor().copy(copy) as stream:
        await stream.write(copy_rows(rows))
    return await move_latest(connection, rows, (table, len(rows)))


async def insert_new(
    connection: Connection, table: str, rows: Sequence[ReadingRow]
) -> tuple[int, Sequence[ReadingRow]]:
    """Store those readings that are new: how many were, and those that stand in the table as they are."""
    statement = SQL(sql.INSERT_READINGS).format(table=Identifier(table))
    done = await (await connection.execute(statement, arrays(rows, sql.READING_KINDS))).fetchone()
    count = int(done[0]) if done is not None else 0
    return count, rows if count == len(rows) else await _standing(connection, rows)


async def _standing(connection: Connection, rows: Sequence[ReadingRow]) -> Sequence[ReadingRow]:
    columns = arrays(rows, sql.READING_KINDS[:6])
    there = await (await connection.execute(sql.IN_HISTORY, columns)).fetchall()
    return [rows[n - 1] for (n,) in there]


async def move_latest(
    connection: Connection, rows: Sequence[ReadingRow], copied: tuple[str, int] | None = None
) -> tuple[StoredReading, ...]:
    """Let the newest of each series be its latest, unless a newer one is; those that are now.

    ``copied`` is a partition, and how many readings it got: to be counted as well.
    """
    by_id: dict[int, ReadingRow] = {}
    for row in rows:
        before = by_id.get(row[0])
        # They come in the order of time, so only those of one instant need a closer look.
        one_instant = before is not None and row[1] == before[1]
        if before is None or not one_instant or age_key(row[-1].reading) > age_key(before[-1].reading):
            by_id[row[0]] = row
    if not by_id:
        return ()
    # All workers lock these rows in one order: no deadlock.
    columns = arrays([_latest_row(by_id[number]) for number in sorted(by_id)], sql.LATEST_KINDS)
    if copied is None:
        moved = await connection.execute(sql.UPSERT_LATEST, columns)
    else:
        moved = await connection.execute(sql.COUNT_COPIED + sql.UPSERT_LATEST, (*copied, *columns))
    return tuple(by_id[number][-1] for (number,) in await moved.fetchall())


async def not_stamped_before(connection: Connection, rows: Sequence[ReadingRow]) -> Sequence[ReadingRow]:
    """``rows`` without the readings that were stored under the time of an earlier receipt.

    A reading with a number and no time of its own is stamped at each receipt. Within a partition its number
    gives it away; this is for the partitions before.
    """
    stamped = [row for row in rows if row[1] == row[6] and row[2] != NO_SEQ]
    if not stamped:
        return rows
    times_us = [row[1] for row in stamped]
    since_us, until_us = max(min(times_us) - LOOK_BACK_US, INT64_MIN), max(times_us)
    found = await connection.execute(
        sql.STAMPED_BEFORE, (*arrays(stamped, sql.READING_KINDS[:4]), since_us, until_us)
    )
    known = {id(stamped[n - 1]) for (n,) in await found.fetchall()}
    return [row for row in rows if id(row) not in known] if known else rows


def _latest_row(row: ReadingRow) -> tuple[object, ...]:
    stored = row[-1]
    reading = stored.reading
    boot = keep_text(reading.boot) if row[2] == NO_SEQ else row[3]
    return (
        *row[:3], boot, *row[4:7], keep_text(reading.unit), keep_text(reading.site), reading.interval_s,
        stored.cached_until_us,
    )  # fmt: skip
