"""Readings by day: partitions made ahead, one for all other times, whole days dropped when they are old.

The key of a reading (series, time and, where it has them, boot and number) is kept unique by two indexes of
each partition. A third one, of no uniqueness, serves reads; a primary key over all four columns would cost
a fifth of the commit rate. Readings with a number that are stamped at each receipt are looked for before they
are stored (`iotcache.store.postgres.identity`).

Source: PostgreSQL's documentation, "Table Partitioning" and "CREATE TABLE".
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.store.postgres.identity import IDENTITY_INDEX
from iotcache.store.postgres.statements import LOCK, PRUNE_READINGS
from iotcache.store.postgres.types import Begin, Connection
from iotcache.store.rows import INT64_MAX, INT64_MIN

log = logging.getLogger(__name__)

DAY_US: Final = 86_400_000_000
AHEAD_DAYS: Final = 3
BACK_DAYS_LIMIT: Final = 3_650
LOCK_TIMEOUT_S: Final = 1.0
"""Making and dropping partitions locks out everybody for a moment; they wait no longer for their own lock."""
RETRY_S: Final = 60.0
SEARCH_PATH: Final = "SET LOCAL search_path TO iotcache, public"
"""For a transaction of many table names; ``public`` is where TimescaleDB puts its functions."""
TABLE: Final = "reading"
OTHER: Final = "reading_other"
"""The partition of times that no day's partition is for."""
FIRST: Final = "reading_v1"
"""The whole table of before there were partitions."""
_BOUND: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'-?\d+')\) TO \('(-?\d+)'\)")
_DROPS_A_CALL: Final = 32


INDEXES: Final = (
    "CREATE INDEX ON {name} (series_id, ts_us)",
    IDENTITY_INDEX,
    "CREATE UNIQUE INDEX ON {name} (series_id, ts_us) WHERE seq = -9223372036854775808",
)
"""Of each partition."""


class Partition(Struct, frozen=True):
    """One partition and its times, from ``first_us`` to before ``until_us``."""

    name: str
    first_us: int
    until_us: int


def parse_bound(name: str, bound: str) -> Partition | None:
    """A partition of the catalogue; ``None`` for the one of all other times."""
    match = _BOUND.fullmatch(bound)
    if match is None:
        return None
    first = INT64_MIN if match[1] == "MINVALUE" else int(match[1].strip("'"))
    return Partition(name, first, int(match[2]))


def day_name(day: int) -> str:
    """The partition of a day, counted from 1970-01-01."""
    return time.strftime("reading_%Y%m%d", time.gmtime(day * 86_400))


class Partitions:
    """What this process knows of the partitions, and the making and dropping of them."""

    def __init__(
        self, retention_days: float, clock: Clock = SYSTEM_CLOCK, *, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        """Days further back than ``retention_days`` get no partition of their own."""
        self._lock_timeout = f"SET LOCAL lock_timeout = {round(lock_timeout_s * 1000)}"
        self._back_days = min(int(retention_days) + 1, BACK_DAYS_LIMIT)
        self._clock = clock
        self._settled: dict[int, str] = {}
        """Days that have a partition, and its name."""
        self._retry_s = 0.0
        self.hypertable = False

    def target(self, times_us: Sequence[int]) -> str:
        """The table to insert readings of these times into: their partition, when they share one for sure.

        PostgreSQL stores a batch about a tenth faster when it need not look for each row's partition. Days
        that are over are left to it: theirs may be dropped at any moment.
        """
        day = min(times_us) // DAY_US
        if day != max(times_us) // DAY_US or day < int(self._clock.now()) // 86_400:
            return TABLE
        return self._settled.get(day, TABLE)

    def forget(self) -> None:
        """Look anew which partitions there are: one was removed by hand."""
        self._settled.clear()

    async def make_room(self, times_us: Sequence[int], begin: Begin) -> None:
        """See to it that each time, and the days ahead, have their partitions, as far as they get any."""
        if self.hypertable or self._clock.monotonic() < self._retry_s:
            return
        missing = self._missing(times_us)
        if not missing:
            return
        if len(self._settled) > 4 * BACK_DAYS_LIMIT:
            self._settled.clear()
        async with begin() as connection:
            try:
                async with connection.transaction():
                    created = await self._make(connection, missing)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                self._retry_s = self._clock.monotonic() + RETRY_S
                log.warning("no new partition just now: the table is in use; readings go into %s", OTHER)
                return
        self._settled.update(created)

    def _missing(self, times_us: Sequence[int]) -> set[int]:
        today = int(self._clock.now()) // 86_400
        first, last = min(times_us, default=0) // DAY_US, max(times_us, default=0) // DAY_US
        days = {first, last} if last - first < 2 else {ts_us // DAY_US for ts_us in times_us}
        oldest, newest = today - self._back_days, today + AHEAD_DAYS
        wanted = {day for day in days if oldest <= day <= newest}
        wanted.update(range(today, newest + 1))
        return wanted - self._settled.keys()

    async def _make(self, connection: Connection, days: Iterable[int]) -> Mapping[int, str]:
        """The partition of each day, made where it was missing."""
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(SEARCH_PATH)
        await connection.execute(self._lock_timeout.encode())
        if await is_hypertable(connection):
            self.hypertable = True
            return {}
        existing = await partitions(connection)
        names: dict[int, str] = {}
        for day in sorted(days):
            first_us = day * DAY_US
            overlapping = (
                partition
                for partition in existing
                if partition.first_us < first_us + DAY_US and first_us < partition.until_us
            )
            owner = next(overlapping, None)
            if owner is None:
                await _make_day(connection, day)
                names[day] = day_name(day)
            else:
                whole = owner.first_us <= first_us and first_us + DAY_US <= owner.until_us
                names[day] = owner.name if whole else TABLE
        return names

    async def prune(self, connection: Connection, before_us: int, limit: int) -> int:
        """Drop the oldest partition that is wholly before ``before_us``, or delete up to ``limit`` readings.

        How many readings went; 0 also while another worker is at it.
        """
        (locked,) = await _row(connection, "SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        if not locked:
            return 0
        await connection.execute(SEARCH_PATH)
        return await self._drop_old(connection, before_us) or await _prune_rows(connection, before_us, limit)

    async def _drop_old(self, connection: Connection, before_us: int) -> int:
        if await is_hypertable(connection):
            return await _drop_chunks(connection, before_us)
        old = [partition for partition in await partitions(connection) if partition.until_us <= before_us]
        for partition in old[:_DROPS_A_CALL]:
            try:
                async with connection.transaction():
                    await connection.execute(self._lock_timeout.encode())
                    deleted = await _drop(connection, partition.name)
            except psycopg.errors.LockNotAvailable:
                log.warning("the partition %s stays for now: it is in use", partition.name)
                return 0
            self._settled.pop(partition.first_us // DAY_US, None)
            if deleted:
                return deleted
        return 0


async def _prune_rows(connection: Connection, before_us: int, limit: int) -> int:
    """Delete up to ``limit`` readings before ``before_us`` that no whole partition goes with."""
    if await is_hypertable(connection):
        names = ["reading"]
    else:
        names = [
            partition.name
            for partition in await partitions(connection)
            if partition.first_us < before_us < partition.until_us
        ]
        names.append(OTHER)
    deleted = 0
    for name in names:
        statement = sql.SQL(PRUNE_READINGS).format(partition=sql.Identifier(name))
        left = limit - deleted
        rows = (await connection.execute(statement, (before_us, left, left))).rowcount if left else 0
        if rows:
            await add_total(connection, name, -rows)
            deleted += rows
    return deleted


async def is_hypertable(connection: Connection) -> bool:
    """Whether TimescaleDB keeps the readings; else they are in partitions of PostgreSQL's own."""
    (kind,) = await _row(connection, "SELECT relkind FROM pg_class WHERE oid = 'reading'::regclass")
    return bool(kind not in ("p", b"p"))


async def partitions(connection: Connection) -> list[Partition]:
    """All but the one of all other times, oldest first."""
    done = await connection.execute(
        "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits "
        "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'reading'::regclass"
    )
    # Of one that was dropped this very moment, the bound is not known any more.
    parsed = [parse_bound(name, bound) for name, bound in await done.fetchall() if bound]
    days = [partition for partition in parsed if partition is not None]
    return sorted(days, key=lambda partition: partition.first_us)


async def _make_day(connection: Connection, day: int) -> None:
    """Made aside and then attached: that locks readers and writers out for the least time."""
    name = day_name(day)
    first_us, until_us = day * DAY_US, (day + 1) * DAY_US
    for statement in (
        "CREATE TABLE {name} (LIKE reading INCLUDING ALL)",
        *INDEXES,
        # Readings of that day that came while it could not be made.
        "LOCK TABLE {other} IN SHARE ROW EXCLUSIVE MODE",
        "WITH moved AS (DELETE FROM {other} WHERE ts_us >= {first} AND ts_us < {until} RETURNING *) "
        "INSERT INTO {name} SELECT * FROM moved",
        "ALTER TABLE reading ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({until})",
    ):
        done = await connection.execute(
            sql.SQL(statement).format(
                name=sql.Identifier(name),
                other=sql.Identifier(OTHER),
                first=sql.Literal(first_us),
                until=sql.Literal(until_us),
            )
        )
        if statement.startswith("WITH") and done.rowcount > 0:
            await add_total(connection, name, done.rowcount)
            await add_total(connection, OTHER, -done.rowcount)


async def _drop(connection: Connection, name: str) -> int:
    await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return await _forget_total(connection, name)


async def _drop_chunks(connection: Connection, before_us: int) -> int:
    done = await connection.execute(DROP_CHUNKS, (before_us,))
    deleted = 0
    for (chunk,) in await done.fetchall():
        deleted += await _forget_total(connection, str(chunk).rpartition(".")[2].strip('"'))
    return deleted


DROP_CHUNKS: Final = "SELECT drop_chunks('iotcache.reading', older_than => %s::bigint)"
_ADD_TOTAL: Final = """
    INSERT INTO partition_total VALUES (%s, pg_backend_pid() %% 64, %s)
    ON CONFLICT (partition, shard) DO UPDATE SET readings = partition_total.readings + excluded.readings
"""


async def add_total(connection: Connection, name: str, readings: int) -> None:
    """Count readings of a partition."""
    await connection.execute(_ADD_TOTAL, (name, readings))


async def _forget_total(connection: Connection, name: str) -> int:
    """The count of a partition that is deleted, which is forgotten."""
    done = await connection.execute(
        "DELETE FROM partition_total WHERE partition = %s RETURNING readings", (name,)
    )
    deleted = sum(row[0] for row in await done.fetchall())
    if name == FIRST:
        done = await connection.execute("DELETE FROM total RETURNING readings")
        deleted += sum(row[0] for row in await done.fetchall())
    return int(deleted)


async def _row(connection: Connection, statement: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
    row = await (await connection.execute(statement.encode(), parameters)).fetchone()
    assert row is not None
    return row


# The step of the schema that brings partitions

_IDENTITY: Final = "(series_id, boot, seq) WHERE seq > -9223372036854775808"
_TABLE: Final = """
    CREATE TABLE reading (
        series_id bigint NOT NULL, ts_us bigint NOT NULL, seq bigint NOT NULL, boot text COLLATE "C" NOT NULL,
        number double precision, exact text, received_us bigint NOT NULL, odd text
    ) PARTITION BY RANGE (ts_us)
"""
_MOVE_OTHER_TIMES: Final = """WITH moved AS (
        DELETE FROM reading_v1 USING latest WHERE latest.ts_us >= {cut_us}
            AND reading_v1.series_id = latest.series_id AND reading_v1.ts_us >= {cut_us}
        RETURNING reading_v1.*
    ) INSERT INTO reading_other SELECT * FROM moved"""
_TOTAL: Final = """
    CREATE TABLE partition_total (
        partition text NOT NULL, shard integer NOT NULL, readings bigint NOT NULL,
        PRIMARY KEY (partition, shard)
    ) WITH (fillfactor = 50)
"""


def step_statements(*, timescale: bool, cut_us: int | None) -> list[str]:
    """What makes partitions of the one table of readings.

    ``cut_us`` is where it is to end, as it is not empty.

    With TimescaleDB it becomes a hypertable, which cannot keep (series, boot, seq) unique in a chunk: there
    the index only serves the look for readings that were stamped twice.
    """
    if timescale:
        return [
            _TOTAL,
            "DROP INDEX reading_identity",
            f"CREATE INDEX reading_identity ON reading {_IDENTITY}",
            "SELECT create_hypertable('iotcache.reading', 'ts_us', "
            f"chunk_time_interval => {DAY_US}, migrate_data => true, create_default_indexes => false)",
        ]
    statements = [
        _TOTAL,
        f"ALTER TABLE reading RENAME TO {FIRST}",
        f"ALTER INDEX reading_pkey RENAME TO {FIRST}_pkey",
        f"ALTER INDEX reading_identity RENAME TO {FIRST}_identity",
        _TABLE,
        f"CREATE TABLE {OTHER} PARTITION OF reading DEFAULT",
        *(index.format(name=OTHER) for index in INDEXES),
    ]
    if cut_us is None:
        return [*statements, f"DROP TABLE {FIRST}"]
    return [
        *statements,
        # The newest reading of each series tells which of them reach beyond the cut: no scan for that.
        _MOVE_OTHER_TIMES.format(cut_us=cut_us),
        f"ALTER TABLE reading ATTACH PARTITION {FIRST} FOR VALUES FROM (MINVALUE) TO ({cut_us})",
    ]


async def partition_readings(connection: Connection) -> None:
    """The step itself, within the migration's transaction.

    The table as it was becomes the oldest partition, whole: PostgreSQL reads it once to see that its times
    fit, and moves nothing. It is dropped, whole, when its newest readings are old.
    """
    done = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    timescale = await done.fetchone() is not None
    (some,) = await _row(connection, "SELECT EXISTS (SELECT 1 FROM reading)")
    (newest_us,) = await _row(connection, "SELECT max(ts_us) FROM latest")
    cut_us = cut_after(newest_us, SYSTEM_CLOCK.now()) if some else None
    for statement in step_statements(timescale=timescale, cut_us=cut_us):
        done = await connection.execute(statement.encode())
        if statement.startswith("WITH moved") and done.rowcount > 0:
            await add_total(connection, OTHER, done.rowcount)
            await connection.execute(
                "UPDATE total SET readings = readings - %s WHERE shard = (SELECT min(shard) FROM total)",
                (done.rowcount,),
            )


def cut_after(newest_us: int | None, now_s: float) -> int:
    """The end of the newest reading's day, but of tomorrow at the latest: devices' clocks may be wrong."""
    tomorrow = int(now_s) // 86_400 + 1
    day = tomorrow if newest_us is None else min(newest_us // DAY_US, tomorrow)
    return min(max(day + 1, 0) * DAY_US, INT64_MAX)
