"""Writing readings into PostgreSQL: all by COPY or only the new ones, then the latest of each series."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from iotcache.model import DeadLetter, StoredReading
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.identity import in_history
from iotcache.store.postgres.rows import ReadingRow, arrays, copy_rows
from iotcache.store.postgres.types import Connection
from iotcache.store.rows import NO_SEQ, age_key, escape_text


async def copy_all(
    connection: Connection, table: str, rows: Sequence[ReadingRow]
) -> tuple[StoredReading, ...]:
    """Store readings of one partition, all new; returns those that are the latest of their series now.

    Raises `psycopg.errors.UniqueViolation`, and the transaction is lost, when one of them is stored already.
    """
    copy = SQL(sql.COPY_READINGS).format(table=Identifier("iotcache", table))
    async with connection.cursor().copy(copy) as stream:
        await stream.write(copy_rows(rows))
    return await move_latest(connection, rows, (table, len(rows)))


async def insert_new(
    connection: Connection, table: str, rows: Sequence[ReadingRow]
) -> tuple[int, Sequence[ReadingRow], list[DeadLetter]]:
    """Store the new readings; returns how many were new, those that the table now holds unchanged, and dead
    letters of those that contradict it."""
    statement = SQL(sql.INSERT_READINGS).format(table=Identifier("iotcache", table))
    done = await (await connection.execute(statement, arrays(rows, sql.READING_KINDS))).fetchone()
    count = int(done[0]) if done is not None else 0
    if count == len(rows):
        return count, rows, []
    return count, *await in_history(connection, rows)


async def move_latest(
    connection: Connection, rows: Sequence[ReadingRow], copied: tuple[str, int] | None = None
) -> tuple[StoredReading, ...]:
    """Replace the latest reading of each series by a newer one; returns those that are the latest now.

    ``copied`` is a partition and the number of readings copied into it, counted by the same statement.
    """
    by_id: dict[int, ReadingRow] = {}
    for row in rows:
        if row[-1].reading.historical:
            continue
        before = by_id.get(row[0])
        # Rows are in the order of time, so only those of one instant need a comparison.
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


def _latest_row(row: ReadingRow) -> tuple[object, ...]:
    stored = row[-1]
    reading = stored.reading
    boot = escape_text(reading.boot) if row[2] == NO_SEQ else row[3]
    return (
        *row[:3], boot, *row[4:7], escape_text(reading.unit), escape_text(reading.site), reading.interval_s,
        stored.cached_until_us,
    )  # fmt: skip
