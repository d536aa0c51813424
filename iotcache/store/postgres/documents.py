"""Documents in the PostgreSQL store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from iotcache.model import Document, DocumentKind, DocumentName, Series
from iotcache.store.base import SeriesInfo
from iotcache.store.postgres.rows import arrays, texts_array
from iotcache.store.postgres.types import Begin, Query
from iotcache.store.rows import (
    document_row,
    escape_text,
    highest_versions,
    is_same_version,
    names_after,
    row_document,
    unescape_text,
)

_UPSERT: Final = """
    INSERT INTO iotcache.document SELECT * FROM unnest(
        %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])
    ON CONFLICT (device, kind) DO UPDATE SET
        version = excluded.version, content = excluded.content, site = excluded.site, at_us = excluded.at_us
    WHERE excluded.version > document.version
"""
_RECOMMISSION: Final = """
    DELETE FROM iotcache.decommissioned USING unnest(%s::text[], %s::bigint[]) AS born (device, at_us)
    WHERE decommissioned.device = born.device AND decommissioned.at_us < born.at_us
"""
_FIND: Final = """
    SELECT device, kind, version, content, site, at_us
    FROM iotcache.document JOIN unnest(%s::text[], %s::text[]) AS want (device, kind) USING (device, kind)
    WHERE NOT EXISTS (SELECT 1 FROM iotcache.decommissioned WHERE decommissioned.device = document.device)
"""
_NAMES: Final = """
    SELECT device, kind FROM iotcache.document WHERE (device, kind) > (%s, %s)
    AND NOT EXISTS (SELECT 1 FROM iotcache.decommissioned WHERE decommissioned.device = document.device)
    ORDER BY device, kind LIMIT %s
"""
_SENSORS: Final = """
    SELECT id, device, sensor, latest.site, latest.unit, interval_s FROM iotcache.series
    JOIN iotcache.latest ON series_id = id WHERE device = ANY (%s::text[]) ORDER BY id
"""
_DECOMMISSION: Final = """
    INSERT INTO iotcache.decommissioned
    SELECT device, at_us FROM unnest(%s::text[], %s::bigint[]) AS given (device, at_us)
    WHERE NOT EXISTS (
        SELECT 1 FROM iotcache.document
        WHERE document.device = given.device AND kind = 'meta' AND document.at_us > given.at_us)
    ON CONFLICT (device) DO UPDATE SET at_us = greatest(decommissioned.at_us, excluded.at_us)
"""


class PostgresDocuments:
    """`iotcache.store.base.Documents` over PostgreSQL."""

    def __init__(self, begin: Begin, query: Query) -> None:
        self._begin = begin
        self._query = query

    async def upsert(self, documents: Sequence[Document]) -> Sequence[Document]:
        best = highest_versions(documents)
        if not best:
            return []
        rows = [document_row(document) for document in best]
        births = [(row[0], row[5]) for row in rows if row[1] == DocumentKind.META]
        async with self._begin() as connection:
            await connection.execute(_UPSERT, arrays(rows, "ttnttn"))
            if births:
                await connection.execute(_RECOMMISSION, arrays(births, "tn"))
        stored = await self.find([document.name for document in best])
        return [document for document in best if is_same_version(document, stored.get(document.name))]

    async def find(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        rows = await self._query(
            _FIND,
            (texts_array(escape_text(device) for device, _ in names), texts_array(kind for _, kind in names)),
        )
        documents = map(row_document, rows)
        return {document.name: document for document in documents}

    async def names(self, above: DocumentName | None = None, limit: int = 5_000) -> Sequence[DocumentName]:
        rows = await self._query(_NAMES, (*names_after(above), limit))
        return [DocumentName(unescape_text(device), DocumentKind(kind)) for device, kind in rows]

    async def sensors(self, devices: Sequence[str]) -> Sequence[SeriesInfo]:
        rows = await self._query(_SENSORS, (texts_array(map(escape_text, devices)),))
        return [
            SeriesInfo(
                Series(unescape_text(device), unescape_text(sensor)),
                unescape_text(site),
                unescape_text(unit),
                interval_s,
                order,
            )
            for order, device, sensor, site, unit, interval_s in rows
        ]  # fmt: skip

    async def decommission(self, ends: Mapping[str, int]) -> None:
        if not ends:
            return
        rows = [(escape_text(device), at_us) for device, at_us in sorted(ends.items())]
        async with self._begin() as connection:
            await connection.execute(_DECOMMISSION, arrays(rows, "tn"))

    async def recommission(self, devices: Sequence[str]) -> None:
        async with self._begin() as connection:
            await connection.execute(
                "DELETE FROM iotcache.decommissioned WHERE device = ANY (%s::text[])",
                (texts_array(map(escape_text, devices)),),
            )

    async def decommissioned(self, above: str = "", limit: int = 1_000) -> Sequence[str]:
        rows = await self._query(
            "SELECT device FROM iotcache.decommissioned WHERE device > %s ORDER BY device LIMIT %s",
            (escape_text(above), limit),
        )
        return [unescape_text(device) for (device,) in rows]
