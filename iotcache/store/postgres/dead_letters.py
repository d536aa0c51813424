"""Dead letters one by one in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iotcache.store.base import StoredDeadLetter
from iotcache.store.postgres.alerts import Query, Write
from iotcache.store.rows import keep_text
from iotcache.store.sqlite.dead_letters import letter_of

_PAGE: Final = """
    SELECT id, topic, payload, reason, received_us, times FROM dead_letter
    WHERE id < %s AND (%s::text = '' OR position(lower(%s::text) in lower(reason)) > 0)
    ORDER BY id DESC LIMIT %s
"""
_FIND: Final = """
    SELECT id, topic, payload, reason, received_us, times FROM dead_letter WHERE id = ANY(%s) ORDER BY id DESC
"""
_REMOVE_BEFORE: Final = """
    DELETE FROM dead_letter WHERE id IN
        (SELECT id FROM dead_letter WHERE received_us < %s ORDER BY received_us LIMIT %s)
"""
_HIGHEST: Final = 1 << 62


class PostgresDeadLetters:
    """`iotcache.store.base.DeadLetters` over PostgreSQL."""

    def __init__(self, write: Write, query: Query) -> None:
        self._write = write
        self._query = query

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        wanted = keep_text(reason)
        rows = await self._query(_PAGE, (_HIGHEST if below is None else below, wanted, wanted, limit))
        return [letter_of(row) for row in rows]

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        return [letter_of(row) for row in await self._query(_FIND, (list(numbers),))]

    async def remove(self, numbers: Sequence[int]) -> int:
        async with self._write() as connection:
            done = await connection.execute("DELETE FROM dead_letter WHERE id = ANY(%s)", (list(numbers),))
            return done.rowcount

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        async with self._write() as connection:
            return (await connection.execute(_REMOVE_BEFORE, (before_us, limit))).rowcount
