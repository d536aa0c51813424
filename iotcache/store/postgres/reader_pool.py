"""The connections that read, kept by psycopg's pool."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed

from iotcache.errors import StoreError
from iotcache.store.postgres.connection import (
    CONNECT_TIMEOUT_S,
    STATEMENT_TIMEOUT_S,
    avoid_prepared_behind_pooler,
)
from iotcache.store.postgres.errors import explained
from iotcache.store.postgres.types import Row

MAX_CONNECTIONS: Final = 3
MAX_IDLE_S: Final = 600.0
"""A connection that was not needed for so long is closed."""

OnFailure = Callable[[Exception], None]


class ReaderConnection(psycopg.AsyncConnection[Row]):
    """A connection that reports why it could not be made: the pool only logs that."""

    @classmethod
    async def connect(cls, conninfo: str = "", **settings: Any) -> Self:
        """See `psycopg.AsyncConnection.connect`; ``on_failure`` is called with the error."""
        on_failure: OnFailure = settings.pop("on_failure")
        try:
            connection = await super().connect(conninfo, **settings)
            try:
                await avoid_prepared_behind_pooler(connection)
            except BaseException:
                await connection.close()
                raise
        except (psycopg.Error, OSError) as error:
            on_failure(error)
            raise
        return connection


class ReaderPool:
    """A few connections for reads: made when needed, tested before each use, closed when long unused."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._waiting: set[asyncio.Future[Exception]] = set()
        """Of reads that wait for a connection: why they cannot get one."""
        self._returning: set[asyncio.Task[None]] = set()
        self._in_use = 0
        self._pool: AsyncConnectionPool[ReaderConnection] = AsyncConnectionPool(
            connection_class=ReaderConnection,
            kwargs={**settings, "autocommit": True, "on_failure": self._fail_waiting},
            min_size=0,
            max_size=MAX_CONNECTIONS,
            open=False,
            check=self._test,
            name="iotcache-store",
            max_idle=MAX_IDLE_S,
            # During an outage no attempts go on in the background: the next read makes one.
            reconnect_timeout=0.0,
        )

    async def fetch(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement. Raises `StoreError`."""
        async with self._connection() as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def close(self) -> None:
        """Close all connections; reads that still wait for one fail."""
        if self._returning:
            await asyncio.wait(self._returning)
        await self._pool.close(CONNECT_TIMEOUT_S + 1.0)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[ReaderConnection]:
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                connection = await self._acquire()
                self._in_use += 1
                try:
                    yield connection
                finally:
                    self._in_use -= 1
                    await self._pool.putconn(connection)
        except PoolClosed as error:
            raise StoreError("the store is closed", retryable=False) from error
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise explained(error, self._settings) from error

    async def _acquire(self) -> ReaderConnection:
        """A connection, or the reason why there is none.

        The pool is asked by a task of its own, which is not waited for once the reason is known: on its way
        through conditions and time-outs a cancellation can get lost, and the read would wait on.
        """
        if self._pool.closed:
            await self._pool.open()
        failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self._pool.getconn(2.0 * STATEMENT_TIMEOUT_S))
        self._waiting.add(failure)
        acquired = False
        try:
            await asyncio.wait((asking, failure), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise failure.result()
            acquired = True
            return asking.result()
        finally:
            self._waiting.discard(failure)
            if not acquired:
                asking.add_done_callback(self._give_back)
                asking.cancel()

    def _give_back(self, asking: asyncio.Task[ReaderConnection]) -> None:
        """Put back a connection that came when nobody waited for it any more."""
        if not asking.cancelled() and asking.exception() is None:
            returning = asyncio.create_task(self._pool.putconn(asking.result()))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)

    def _fail_waiting(self, error: Exception) -> None:
        """End the waiting of all reads: the pool would let them wait although it cannot connect."""
        if self._in_use:
            return  # they get the connection of another read
        for failure in self._waiting:
            if not failure.done():
                failure.set_result(error)

    async def _test(self, connection: ReaderConnection) -> None:
        """Raise `psycopg.Error` when the server has closed the connection.

        An idle server says nothing: only when there is something to read, a round trip tells what.
        """
        if not _has_input(connection):
            return
        try:
            await AsyncConnectionPool.check_connection(connection)
        except psycopg.Error:
            await self._pool.check()  # a restart has closed the others as well
            raise


def _has_input(connection: ReaderConnection) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
