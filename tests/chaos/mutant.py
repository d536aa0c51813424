"""The program with one promise of its worker broken: ``python mutant.py NAME ingest …``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from iotcache.errors import IotCacheError
from iotcache.ingest.batches import DecodedBatch
from iotcache.ingest.commit import Committer
from iotcache.ingest.pipeline import Pipeline
from iotcache.model import StoredReading
from iotcache.mqtt.connection import Endpoint
from iotcache.store.base import Committed
from iotcache.store.sqlite.writer import SqliteWriter
from iotcache_tui.cli.main import main

_put = Pipeline.put
_commit = Committer.commit
_rows = SqliteWriter._rows
_login = Endpoint.login


def acknowledge_before_commit() -> None:
    """The sender is told that its readings are safe before they are."""

    async def put(self: Pipeline, batch: DecodedBatch) -> None:
        batch.on_settled(None)
        batch.on_settled = lambda committed: None
        await _put(self, batch)

    Pipeline.put = put  # type: ignore[method-assign]


def cache_before_store() -> None:
    """Readers see values that may never be stored."""

    async def put(self: Pipeline, batch: DecodedBatch) -> None:
        self._planner.plan(batch)
        newest = {stored.reading.series: stored for stored in batch.planned}
        with suppress(IotCacheError):
            await self._cache.write_through(list(newest.values()))
        await _put(self, batch)

    Pipeline.put = put  # type: ignore[method-assign]


def no_dedupe() -> None:
    """A reading that is delivered again is stored again."""

    def rows(self: SqliteWriter, readings: Sequence[StoredReading], new: object) -> object:
        found = []
        for row in _rows(self, readings, new):  # type: ignore[arg-type]
            key = row[:4]
            known = self._db.execute(
                "SELECT 1 FROM reading WHERE series_id = ? AND ts_us = ? AND seq = ? AND boot = ?", key
            ).fetchone()
            found.append((row[0], row[1] + 1, *row[2:]) if known else row)
        return found

    SqliteWriter._rows = rows  # type: ignore[assignment,method-assign]


def lose_the_last_of_a_batch() -> None:
    """An off-by-one in the commit."""

    async def put(self: Pipeline, batch: DecodedBatch) -> None:
        if len(batch.readings) > 1:
            del batch.readings[-1]
        await _put(self, batch)

    Pipeline.put = put  # type: ignore[method-assign]


def forget_the_write_through() -> None:
    """Every other batch is stored and not cached: entries stay as they were."""
    _write_through = Pipeline._write_through
    calls = [0]

    async def write_through(self: Pipeline, newest: Sequence[StoredReading]) -> None:
        calls[0] += 1
        if calls[0] % 2:
            await _write_through(self, newest)

    Pipeline._write_through = write_through  # type: ignore[method-assign]


def give_up_on_a_store_that_is_away() -> None:
    """What cannot be written at once is acknowledged all the same."""

    async def until_written(self: Committer, whole: Callable[[], object], piecewise: object) -> Committed:
        try:
            return await whole()  # type: ignore[misc,no-any-return]
        except Exception:
            return Committed(0, 0, ())

    Committer._until_written = until_written  # type: ignore[assignment,method-assign]


def begin_a_clean_session() -> None:
    """What arrives while the worker is down is nobody's."""
    Endpoint.login = lambda self: _login(replace(self, persistent=False))  # type: ignore[method-assign]


def swap_values() -> None:
    """Two readings of a batch have each other's value."""

    async def put(self: Pipeline, batch: DecodedBatch) -> None:
        if len(batch.readings) > 1:
            first, second = batch.readings[0], batch.readings[1]
            batch.readings[0] = replace(first, value=second.value)
        await _put(self, batch)

    Pipeline.put = put  # type: ignore[method-assign]


MUTANTS = {
    mutate.__name__: mutate
    for mutate in (
        acknowledge_before_commit, cache_before_store, no_dedupe, lose_the_last_of_a_batch,
        forget_the_write_through, give_up_on_a_store_that_is_away, begin_a_clean_session, swap_values,
    )
}  # fmt: skip


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    sys.exit(main())
