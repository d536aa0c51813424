"""Documents in the SQLite store: blocking functions, and the class that runs them on the store's threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iotcache.model import Document, DocumentKind, DocumentName, Series
from iotcache.store.base import SeriesInfo
from iotcache.store.rows import (
    document_row,
    escape_text,
    highest_versions,
    is_same_version,
    names_after,
    row_document,
    unescape_text,
)
from iotcache.store.sqlite.file import SqliteFile
from iotcache.store.sqlite.reader import SqliteReader
from iotcache.store.sqlite.thread import FileThread
from iotcache.store.sqlite.writer import SqliteWriter

_UPSERT = """
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

    def __init__(self, writer: FileThread[SqliteWriter], reader: FileThread[SqliteReader]) -> None:
        self._writer = writer
        self._reader = reader

    async def upsert(self, documents: Sequence[Document]) -> Sequence[Document]:
        return await self._writer.run(_upsert, documents)

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        return await self._reader.run(_find, names)

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        rows = await self._reader.run(SqliteReader.query, _NAMES, (*names_after(above), limit))
        return [DocumentName(unescape_text(device), DocumentKind(kind)) for device, kind in rows]

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        return await self._reader.run(_sensors, devices)

    async def decommission(self, ends: Mapping[str, int]) -> None:
        await self._writer.run(_decommission, ends)

    async def recommission(self, devices: Sequence[str]) -> None:
        await self._writer.run(_recommission, devices)

    async def decommissioned(self, above: str = "", limit: int = 1_000) -> Sequence[str]:
        statement = "SELECT device FROM decommissioned WHERE device > ? ORDER BY device LIMIT ?"
        rows = await self._reader.run(SqliteReader.query, statement, (escape_text(above), limit))
        return [unescape_text(device) for (device,) in rows]


def _upsert(file: SqliteWriter, documents: Sequence[Document]) -> list[Document]:
    best = highest_versions(documents)
    rows = [document_row(document) for document in best]
    with file.transaction() as db:
        db.executemany(_UPSERT, rows)
        db.executemany(
            "DELETE FROM decommissioned WHERE device = ? AND at_us < ?",
            [(row[0], row[5]) for row in rows if row[1] == DocumentKind.META],
        )
    stored = _find(file, [document.name for document in best])
    return [document for document in best if is_same_version(document, stored.get(document.name))]


def _find(file: SqliteFile, names: Sequence[DocumentName]) -> dict[DocumentName, Document]:
    documents = {}
    for device, kind in names:
        for row in file.query(_FIND, (escape_text(device), kind.value)):
            document = row_document(row)
            documents[document.name] = document
    return documents


def _sensors(file: SqliteReader, devices: Sequence[str]) -> list[SeriesInfo]:
    return [
        SeriesInfo(
            Series(device, unescape_text(sensor)), unescape_text(site), unescape_text(unit), interval_s, order
        )
        for device in devices
        for order, sensor, site, unit, interval_s in file.query(_SENSORS, (escape_text(device),))
    ]


def _decommission(file: SqliteWriter, ends: Mapping[str, int]) -> None:
    with file.transaction() as db:
        db.executemany(_DECOMMISSION, [(escape_text(device), at_us) for device, at_us in ends.items()])


def _recommission(file: SqliteWriter, devices: Sequence[str]) -> None:
    with file.transaction() as db:
        db.executemany(
            "DELETE FROM decommissioned WHERE device = ?", [(escape_text(device),) for device in devices]
        )
