"""Which readings of a batch PostgreSQL has already (`iotcache.store.identity`), and the indexes that tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from iotcache.model import DeadLetter, same_value
from iotcache.store.identity import LOOK_BACK_US, Stamps, conflict
from iotcache.store.postgres import statements
from iotcache.store.postgres.rows import ReadingRow, arrays, decode_value
from iotcache.store.postgres.types import Connection
from iotcache.store.rows import INT64_MIN, NO_SEQ

IDENTITY_INDEX: Final = (
    "CREATE UNIQUE INDEX ON {name} (series_id, boot, seq, ts_us) WHERE seq > -9223372036854775808"
)
_KNOWN_LIMIT: Final = 100
"""Readings of one number that are looked at: each reset of a counter within a week leaves one."""
_NARROW_INDEXES: Final = """
    SELECT index.relname, part.relname FROM pg_index
    JOIN pg_class AS index ON index.oid = indexrelid
    JOIN pg_inherits ON inhrelid = indrelid JOIN pg_class AS part ON part.oid = indrelid
    WHERE inhparent = 'iotcache.reading'::regclass AND indisunique
        AND pg_get_indexdef(indexrelid) LIKE '%(series_id, boot, seq) WHERE%'
"""


async def without_repeats(connection: Connection, rows: Sequence[ReadingRow]) -> Sequence[ReadingRow]:
    """``rows``, which are in the order of time by series, without those stamped at an earlier receipt."""
    stamped = [row for row in rows if row[2] != NO_SEQ and row[6] in (0, row[1])]
    if not stamped:
        return rows
    times_us = [row[1] for row in stamped]
    since_us, until_us = max(min(times_us) - LOOK_BACK_US, INT64_MIN), max(times_us)
    known = await connection.execute(
        statements.STAMPED_BEFORE,
        (*arrays(stamped, statements.READING_KINDS[:4]), since_us, until_us, _KNOWN_LIMIT),
    )
    stamps = Stamps()
    for n, ts_us, number, exact in await known.fetchall():
        series_id, _, seq, boot, *_ = stamped[n - 1]
        stamps.note((series_id, boot, seq), ts_us, decode_value(number, exact))
    new: list[ReadingRow] = []
    for row in rows:
        if row[2] != NO_SEQ and row[6] in (0, row[1]):
            identity, value = (row[0], row[3], row[2]), row[-1].reading.value
            if stamps.repeats(identity, row[1], value):
                continue
            stamps.note(identity, row[1], value)
        new.append(row)
    return new


async def in_history(
    connection: Connection, rows: Sequence[ReadingRow]
) -> tuple[list[ReadingRow], list[DeadLetter]]:
    """The readings that the table holds unchanged, and dead letters of those that contradict it."""
    columns = arrays(rows, statements.READING_KINDS[:4])
    unchanged: list[ReadingRow] = []
    conflicts: list[DeadLetter] = []
    for n, number, exact in await (await connection.execute(statements.STORED_VALUES, columns)).fetchall():
        row = rows[n - 1]
        if (number, exact) == row[4:6]:
            unchanged.append(row)
        elif not same_value(row[-1].reading.value, stored := decode_value(number, exact)):
            conflicts.append(conflict(row[-1].reading, stored))
    return unchanged, conflicts


async def widen_identity(connection: Connection) -> None:
    """The step that makes the time a part of the identity: counters begin anew after a restart.

    TimescaleDB's chunks have no such unique index.
    """
    narrow = await (await connection.execute(_NARROW_INDEXES)).fetchall()
    for index, part in narrow:
        await connection.execute(sql.SQL("DROP INDEX iotcache.{}").format(sql.Identifier(index)))
        name = sql.Identifier("iotcache", part)
        await connection.execute(sql.SQL(IDENTITY_INDEX).format(name=name))
