"""Writing readings into PostgreSQL: all by COPY or only the new ones, then the latest of each series."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from iotcache.model import StoredReading
from iotcache.store.postgres import statements as sql
from iotcache.store.postgres.partitions import LOOK_BACK_US
from iotcache.store.postgres.rows import ReadingRow, arrays, copy_rows
from iotcache.store.postgres.types import Connection
from iotcache.store.rows import INT64_MIN, NO_SEQ, age_key, escape_text


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
) -> tuple[int, Sequence[ReadingRow]]:
    """Store the new readings; returns how many were new, and those that the table now holds unchanged."""
    statement = SQL(sql.INSERT_READINGS).format(table=Identifier("iotcache", table))
    done = await (await connection.execute(statement, arrays(rows, sql.READING_KINDS))).fetchone()
    count = int(done[0]) if done is not None else 0
    return count, rows if count == len(rows) else await _in_history(connection, rows)


async def _in_history(connection: Connection, rows: Sequence[ReadingRow]) -> Sequence[ReadingRow]:
    columns = arrays(rows, sql.READING_KINDS[:6])
    stored = await (await connection.execute(sql.IN_HISTORY, columns)).fetchall()
    return [rows[n - 1] for (n,) in stored]


async def move_latest(
    connection: Connection, rows: Sequence[ReadingRow], copied: tuple[str, int] | None = None
) -> tuple[StoredReading, ...]:
    """Replace the latest reading of each series by a newer one; returns those that are the latest now.

    ``copied`` is a partition and the number of readings copied into it, counted by the same statement.
    """
    by_id: dict[int, ReadingRow] = {}
    for row in rows:
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


async def not_stamped_before(connection: Connection, rows: Sequence[ReadingRow]) -> Sequence[ReadingRow]:
    """``rows`` without the readings that were stored under the time of an earlier receipt.

    A reading with a sequence number and no time of its own is stamped at each receipt. Within a partition the
    number identifies it; this looks into the partitions before.
    """
    stamped = [row for row in rows if row[1] == row[6] and row[2] != NO_SEQ]
    if not stamped:
        return rows
    times_us = [row[1] for row in stamped]
    since_us, until_us = max(min(times_us) - LOOK_BACK_US, INT64_MIN), max(times_us)
    stored = await connection.execute(
        sql.STAMPED_BEFORE, (*arrays(stamped, sql.READING_KINDS[:4]), since_us, until_us)
    )
    known = {id(stamped[n - 1]) for (n,) in await stored.fetchall()}
    return [row for row in rows if id(row) not in known] if known else rows


def _latest_row(row: ReadingRow) -> tuple[object, ...]:
    stored = row[-1]
    reading = stored.reading
    boot = escape_text(reading.boot) if row[2] == NO_SEQ else row[3]
    return (
        *row[:3], boot, *row[4:7], escape_text(reading.unit), escape_text(reading.site), reading.interval_s,
        stored.cached_until_us,
    )  # fmt: skip
