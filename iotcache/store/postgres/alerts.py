"""Alerts in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from iotcache.model.alerts import Alert, AlertState
from iotcache.store.alert_rows import alert_row, row_alert
from iotcache.store.postgres.connection import Connection, Row
from iotcache.store.rows import keep_text

Write = Callable[[], AbstractAsyncContextManager[Connection]]
"""A transaction on the connection that writes."""
Query = Callable[..., Awaitable[list[Row]]]
"""All rows of one statement, on a connection that reads."""

_RAISE: Final = """
    INSERT INTO alert (name, subject, severity, state, since_us, body, value, kind, site, changed_us,
        acknowledged_us, acknowledged_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (name, subject) WHERE state <> 'cleared' DO NOTHING
    RETURNING *
"""
_CLEAR: Final = """
    UPDATE alert SET state = 'cleared', changed_us = %s, body = %s, value = %s
    WHERE name = %s AND subject = %s AND state <> 'cleared'
    RETURNING *
"""
_ACKNOWLEDGE: Final = """
    UPDATE alert SET state = 'acknowledged', changed_us = %s, acknowledged_us = %s, acknowledged_by = %s
    WHERE name = %s AND subject = %s AND state = 'raised'
"""
_ONE: Final = """
    SELECT * FROM alert WHERE name = %s AND subject = %s AND state <> 'cleared'
"""
_STANDING: Final = """
    SELECT * FROM alert WHERE state <> 'cleared' ORDER BY since_us, id LIMIT %s
"""
_PAST: Final = """
    SELECT * FROM alert WHERE state = 'cleared'
    ORDER BY changed_us DESC, id DESC LIMIT %s
"""
_PRUNE: Final = """
    DELETE FROM alert WHERE id IN (
        SELECT id FROM alert WHERE state = 'cleared' AND changed_us < %s ORDER BY changed_us LIMIT %s)
"""


class PostgresAlerts:
    """`iotcache.store.base.Alerts` over PostgreSQL."""

    def __init__(self, write: Write, query: Query) -> None:
        self._write = write
        self._query = query

    async def keep(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        news: list[Alert] = []
        if not alerts:
            return news
        async with self._write() as connection:
            # In one order whoever writes: no deadlock. What is raised and cleared in one go keeps its order.
            for row in sorted(map(alert_row, alerts), key=lambda row: row[:2]):
                if row[3] == AlertState.CLEARED:
                    done = await connection.execute(_CLEAR, (row[9], row[5], row[6], row[0], row[1]))
                else:
                    done = await connection.execute(_RAISE, row)
                news += [row_alert(one) for one in await done.fetchall()]
        return news

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        key = (keep_text(name), keep_text(subject))
        async with self._write() as connection:
            await connection.execute(_ACKNOWLEDGE, (at_us, at_us, keep_text(by), *key))
            rows = await (await connection.execute(_ONE, key)).fetchall()
        return row_alert(rows[0]) if rows else None

    async def standing(self, limit: int = 10_000) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._query(_STANDING, (limit,))]

    async def past(self, limit: int = 100) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._query(_PAST, (limit,))]

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        async with self._write() as connection:
            return (await connection.execute(_PRUNE, (before_us, limit))).rowcount
