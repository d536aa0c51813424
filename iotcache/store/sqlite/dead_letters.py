"""Dead letters one by one in the SQLite store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from iotcache.model import DeadLetter
from iotcache.store.base import StoredDeadLetter
from iotcache.store.rows import give_text, keep_text
from iotcache.store.sqlite.file import SqliteFile

Run = Callable[..., Awaitable[Any]]
"""Runs ``work(file, *arguments)`` on a thread of the store."""
_PAGE: Final = """
    SELECT id, topic, payload, reason, received_us, times FROM dead_letter
    WHERE id < ? AND (? = '' OR instr(lower(reason), lower(?)) > 0)
    ORDER BY id DESC LIMIT ?
"""
_ONE: Final = "SELECT id, topic, payload, reason, received_us, times FROM dead_letter WHERE id = ?"
_REMOVE_BEFORE: Final = """
    DELETE FROM dead_letter WHERE id IN
        (SELECT id FROM dead_letter WHERE received_us < ? ORDER BY received_us LIMIT ?)
"""
_HIGHEST: Final = 1 << 62


def letter_of(row: Sequence[Any]) -> StoredDeadLetter:
    number, topic, payload, reason, received_us, times = row
    return StoredDeadLetter(
        number, DeadLetter(give_text(topic), bytes(payload), give_text(reason), received_us), times
    )


class SqliteDeadLetters:
    """`iotcache.store.base.DeadLetters` over SQLite."""

    def __init__(self, write: Run, read: Run) -> None:
        self._write = write
        self._read = read

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        highest = _HIGHEST if below is None else below
        wanted = keep_text(reason)
        rows = await self._read(SqliteFile.query, _PAGE, (highest, wanted, wanted, limit))
        return [letter_of(row) for row in rows]

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        found = []
        for number in numbers:
            found += [letter_of(row) for row in await self._read(SqliteFile.query, _ONE, (number,))]
        return found

    async def remove(self, numbers: Sequence[int]) -> int:
        gone: int = await self._write(_remove, numbers)
        return gone

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        gone: int = await self._write(_remove_before, before_us, limit)
        return gone


def _remove(file: SqliteFile, numbers: Sequence[int]) -> int:
    with file.transaction() as db:
        return sum(
            db.execute("DELETE FROM dead_letter WHERE id = ?", (number,)).rowcount for number in numbers
        )


def _remove_before(file: SqliteFile, before_us: int, limit: int) -> int:
    with file.transaction() as db:
        return db.execute(_REMOVE_BEFORE, (before_us, limit)).rowcount
