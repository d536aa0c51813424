"""PostgreSQL stopped, started, out of reach, with a wrong password: the store says so and comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import psycopg
import pytest

from iotcache.config.schema import StoreSettings
from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store import open_store
from iotcache.store.postgres.errors import explained
from tests.conftest import free_port
from tests.store.conftest import PASSWORD, Postgres

pytestmark = pytest.mark.real("postgres")
T0 = 1_780_000_000_000_000
DEV = Series("dev-1", "t")


def stored(n: int) -> StoredReading:
    return StoredReading(Reading("dev-1", "t", float(n), T0 + n, seq=n, boot="b"))


async def test_it_comes_back_after_a_restart(postgres: Postgres) -> None:
    async with open_store(StoreSettings(url=postgres.empty_database(), password=PASSWORD)) as store:
        await store.commit([stored(1)])
        assert DEV in await store.latest_many([DEV])
        await asyncio.to_thread(postgres.stop)
        for call in (lambda: store.commit([stored(2)]), lambda: store.latest_many([DEV]), store.ping):
            with pytest.raises(StoreError) as caught:
                await call()
            assert caught.value.retryable
        await asyncio.to_thread(postgres.start)
        assert (await store.commit([stored(1), stored(2)])).stored == 1
        assert (await store.latest_many([DEV]))[DEV] == stored(2)


async def test_a_server_that_is_down_at_the_start_is_used_once_it_is_up(postgres: Postgres) -> None:
    url = postgres.empty_database()
    await asyncio.to_thread(postgres.stop)
    try:
        async with open_store(StoreSettings(url=url, password=PASSWORD)) as store:
            with pytest.raises(StoreError, match="cannot be reached: connection refused"):
                await store.commit([stored(1)])
            await asyncio.to_thread(postgres.start)
            assert (await store.commit([stored(1)])).stored == 1
    finally:
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)


async def test_a_wrong_password_is_a_mistake_and_is_not_shown(postgres: Postgres) -> None:
    settings = StoreSettings(url=postgres.url, password="wr0ng-Pa55")
    with pytest.raises(StoreError, match="refuses the user or the password") as caught:
        async with open_store(settings):
            pass
    assert not caught.value.retryable
    chain = caught.value
    assert "wr0ng" not in str(chain) + repr(chain)


async def test_a_missing_database_is_a_mistake(postgres: Postgres) -> None:
    url = postgres.url.replace("/postgres", "/nowhere")
    with pytest.raises(StoreError, match="no such database") as caught:
        async with open_store(StoreSettings(url=url, password=PASSWORD)):
            pass
    assert not caught.value.retryable


async def test_a_password_in_the_url_works_and_is_not_in_the_stores_url(postgres: Postgres) -> None:
    url = postgres.empty_database().replace("iot@", f"iot:{PASSWORD}@")
    async with open_store(StoreSettings(url=url)) as store:
        await store.ping()
        assert PASSWORD not in store.url


async def test_a_port_where_nobody_listens_says_so() -> None:
    async with open_store(StoreSettings(url=f"postgresql://x@127.0.0.1:{free_port()}/x")) as store:
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            await store.ping()
        assert caught.value.retryable


async def test_reads_after_a_restart_do_not_fail_on_the_connections_from_before(postgres: Postgres) -> None:
    async with open_store(StoreSettings(url=postgres.empty_database(), password=PASSWORD)) as store:
        await store.commit([stored(1)])
        await asyncio.gather(*(store.latest_many([DEV]) for _ in range(8)))  # every reader is connected
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        for found in await asyncio.gather(*(store.latest_many([DEV]) for _ in range(8))):
            assert found[DEV] == stored(1)
        assert len(await store.history(DEV, T0, T0 + 10)) == 1


async def test_all_reads_of_an_outage_are_told_its_reason(postgres: Postgres) -> None:
    async with open_store(StoreSettings(url=postgres.empty_database(), password=PASSWORD)) as store:
        await store.commit([stored(1)])
        await asyncio.gather(*(store.latest_many([DEV]) for _ in range(8)))
        await asyncio.to_thread(postgres.stop)

        async def read(after: int) -> object:
            """While others before it are being told."""
            for _ in range(after):
                await asyncio.sleep(0)
            return await store.latest_many([DEV])

        try:
            for many in (8, 100):
                reads = map(read, range(many))
                for error in await asyncio.gather(*reads, return_exceptions=True):
                    assert isinstance(error, StoreError)
                    assert error.retryable
                    assert "connection refused" in str(error)
        finally:
            await asyncio.to_thread(postgres.start)
        assert (await store.latest_many([DEV]))[DEV] == stored(1)


async def test_a_read_that_is_cancelled_gives_its_connection_back(postgres: Postgres) -> None:
    url = postgres.empty_database()
    async with open_store(StoreSettings(url=url, password=PASSWORD)) as store:
        await store.commit([stored(1)])
        with postgres.connect(url.rpartition("/")[2]) as other, other.transaction():
            other.execute(b"LOCK TABLE iotcache.latest IN ACCESS EXCLUSIVE MODE")
            reads = [asyncio.create_task(store.latest_many([DEV])) for _ in range(6)]
            await asyncio.to_thread(_await_locked, postgres, 3)
            for read in reads:
                read.cancel()
            await asyncio.wait(reads)
        for found in await asyncio.gather(*(store.latest_many([DEV]) for _ in range(6))):
            assert found[DEV] == stored(1)


def _await_locked(postgres: Postgres, count: int) -> None:
    """Return once so many statements wait for a lock."""
    waiting = b"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with postgres.connect() as admin:
        while admin.execute(waiting).fetchone() != (count,):
            time.sleep(0.01)


async def test_a_cancelled_commit_leaves_the_connection_usable(postgres: Postgres) -> None:
    async with open_store(StoreSettings(url=postgres.empty_database(), password=PASSWORD)) as store:
        await store.commit([stored(0)])
        for pause_s in (0.0, 0.001, 0.003):
            task = asyncio.create_task(store.commit([stored(n) for n in range(2_000)]))
            await asyncio.sleep(pause_s)
            task.cancel()
            await asyncio.wait({task})
        done = await store.commit([stored(n) for n in range(2_000)])
        assert done.stored + done.duplicates == 2_000
        assert (await store.counts()).readings == 2_000


async def test_a_backend_that_is_terminated_costs_one_call(postgres: Postgres) -> None:
    url = postgres.empty_database()
    async with open_store(StoreSettings(url=url, password=PASSWORD)) as store:
        await store.commit([stored(1)])
        with postgres.connect() as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (url.rsplit("/", 1)[1],),
            )
        with pytest.raises(StoreError) as caught:
            await store.commit([stored(2)])
        assert caught.value.retryable
        assert (await store.commit([stored(2)])).stored == 1


async def test_a_row_without_a_value_is_told_and_not_taken_for_a_defect(postgres: Postgres) -> None:
    """A simulated fleet that is verified in such a store has a report that says so."""
    url = postgres.empty_database()
    async with open_store(StoreSettings(url=url, password=PASSWORD)) as store:
        await store.commit([stored(1)])
        with postgres.connect(url.rpartition("/")[2]) as connection:
            connection.execute("UPDATE iotcache.reading SET number = NULL, exact = NULL")
        with pytest.raises(StoreError, match="has no value: another program wrote") as caught:
            await store.history(stored(1).reading.series, 0, 1 << 62, 10)
        assert not caught.value.retryable


def test_the_sqlite_store_does_not_import_psycopg() -> None:
    script = "import sys, iotcache.store.sqlite.store; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('connection failed: connection to server at "::1", port 5432 failed: FATAL:  the database system is '
         "shutting down", "the database system is shutting down"),
        ('connection failed: connection to server at "h", port 1 failed: server closed the connection '
         "unexpectedly\n\tThis probably means more", "server closed the connection unexpectedly"),
        ("consuming input failed: server closed the connection unexpectedly",
         "server closed the connection unexpectedly"),
        ('connection failed: connection to server at "h", port 1 failed: Connection refused\n\tIs it up?',
         "connection refused"),
        ("something failed: ", "something failed:"),
        ("", "no reason given"),
    ],
)  # fmt: skip
def test_the_reason_is_told_without_what_leads_to_it(text: str, why: str) -> None:
    error = explained(psycopg.OperationalError(text), {"host": "h", "dbname": "d"})
    assert str(error) == f"the PostgreSQL server at h:5432/d cannot be reached: {why}"
