"""Bringing the tables of a database up to this program's version."""

from __future__ import annotations

import asyncio
from typing import Final

from iotcache.errors import StoreError
from iotcache.store.postgres.partitions import SEARCH_PATH
from iotcache.store.postgres.schema import STEPS
from iotcache.store.postgres.statements import LOCK
from iotcache.store.postgres.types import Connection

TIMEOUT_S: Final = 3_600.0
"""A large table is read once on the way."""


async def migrate_if_older(connection: Connection, limit: asyncio.Timeout) -> None:
    """Run the missing steps, under a lock that other workers wait for. ``limit`` is extended while they run.

    Raises `StoreError` (not retryable) for tables of a newer version than this program's.
    """
    if await _version(connection) == len(STEPS):
        return
    loop = asyncio.get_running_loop()
    before, began_s = limit.when(), loop.time()
    limit.reschedule(began_s + TIMEOUT_S)
    await _migrate(connection)
    limit.reschedule(None if before is None else before + loop.time() - began_s)


async def _version(connection: Connection) -> int:
    """The version of the tables; -1 where there are none yet."""
    # Not to_regclass: a name that it once did not find it may not find again after others created it.
    done = await connection.execute(
        "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = 'iotcache' AND relname = 'format'"
    )
    if await done.fetchone() is None:
        return -1
    row = await (await connection.execute("SELECT version FROM iotcache.format")).fetchone()
    return int(row[0]) if row is not None else -1


async def _migrate(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        version = await _version(connection)
        if version < 0:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS iotcache")
            await connection.execute("CREATE TABLE iotcache.format (version integer NOT NULL)")
            await connection.execute("INSERT INTO iotcache.format VALUES (0)")
            version = 0
        if version > len(STEPS):
            raise StoreError(
                f"the database was written by a newer version of this program (format {version}, "
                f"this one knows {len(STEPS)})",
                retryable=False,
            )
        await connection.execute(SEARCH_PATH)
        for step in STEPS[version:]:
            if callable(step):
                await step(connection)
            else:
                await connection.execute(step)
        if version < len(STEPS):
            await connection.execute("UPDATE iotcache.format SET version = %s", (len(STEPS),))
