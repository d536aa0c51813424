"""PgBouncer in transaction mode before PostgreSQL: every transaction may get another server connection."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.model import DeadLetter, Document, DocumentKind, Reading, Series, StoredReading
from iotcache.store import open_store
from tests.conftest import await_port, free_port, program
from tests.store.conftest import PASSWORD, Postgres

pytestmark = [pytest.mark.real("postgres"), pytest.mark.real("pgbouncer")]
T0 = 1_780_000_000_000_000
SERVERS = 2


def stored(n: int, device: str = "dev-1") -> StoredReading:
    return StoredReading(Reading(device, "t", float(n), T0 + n, seq=n, boot="b"))


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The name of a new, empty database."""
    return postgres.empty_database().rpartition("/")[2]


@pytest.fixture
def pooled(postgres: Postgres, database: str, tmp_path: Path) -> Iterator[StoreSettings]:
    """The way to that database through a pooler of two server connections."""
    path = program("pgbouncer")
    assert path is not None
    port = free_port()
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={postgres.port} user=iot password={PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SERVERS}\n"
    )
    # It refuses to run as root, and its new user reads the file.
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        if os.geteuid() == 0:
            folder.chmod(0o755)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [path, "-q", *user, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await_port(port, process)
        yield StoreSettings(url=f"postgresql://iot@127.0.0.1:{port}/{database}", retention_days=3_650)
    finally:
        process.terminate()
        process.wait(10)


async def test_workers_share_the_servers_of_a_pooler(pooled: StoreSettings) -> None:
    async with open_store(pooled) as a, open_store(pooled) as b:
        done = await asyncio.gather(
            *((a, b)[n % 2].commit([stored(n, f"dev-{n % 5}") for n in range(first, first + 20)])
              for n, first in enumerate(range(0, 400, 10)))
        )  # fmt: skip
        assert sum(one.stored for one in done) == 410
        series = [Series(f"dev-{n}", "t") for n in range(5)]
        # More reads than statements are prepared after, from both sides at once.
        for _ in range(8):
            for found in await asyncio.gather(*(one.latest_many(series) for one in (a, b) for _ in range(3))):
                assert sorted(latest.reading.value for latest in found.values()) == [405, 406, 407, 408, 409]
        assert len(await b.history(series[0], T0, T0 + 10_000)) == 82
        assert (await a.counts()).readings == 410


async def test_documents_dead_letters_and_pruning_work_behind_a_pooler(pooled: StoreSettings) -> None:
    async with open_store(pooled) as store:
        document = Document("dev-1", DocumentKind.CONFIG, 4, '{"version":4}')
        for _ in range(7):
            assert await store.documents.upsert([document]) == [document]
            await store.commit([stored(1)], [DeadLetter("t", b"?", "why", T0)])
        (letter,) = await store.dead_letters.page()
        assert letter.times == 7
        deleted = 0
        while step := await store.prune(T0 + 10**15):
            deleted += step
        assert deleted == 2
        assert (await store.counts()).readings == 0


async def test_a_commit_waits_for_the_disk_although_the_database_says_otherwise(
    pooled: StoreSettings, postgres: Postgres, database: str
) -> None:
    with postgres.connect(database) as admin:
        admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off".encode())
        admin.execute(b"CREATE TABLE seen (setting text)")
    async with open_store(pooled) as store:
        await store.commit([stored(0)])
        with postgres.connect(database) as admin:
            admin.execute(
                b"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                b"INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); "
                b"RETURN NULL; END $$"
            )
            for table in ("latest", "document"):
                admin.execute(
                    f"CREATE TRIGGER note AFTER INSERT OR UPDATE ON iotcache.{table} "
                    "FOR EACH STATEMENT EXECUTE FUNCTION note()".encode()
                )
        await asyncio.gather(*(store.commit([stored(n)]) for n in range(1, 5)))
        await store.documents.upsert([Document("dev-1", DocumentKind.CONFIG, 4, '{"version":4}')])
    with postgres.connect(database) as admin:
        seen = {setting for (setting,) in admin.execute(b"SELECT setting FROM seen").fetchall()}
    assert seen == {"on"}
