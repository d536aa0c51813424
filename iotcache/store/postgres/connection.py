"""Connections to PostgreSQL: how they are made, and the one that writes.

Nothing of ours lives in a session: tables are named with their schema, settings are set for a transaction
(``SET LOCAL``), locks are those of a transaction. So a pooler in transaction mode may stand between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo

from iotcache.errors import StoreError
from iotcache.store.postgres.errors import explained
from iotcache.store.postgres.migration import migrate_if_older
from iotcache.store.postgres.types import Connection

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 30.0
"""A server that does not answer for so long counts as gone."""


def connection_settings(url: str, password: str) -> dict[str, Any]:
    """What psycopg needs to connect. Raises `StoreError` for a URL that libpq cannot read."""
    try:
        settings: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error as error:
        raise StoreError("the store's postgresql:// URL cannot be read", retryable=False) from error
    if password:
        settings["password"] = password
    settings.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    settings.setdefault("application_name", "iotcache")
    # The kernel notices a server that is cut off, too: it closes idle connections as well, so that none of
    # them is handed out as if it worked.
    settings.setdefault("keepalives_idle", 10)
    settings.setdefault("keepalives_interval", 5)
    settings.setdefault("keepalives_count", 4)
    settings.setdefault("tcp_user_timeout", int(STATEMENT_TIMEOUT_S * 1000))
    return settings


async def avoid_prepared_behind_pooler(connection: Connection) -> None:
    """Use no prepared statements when a pooler stands between: its next server would not know them.

    A pooler such as PgBouncer answers the start-up with a process number of its own making, the key of its
    cancel requests; PostgreSQL answers with that of the serving process.
    """
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        connection.prepare_threshold = None


class WriterConnection:
    """The connection that writes: for one user at a time, made when needed and made again after it broke."""

    def __init__(self, settings: dict[str, Any], *, read_only: bool) -> None:
        """With ``read_only`` it creates no tables."""
        self._settings = settings
        self._read_only = read_only
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._lax = False
        """Whether the server is told not to wait for its disk at a commit."""

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, outside a transaction. Raises `StoreError`, also for failures within the block."""
        async with self._lock:
            try:
                async with asyncio.timeout(STATEMENT_TIMEOUT_S) as limit:
                    connection = self._connection
                    if connection is None or connection.closed:
                        connection = self._connection = await self._connect(limit)
                    yield connection
            except BaseException as error:
                # Its state is unknown now: the next user gets a fresh one.
                if not isinstance(error, StoreError):
                    await self._drop()
                if isinstance(error, psycopg.Error | OSError | TimeoutError):
                    raise explained(error, self._settings) from error
                raise

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncIterator[None]:
        """A transaction that is on disk when its commit returns, whatever the server is set to."""
        async with connection.transaction():
            if self._lax:
                await connection.execute("SET LOCAL synchronous_commit TO on")
            yield

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self, limit: asyncio.Timeout) -> Connection:
        connection = await psycopg.AsyncConnection.connect(autocommit=True, **self._settings)
        try:
            await avoid_prepared_behind_pooler(connection)
            if not self._read_only:
                await migrate_if_older(connection, limit)
            row = await (await connection.execute("SHOW synchronous_commit")).fetchone()
            self._lax = row is not None and row[0] == "off"
        except BaseException:
            await connection.close()
            raise
        return connection
