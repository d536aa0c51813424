"""Alerts in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iotcache.model.alerts import Alert, AlertState
from iotcache.store.postgres.types import Begin, Query
from iotcache.store.rows import alert_row, escape_text, row_alert

_RAISE: Final = """
    INSERT INTO iotcache.alert (name, subject, severity, state, since_us, body, value, kind, site, changed_us,
        acknowledged_us, acknowledged_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (name, subject) WHERE state <> 'cleared' DO NOTHING
    RETURNING *
"""
_CLEAR: Final = """
    UPDATE iotcache.alert SET state = 'cleared', changed_us = %s, body = %s, value = %s
    WHERE name = %s AND subject = %s AND state <> 'cleared'
    RETURNING *
"""
_ACKNOWLEDGE: Final = """
    UPDATE iotcache.alert
    SET state = 'acknowledged', changed_us = %s, acknowledged_us = %s, acknowledged_by = %s
    WHERE name = %s AND subject = %s AND state = 'raised'
"""
_FIND_ACTIVE: Final = """
    SELECT * FROM iotcache.alert WHERE name = %s AND subject = %s AND state <> 'cleared'
"""
_ACTIVE: Final = """
    SELECT * FROM iotcache.alert WHERE state <> 'cleared' ORDER BY since_us, id LIMIT %s
"""
_CLEARED: Final = """
    SELECT * FROM iotcache.alert WHERE state = 'cleared'
    ORDER BY changed_us DESC, id DESC LIMIT %s
"""
_PRUNE: Final = """
    DELETE FROM iotcache.alert WHERE id IN (
        SELECT id FROM iotcache.alert
        WHERE state = 'cleared' AND changed_us < %s ORDER BY changed_us LIMIT %s)
"""


class PostgresAlerts:
    """`iotcache.store.base.Alerts` over PostgreSQL."""

    def __init__(self, begin: Begin, query: Query) -> None:
        self._begin = begin
        self._query = query

    async def record(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        changed: list[Alert] = []
        if not alerts:
            return changed
        async with self._begin() as connection:
            # All workers write in one order: no deadlock. The sort is stable, so that an alert raised and
            # cleared in one call keeps that order.
            for row in sorted(map(alert_row, alerts), key=lambda row: row[:2]):
                if row[3] == AlertState.CLEARED:
                    done = await connection.execute(_CLEAR, (row[9], row[5], row[6], row[0], row[1]))
                else:
                    done = await connection.execute(_RAISE, row)
                changed += [row_alert(changed_row) for changed_row in await done.fetchall()]
        return changed

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        key = (escape_text(name), escape_text(subject))
        async with self._begin() as connection:
            await connection.execute(_ACKNOWLEDGE, (at_us, at_us, escape_text(by), *key))
            rows = await (await connection.execute(_FIND_ACTIVE, key)).fetchall()
        return row_alert(rows[0]) if rows else None

    async def active(self, limit: int = 10_000) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._query(_ACTIVE, (limit,))]

    async def cleared(self, limit: int = 100) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._query(_CLEARED, (limit,))]

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        async with self._begin() as connection:
            return (await connection.execute(_PRUNE, (before_us, limit))).rowcount
