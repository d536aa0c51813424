"""Documents in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from iotcache.model import Document, DocumentKind, DocumentName, Series
from iotcache.store.base import SeriesInfo
from iotcache.store.documents import document_row, highest, place_after, row_document, stands
from iotcache.store.postgres.connection import Connection, Row
from iotcache.store.postgres.rows import arrays, texts_array
from iotcache.store.rows import give_text, keep_text

Write = Callable[[], AbstractAsyncContextManager[Connection]]
"""A transaction on the connection that writes."""
Query = Callable[..., Awaitable[list[Row]]]
"""All rows of one statement, on a connection that reads."""

_KEEP: Final = """
    INSERT INTO document SELECT * FROM unnest(
        %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])
    ON CONFLICT (device, kind) DO UPDATE SET
        version = excluded.version, content = excluded.content, site = excluded.site, at_us = excluded.at_us
    WHERE excluded.version > document.version
"""
_RETURN: Final = """
    DELETE FROM decommissioned USING unnest(%s::text[], %s::bigint[]) AS said (device, at_us)
    WHERE decommissioned.device = said.device AND decommissioned.at_us < said.at_us
"""
_FIND: Final = """
    SELECT device, kind, version, content, site, at_us
    FROM document JOIN unnest(%s::text[], %s::text[]) AS want (device, kind) USING (device, kind)
    WHERE NOT EXISTS (SELECT 1 FROM decommissioned WHERE decommissioned.device = document.device)
"""
_NAMES: Final = """
    SELECT device, kind FROM document WHERE (device, kind) > (%s, %s)
    AND NOT EXISTS (SELECT 1 FROM decommissioned WHERE decommissioned.device = document.device)
    ORDER BY device, kind LIMIT %s
"""
_SENSORS: Final = """
    SELECT id, device, sensor, latest.site, latest.unit, interval_s FROM series
    JOIN latest ON series_id = id WHERE device = ANY (%s::text[]) ORDER BY id
"""
_DECOMMISSION: Final = """
    INSERT INTO decommissioned
    SELECT device, at_us FROM unnest(%s::text[], %s::bigint[]) AS given (device, at_us)
    WHERE NOT EXISTS (
        SELECT 1 FROM document
        WHERE document.device = given.device AND kind = 'meta' AND document.at_us > given.at_us)
    ON CONFLICT (device) DO UPDATE SET at_us = greatest(decommissioned.at_us, excluded.at_us)
"""


class PostgresDocuments:
    """`iotcache.store.base.Documents` over PostgreSQL."""

    def __init__(self, write: Write, query: Query) -> None:
        self._write = write
        self._query = query

    async def keep(self, documents: Sequence[Document]) -> Sequence[Document]:
        best = highest(documents)
        if not best:
            return []
        rows = [document_row(document) for document in best]
        births = [(row[0], row[5]) for row in rows if row[1] == DocumentKind.META]
        async with self._write() as connection:
            await connection.execute(_KEEP, arrays(rows, "ttnttn"))
            if births:
                await connection.execute(_RETURN, arrays(births, "tn"))
        found = await self.find([document.name for document in best])
        return [document for document in best if stands(document, found.get(document.name))]

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        rows = await self._query(
            _FIND,
            (texts_array(keep_text(device) for device, _ in names), texts_array(kind for _, kind in names)),
        )
        found = (row_document(row) for row in rows)
        return {document.name: document for document in found}

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        rows = await self._query(_NAMES, (*place_after(above), limit))
        return [DocumentName(give_text(device), DocumentKind(kind)) for device, kind in rows]

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        rows = await self._query(_SENSORS, (texts_array(map(keep_text, devices)),))
        return [
            SeriesInfo(
                Series(give_text(device), give_text(sensor)), give_text(site), give_text(unit), every_s, order
            )
            for order, device, sensor, site, unit, every_s in rows
        ]  # fmt: skip

    async def decommission(self, ends: Mapping[str, int]) -> None:
        if not ends:
            return
        rows = [(keep_text(device), at_us) for device, at_us in sorted(ends.items())]
        async with self._write() as connection:
            await connection.execute(_DECOMMISSION, arrays(rows, "tn"))

    async def recommission(self, devices: Sequence[str]) -> None:
        async with self._write() as connection:
            await connection.execute(
                "DELETE FROM decommissioned WHERE device = ANY (%s::text[])",
                (texts_array(map(keep_text, devices)),),
            )

    async def decommissioned(self, above: str = "", limit: int = 1_000) -> Sequence[str]:
        rows = await self._query(
            "SELECT device FROM decommissioned WHERE device > %s ORDER BY device LIMIT %s",
            (keep_text(above), limit),
        )
        return [give_text(device) for (device,) in rows]
