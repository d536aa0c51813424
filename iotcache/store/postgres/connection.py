"""One connection to PostgreSQL that comes back by itself, and what its errors mean in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo

from iotcache.errors import StoreError
from iotcache.store.postgres.schema import STEPS
from iotcache.store.postgres.statements import LOCK
from iotcache.text import printable

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 30.0
"""A server that says nothing for so long is taken for gone."""
MIGRATION_TIMEOUT_S: Final = 3_600.0

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]

# https://www.postgresql.org/docs/current/errcodes-appendix.html: a mistake that waiting does not mend.
_MISTAKES: Final = {
    "28P01": "refuses the password",
    "28000": "refuses the user",
    "3D000": "has no such database",
    "42501": "does not let this user do that",
    "42P01": "has no tables of ours",
    "0LP01": "does not let this user do that",
}
_OUTAGES: Final = {
    "53100": "has a full disk",
    "53300": "has no connection left",
    "57P01": "is being shut down",
    "57P02": "has crashed",
    "57P03": "is starting up or going down",
    "25006": "is read-only just now",
    "40P01": "ended a deadlock",
    "55P03": "keeps rows locked",
    "57014": "gave no answer in time",
}


class PgConnection:
    """A connection for one user at a time, made when needed and made again after it broke."""

    def __init__(self, settings: dict[str, Any], *, read_only: bool) -> None:
        self._settings = settings
        self._read_only = read_only
        self._connection: Connection | None = None
        self._busy = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, in no transaction. Raises `StoreError`, also for what goes wrong in the block."""
        async with self._busy:
            try:
                async with asyncio.timeout(STATEMENT_TIMEOUT_S) as limit:
                    connection = self._connection
                    if connection is None or connection.closed:
                        connection = self._connection = await self._connect(limit)
                    yield connection
            except BaseException as error:
                # Whatever state this one is in now, the next user gets a fresh one.
                if not isinstance(error, StoreError):
                    await self._drop()
                if isinstance(error, psycopg.Error | OSError | TimeoutError):
                    raise explained(error, self._settings) from error
                raise

    @property
    def connected(self) -> bool:
        """Whether a connection is kept from an earlier use; the server may have ended it since."""
        return self._connection is not None and not self._connection.closed

    async def fetch(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement. Raises `StoreError`."""
        async with self.use() as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def close(self) -> None:
        async with self._busy:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self, limit: asyncio.Timeout) -> Connection:
        connection = await psycopg.AsyncConnection.connect(autocommit=True, **self._settings)
        try:
            if not self._read_only and await _version(connection) != len(STEPS):
                # A large table is read once on the way; those who wait for it have all the time that takes.
                loop = asyncio.get_running_loop()
                limit.reschedule(loop.time() + MIGRATION_TIMEOUT_S)
                await _migrate(connection)
                limit.reschedule(loop.time() + STATEMENT_TIMEOUT_S)
            await connection.execute("SET search_path TO iotcache")
            # A reading acknowledged is on disk: a database told to be lax is not so for us.
            await connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        except BaseException:
            await connection.close()
            raise
        return connection


async def _version(connection: Connection) -> int:
    """The version of the tables; -1 where there are none yet."""
    # Not to_regclass: what it once did not find, it may not find again though others made it meanwhile.
    done = await connection.execute(
        "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = 'iotcache' AND relname = 'format'"
    )
    if await done.fetchone() is None:
        return -1
    row = await (await connection.execute("SELECT version FROM iotcache.format")).fetchone()
    return int(row[0]) if row is not None else -1


async def _migrate(connection: Connection) -> None:
    """Bring the tables up to this program's version, under a lock that other workers wait for."""
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
        await connection.execute("SET LOCAL search_path TO iotcache")
        for step in STEPS[version:]:
            if callable(step):
                await step(connection)
            else:
                await connection.execute(step)
        if version < len(STEPS):
            await connection.execute("UPDATE iotcache.format SET version = %s", (len(STEPS),))


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
    # A partitioned server is noticed by the kernel too, not only by our own time-out.
    settings.setdefault("keepalives_idle", 10)
    settings.setdefault("tcp_user_timeout", int(STATEMENT_TIMEOUT_S * 1000))
    return settings


def place(settings: dict[str, Any]) -> str:
    """Where that is, without a password."""
    host = settings.get("host") or "localhost"
    return printable(f"{host}:{settings.get('port') or 5432}/{settings.get('dbname') or ''}", 120)


def explained(error: BaseException, settings: dict[str, Any]) -> StoreError:
    """An error of psycopg or of the network as one sentence; never with a password."""
    where = f"the PostgreSQL server at {place(settings)}"
    if isinstance(error, TimeoutError):
        return StoreError(f"{where} does not answer")
    code = getattr(error, "sqlstate", None) or ""
    if code in _MISTAKES:
        return StoreError(f"{where} {_MISTAKES[code]}", retryable=False)
    if code in _OUTAGES:
        return StoreError(f"{where} {_OUTAGES[code]}")
    text = str(error)
    if not code:  # libpq itself failed, mostly to connect: it gives no code, only text
        if "authentication failed" in text or "no password supplied" in text:
            return StoreError(f"{where} refuses the user or the password", retryable=False)
        if "does not exist" in text:
            return StoreError(f"{where} has no such database or user", retryable=False)
        for known in ("Connection refused", "timeout expired", "No route to host", "starting up"):
            if known in text:
                return StoreError(f"{where} cannot be reached: {known.lower()}")
        return StoreError(f"{where} cannot be reached: {_first_line(text)}")
    return StoreError(
        f"{where} failed: {_first_line(text)}", retryable=code[:2] in ("08", "53", "57", "58", "40")
    )


def lost(error: StoreError) -> bool:
    """Whether the connection went away under a statement, which a fresh one may not."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(("08", "57P"))


def _first_line(text: str) -> str:
    return printable(text.strip().splitlines()[0] if text.strip() else "no reason given", 160)
