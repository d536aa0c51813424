"""Alerts in the SQLite store."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.model.alerts import Alert, AlertState
from iotcache.store.rows import alert_row, escape_text, row_alert
from iotcache.store.sqlite.reader import SqliteReader
from iotcache.store.sqlite.thread import FileThread
from iotcache.store.sqlite.writer import SqliteWriter

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
_FIND_ACTIVE = "SELECT * FROM alert WHERE name = ? AND subject = ? AND state <> 'cleared'"
_ACTIVE = "SELECT * FROM alert WHERE state <> 'cleared' ORDER BY since_us, id LIMIT ?"
_CLEARED = "SELECT * FROM alert WHERE state = 'cleared' ORDER BY changed_us DESC, id DESC LIMIT ?"
_PRUNE = """
    DELETE FROM alert WHERE id IN (
        SELECT id FROM alert WHERE state = 'cleared' AND changed_us < ? ORDER BY changed_us LIMIT ?)
"""


class SqliteAlerts:
    """`iotcache.store.base.Alerts` over SQLite."""

    def __init__(self, writer: FileThread[SqliteWriter], reader: FileThread[SqliteReader]) -> None:
        self._writer = writer
        self._reader = reader

    async def record(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        return await self._writer.run(_record, alerts) if alerts else ()

    async def acknowledge(self, name: str, subject: str, by: str, at_us: int) -> Alert | None:
        return await self._writer.run(_acknowledge, name, subject, by, at_us)

    async def active(self, limit: int = 10_000) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._reader.run(SqliteReader.query, _ACTIVE, (limit,))]

    async def cleared(self, limit: int = 100) -> Sequence[Alert]:
        return [row_alert(row) for row in await self._reader.run(SqliteReader.query, _CLEARED, (limit,))]

    async def prune(self, before_us: int, limit: int = 10_000) -> int:
        return await self._writer.run(_prune, before_us, limit)


def _record(file: SqliteWriter, alerts: Sequence[Alert]) -> list[Alert]:
    changed: list[Alert] = []
    with file.transaction() as db:
        for alert in alerts:
            row = alert_row(alert)
            if alert.state is AlertState.CLEARED:
                rows = db.execute(_CLEAR, (row[9], row[5], row[6], row[0], row[1])).fetchall()
            else:
                rows = db.execute(_RAISE, row).fetchall()
            changed += [row_alert(changed_row) for changed_row in rows]
    return changed


def _acknowledge(file: SqliteWriter, name: str, subject: str, by: str, at_us: int) -> Alert | None:
    key = (escape_text(name), escape_text(subject))
    with file.transaction() as db:
        db.execute(_ACKNOWLEDGE, (at_us, escape_text(by), *key))
        rows = db.execute(_FIND_ACTIVE, key).fetchall()
    return row_alert(rows[0]) if rows else None


def _prune(file: SqliteWriter, before_us: int, limit: int) -> int:
    with file.transaction() as db:
        return db.execute(_PRUNE, (before_us, limit)).rowcount
