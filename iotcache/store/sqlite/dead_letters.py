"""Dead letters one by one in the SQLite store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iotcache.store.base import StoredDeadLetter
from iotcache.store.rows import MAX_NUMBER, escape_text, row_dead_letter
from iotcache.store.sqlite.reader import SqliteReader
from iotcache.store.sqlite.thread import FileThread
from iotcache.store.sqlite.writer import SqliteWriter

_PAGE: Final = """
    SELECT id, times, topic, payload, reason, received_us, truncated FROM dead_letter
    WHERE id < ? AND (? = '' OR instr(lower(reason), lower(?)) > 0)
    ORDER BY id DESC LIMIT ?
"""
_FIND: Final = """
    SELECT id, times, topic, payload, reason, received_us, truncated FROM dead_letter WHERE id = ?
"""
_REMOVE_BEFORE: Final = """
    DELETE FROM dead_letter WHERE id IN
        (SELECT id FROM dead_letter WHERE received_us < ? ORDER BY received_us LIMIT ?)
"""


class SqliteDeadLetters:
    """`iotcache.store.base.DeadLetters` over SQLite."""

    def __init__(self, writer: FileThread[SqliteWriter], reader: FileThread[SqliteReader]) -> None:
        self._writer = writer
        self._reader = reader

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        highest = MAX_NUMBER if below is None else below
        pattern = escape_text(reason)
        rows = await self._reader.run(SqliteReader.query, _PAGE, (highest, pattern, pattern, limit))
        return [row_dead_letter(row) for row in rows]

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        dead_letters: list[StoredDeadLetter] = []
        for number in numbers:
            rows = await self._reader.run(SqliteReader.query, _FIND, (number,))
            dead_letters += map(row_dead_letter, rows)
        return dead_letters

    async def remove(self, numbers: Sequence[int]) -> int:
        return await self._writer.run(_remove, numbers)

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        return await self._writer.run(_remove_before, before_us, limit)


def _remove(file: SqliteWriter, numbers: Sequence[int]) -> int:
    with file.transaction() as db:
        return sum(
            db.execute("DELETE FROM dead_letter WHERE id = ?", (number,)).rowcount for number in numbers
        )


def _remove_before(file: SqliteWriter, before_us: int, limit: int) -> int:
    with file.transaction() as db:
        return db.execute(_REMOVE_BEFORE, (before_us, limit)).rowcount
