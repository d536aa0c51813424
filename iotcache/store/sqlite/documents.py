"""Documents in the SQLite store: blocking work on its file, and the face that runs it on its threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from iotcache.model import Document, DocumentKind, DocumentName, Series
from iotcache.store.base import SeriesInfo
from iotcache.store.documents import document_row, highest, place_after, row_document, stands
from iotcache.store.rows import give_text, keep_text
from iotcache.store.sqlite.file import SqliteFile

Run = Callable[..., Awaitable[Any]]
"""Runs ``work(file, *arguments)`` on a thread of the store."""

_KEEP = """
    INSERT INTO document VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (device, kind) DO UPDATE SET
        version = excluded.version, content = excluded.content, site = excluded.site, at_us = excluded.at_us
    WHERE excluded.version > document.version
"""
_FIND = """
    SELECT device, kind, version, content, site, at_us FROM document WHERE device = ? AND kind = ?
    AND NOT EXISTS (SELECT 1 FROM decommissioned WHERE decommissioned.device = document.device)
"""
_NAMES = """
    SELECT device, kind FROM document WHERE (device, kind) > (?, ?)
    AND NOT EXISTS (SELECT 1 FROM decommissioned WHERE decommissioned.device = document.device)
    ORDER BY device, kind LIMIT ?
"""
_SENSORS = """
    SELECT id, sensor, latest.site, latest.unit, interval_s FROM series
    JOIN latest ON series_id = id WHERE device = ? ORDER BY id
"""
_DECOMMISSION = """
    INSERT INTO decommissioned SELECT ?1, ?2 WHERE NOT EXISTS (
        SELECT 1 FROM document WHERE device = ?1 AND kind = 'meta' AND at_us > ?2
    )
    ON CONFLICT (device) DO UPDATE SET at_us = max(at_us, excluded.at_us)
"""


class SqliteDocuments:
    """`iotcache.store.base.Documents` over SQLite."""

    def __init__(self, write: Run, read: Run) -> None:
        self._write = write
        self._read = read

    async def keep(self, documents: Sequence[Document]) -> Sequence[Document]:
        kept: Sequence[Document] = await self._write(_keep, documents)
        return kept

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        found: Mapping[DocumentName, Document] = await self._read(_find, names)
        return found

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        rows = await self._read(SqliteFile.query, _NAMES, (*place_after(above), limit))
        return [DocumentName(give_text(device), DocumentKind(kind)) for device, kind in rows]

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        found: Sequence[SeriesInfo] = await self._read(_sensors, devices)
        return found

    async def decommission(self, ends: Mapping[str, int]) -> None:
        await self._write(_decommission, ends)

    async def recommission(self, devices: Sequence[str]) -> None:
        await self._write(_recommission, devices)

    async def decommissioned(self, above: str = "", limit: int = 1_000) -> Sequence[str]:
        statement = "SELECT device FROM decommissioned WHERE device > ? ORDER BY device LIMIT ?"
        rows = await self._read(SqliteFile.query, statement, (keep_text(above), limit))
        return [give_text(device) for (device,) in rows]


def _keep(file: SqliteFile, documents: Sequence[Document]) -> list[Document]:
    best = highest(documents)
    rows = [document_row(document) for document in best]
    with file.transaction() as db:
        db.executemany(_KEEP, rows)
        db.executemany(
            "DELETE FROM decommissioned WHERE device = ? AND at_us < ?",
            [(row[0], row[5]) for row in rows if row[1] == DocumentKind.META],
        )
    found = _find(file, [document.name for document in best])
    return [document for document in best if stands(document, found.get(document.name))]


def _find(file: SqliteFile, names: Sequence[DocumentName]) -> dict[DocumentName, Document]:
    found = {}
    for device, kind in names:
        for row in file.query(_FIND, (keep_text(device), kind.value)):
            document = row_document(row)
            found[document.name] = document
    return found


def _sensors(file: SqliteFile, devices: Sequence[str]) -> list[SeriesInfo]:
    return [
        SeriesInfo(Series(device, give_text(sensor)), give_text(site), give_text(unit), interval_s, order)
        for device in devices
        for order, sensor, site, unit, interval_s in file.query(_SENSORS, (keep_text(device),))
    ]


def _decommission(file: SqliteFile, ends: Mapping[str, int]) -> None:
    with file.transaction() as db:
        db.executemany(_DECOMMISSION, [(keep_text(device), at_us) for device, at_us in ends.items()])


def _recommission(file: SqliteFile, devices: Sequence[str]) -> None:
    with file.transaction() as db:
        db.executemany("DELETE FROM decommissioned WHERE device = ?", [(keep_text(one),) for one in devices])
