"""A file of each earlier format is brought up to date, and keeps what it holds."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from iotcache.errors import StoreError
from iotcache.model import Reading, Series, StoredReading
from iotcache.store.sqlite import schema as sqlite_schema
from iotcache.store.sqlite.store import SqliteStore

T0 = 1_780_000_000_000_000
FORMATS = len(sqlite_schema._STEPS)
TRUNCATED_STEP = next(n for n, step in enumerate(sqlite_schema._STEPS) if "ADD COLUMN truncated" in step)
DEAD = {
    "because": False,
    "the payload has 1,048,577 bytes; 1,048,576 are allowed (only its first 65,536 are kept here)": True,
    "the broker sent a PUBLISH that has QoS 3": True,
}
"""Reasons from before a column told whether a dead letter is truncated; and whether it is."""
ONE = StoredReading(Reading("dev-1", "t", 1.5, T0, "°C", "plant", 7, "b", T0 + 1, 10.0), T0 + 30)


def fill_dead_letters(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for number, reason in enumerate(DEAD):
            db.execute(
                "INSERT INTO dead_letter (received_us, topic, payload, reason, digest) "
                "VALUES (?, 't', zeroblob(65536), ?, ?)",
                (T0 + number, reason, bytes([number])),
            )
        db.commit()


def tables(path: Path) -> list[tuple[str, str]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("version", range(1, FORMATS))
async def test_an_older_file_gets_the_missing_steps_and_keeps_its_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    steps = sqlite_schema._STEPS
    with monkeypatch.context() as earlier:
        earlier.setattr(sqlite_schema, "_STEPS", steps[:version])
        async with SqliteStore(old) as store:
            await store.commit([ONE])
        fill_dead_letters(old)
    async with SqliteStore(old) as store:
        assert (await store.latest_many([Series("dev-1", "t")]))[Series("dev-1", "t")] == ONE
        assert (await store.commit([ONE])).duplicates == 1
        dead = {letter.reason: letter.truncated for letter in await store.recent_dead_letters()}
        assert dead == DEAD if version <= TRUNCATED_STEP else dead.keys() == DEAD.keys()
        assert await store.documents.decommissioned("", 10) == []
    async with SqliteStore(new):
        pass
    assert tables(old) == tables(new)


async def test_a_step_that_fails_leaves_the_format_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    async with SqliteStore(path) as store:
        await store.commit([ONE])
    before = tables(path)
    broken = (*sqlite_schema._STEPS, "CREATE TABLE half (a); CREATE TABLE series (a)")
    with monkeypatch.context() as later:
        later.setattr(sqlite_schema, "_STEPS", broken)
        with pytest.raises(StoreError, match="series"):
            async with SqliteStore(path) as store:
                await store.commit(())
    assert tables(path) == before
    async with SqliteStore(path) as store:
        assert (await store.counts()).readings == 1
