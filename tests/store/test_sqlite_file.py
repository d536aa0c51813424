"""What only a file can suffer, and what other processes may do to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from iotcache.config.schema import StoreSettings
from iotcache.errors import ConfigError, StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store import open_store
from iotcache.store.sqlite.store import SqliteStore
from iotcache.store.sqlite.writer import SqliteWriter

T0 = 1_780_000_000_000_000
DEV = Series("dev-1", "t")
ONE = StoredReading(Reading("dev-1", "t", 1.0, T0))


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"folder of the store .*no/x.db does not exist") as caught:
        async with SqliteStore(tmp_path / "no" / "x.db"):
            pass
    assert not caught.value.retryable


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"precious text " * 100)
    with pytest.raises(StoreError, match="not an SQLite database") as caught:
        async with SqliteStore(path):
            pass
    assert not caught.value.retryable
    assert path.read_bytes() == b"precious text " * 100


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        async with SqliteStore(path):
            pass
    assert path.read_bytes() == before


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with SqliteStore(path):
        pass
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="newer version"):
        async with SqliteStore(path):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(StoreError, match="writable"):
        async with SqliteStore(tmp_path / "x.db"):
            pass


async def test_a_lock_held_too_long_is_an_outage_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with SqliteStore(path, busy_timeout_s=0.1) as store:
        await store.commit([ONE])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process") as caught:
            await store.commit([StoredReading(Reading("dev-1", "t", 2.0, T0 + 1))])
        assert caught.value.retryable
        assert (await store.latest_many([DEV]))[DEV] == ONE  # reads do not mind
        other.execute("ROLLBACK")
        other.close()
        assert (await store.commit([StoredReading(Reading("dev-1", "t", 2.0, T0 + 1))])).stored == 1


async def test_a_full_disk_is_an_outage_that_ends(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "x.db") as store:
        await store.commit([ONE])
        pages = await _on_writer(store, "PRAGMA max_page_count = 1")
        big = [StoredReading(Reading("dev-1", "t", "x" * 1000, T0 + n)) for n in range(1, 200)]
        with pytest.raises(StoreError, match=r"disk of the store .* is full") as caught:
            await store.commit(big)
        assert caught.value.retryable
        assert pages < 50
        await _on_writer(store, "PRAGMA max_page_count = 1000000")
        assert (await store.commit(big)).stored == 199


async def _on_writer(store: SqliteStore, pragma: str) -> int:
    return await store.writer.run(lambda file: int(file.query(pragma)[0][0]))


async def test_a_reader_opened_before_the_file_exists_finds_it_later(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with SqliteStore(path, read_only=True) as reader:
        with pytest.raises(StoreError, match="no store") as caught:
            await reader.ping()
        assert caught.value.retryable
        assert not path.exists()
        async with SqliteStore(path) as writer:
            await writer.commit([ONE])
        assert (await reader.latest_many([DEV]))[DEV] == ONE


async def test_commits_are_synced_and_logged_ahead(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "x.db") as store:
        assert await store.writer.run(SqliteWriter.query, "PRAGMA journal_mode") == [("wal",)]
        assert await _on_writer(store, "PRAGMA synchronous") == 2  # FULL


async def test_another_process_reads_while_we_write(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with SqliteStore(path) as store:
        await store.commit([ONE])
        script = (
            "import asyncio, sys\nfrom pathlib import Path\n"
            "from iotcache.store.sqlite.store import SqliteStore\n"
            "from iotcache.model import Series\n"
            "async def main():\n"
            "  async with SqliteStore(Path(sys.argv[1]), read_only=True) as s:\n"
            "    seen = set()\n"
            "    while len(seen) < 5:\n"
            "      (one,) = (await s.latest_many([Series('dev-1','t')])).values()\n"
            "      seen.add(one.reading.value)\n"
            "    print(len(seen))\n"
            "asyncio.run(main())\n"
        )
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", script, str(path), stdout=subprocess.PIPE
        )
        finished = asyncio.create_task(other.communicate())
        n = 0
        while not finished.done():
            n += 1
            await store.commit([StoredReading(Reading("dev-1", "t", float(n), T0 + n))])
        assert (await finished)[0] == b"5\n"


async def test_a_commit_whose_caller_is_cancelled_is_whole_or_absent(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "x.db") as store:
        batch = [StoredReading(Reading(f"d{n}", "t", float(n), T0)) for n in range(2_000)]
        task = asyncio.create_task(store.commit(batch))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.commit([ONE])
        assert (await store.counts()).readings in (1, 2_001)
        assert (await store.commit(batch)).stored in (0, 2_000)


@pytest.mark.parametrize("url", ["embedded", "sqlite:///", "mysql://x"])
def test_a_url_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="store"):
        open_store(StoreSettings(url=url))
