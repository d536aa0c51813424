"""Alerts in the SQLite store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from iotcache.model.alerts import Alert, AlertState
from iotcache.store.alert_rows import alert_row, row_alert
from iotcache.store.rows import keep_text
from iotcache.store.sqlite.file import SqliteFile

Run = Callable[..., Awaitable[Any]]
"""Runs ``work(file, *arguments)`` on a thread of the store."""

_RAISE = """
    INSERT INTO alert VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name, subject) WHERE state <> 'cleared' DO NOTHING RETURNING *
"""
_CLEAR = """
    UPDATE alert SET state = 'cleared', changed_us = ?, body = ?, value = ?
    WHERE name = ? AND subject = ? AND state <> 'cleared' RETURNING *
"""
_ACKNOWLEDGE = """
    UPDATE alert SET state = 'acknowledged', changed_us = ?1, acknowledged_us = ?1, acknowledged_by = ?2
    WHERE name = ?3 AND subject = ?4 AND state = 'raised'
"""
_ONE = "SELECT * FROM alert WHERE name = ? AND subject = ? AND state <> 'cleared'"
_STANDING = "SELECT * FROM alert WHERE state <> 'cleared' ORDER BY since_us, id LIMIT ?"
_PAST = "SELECT * FROM alert WHERE state = 'cleared' ORDER BY changed_us DESC, id DESC LIMIT ?"
_PRUNE = """
    DELETE FROM alert WHERE id IN (
        SELECT id FROM alert WHERE state = 'cleared' AND changed_us < ? ORDER BY changed_us LIMIT ?)
"""


class SqliteAlerts:
    """`iotcache.store.base.Alerts` over SQLite."""

    def __init__(self, write: Run, read: Run) -> None:
        self._write = write
        self._read = read

    async def keep(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        news: Sequence[Alert] = await self._write(_keep, alerts) if alerts else ()
        return news

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        found: Alert | None = await self._write(_acknowledge, name, subject, by, at_us)
        return found

    async def standing(self, limit: int = 10_000) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._read(SqliteFile.query, _STANDING, (limit,))]

    async def past(self, limit: int = 100) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._read(SqliteFile.query, _PAST, (limit,))]

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        gone: int = await self._write(_prune, before_us, limit)
        return gone


def _keep(file: SqliteFile, alerts: Sequence[Alert]) -> list[Alert]:
    news: list[Alert] = []
    with file.transaction() as db:
        for alert in alerts:
            row = alert_row(alert)
            if alert.state is AlertState.CLEARED:
                found = db.execute(_CLEAR, (row[9], row[5], row[6], row[0], row[1])).fetchall()
            else:
                found = db.execute(_RAISE, row).fetchall()
            news += [row_alert(one) for one in found]
    return news


def _acknowledge(file: SqliteFile, name: str, subject: str, by: str, at_us: int) -> Alert | None:
    key = (keep_text(name), keep_text(subject))
    with file.transaction() as db:
        db.execute(_ACKNOWLEDGE, (at_us, keep_text(by), *key))
        rows = db.execute(_ONE, key).fetchall()
    return row_alert(rows[0]) if rows else None


def _prune(file: SqliteFile, before_us: int, limit: int) -> int:
    with file.transaction() as db:
        return db.execute(_PRUNE, (before_us, limit)).rowcount
