"""Dead letters one by one in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iotcache.store.base import StoredDeadLetter
from iotcache.store.postgres.statements import REMOVE_DEAD_LETTERS
from iotcache.store.postgres.types import Begin, Query
from iotcache.store.rows import MAX_NUMBER, escape_text, row_dead_letter

_PAGE: Final = """
    SELECT id, times, topic, payload, reason, received_us, truncated FROM iotcache.dead_letter
    WHERE id < %s AND (%s::text = '' OR position(lower(%s::text) in lower(reason)) > 0)
    ORDER BY id DESC LIMIT %s
"""
_FIND: Final = """
    SELECT id, times, topic, payload, reason, received_us, truncated FROM iotcache.dead_letter
    WHERE id = ANY(%s) ORDER BY id DESC
"""
_REMOVE_BEFORE: Final = """
    DELETE FROM iotcache.dead_letter WHERE id IN
        (SELECT id FROM iotcache.dead_letter WHERE received_us < %s ORDER BY received_us LIMIT %s)
"""


class PostgresDeadLetters:
    """`iotcache.store.base.DeadLetters` over PostgreSQL."""

    def __init__(self, begin: Begin, query: Query) -> None:
        self._begin = begin
        self._query = query

    async def page(
        self, below: int | None = None, limit: int = 100, reason: str = ""
    ) -> Sequence[StoredDeadLetter]:
        pattern = escape_text(reason)
        rows = await self._query(_PAGE, (MAX_NUMBER if below is None else below, pattern, pattern, limit))
        return [row_dead_letter(row) for row in rows]

    async def find(self, numbers: Sequence[int]) -> Sequence[StoredDeadLetter]:
        return [row_dead_letter(row) for row in await self._query(_FIND, (list(numbers),))]

    async def remove(self, numbers: Sequence[int]) -> int:
        async with self._begin() as connection:
            return (await connection.execute(REMOVE_DEAD_LETTERS, (list(numbers),))).rowcount

    async def remove_before(self, before_us: int, limit: int = 10_000) -> int:
        async with self._begin() as connection:
            return (await connection.execute(_REMOVE_BEFORE, (before_us, limit))).rowcount
