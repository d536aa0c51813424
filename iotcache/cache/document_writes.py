"""Documents are put into the cache so that no older version ever replaces a newer one.

A reading is *set* by its writer, one round trip, as the next one comes in seconds. A configuration may stand
for years: whoever puts one looks at what is there and swaps it by CAS, so that of two writers whose commits
and puts cross the higher version stays, whichever comes last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from iotcache.cache.context import CacheContext
from iotcache.cache.documents import DocumentEntries
from iotcache.cache.write_through import WriteThrough
from iotcache.cluster.types import GetResult, Mode, SetItem
from iotcache.entry_codec import decode_document
from iotcache.errors import CorruptValue
from iotcache.misses import Record
from iotcache.model import Document, DocumentName, MissReason

PUT_ROUNDS: Final = 4
"""Attempts to put a document that others write at the same moment; then its entry is deleted."""


class DocumentWrites:
    """Puts and deletes the entries of documents."""

    def __init__(self, context: CacheContext, entries: DocumentEntries, writes: WriteThrough) -> None:
        self._context = context
        self._entries = entries
        self._writes = writes

    async def put(self, documents: Sequence[Document]) -> int:
        """Put documents that the store has into the cache, each unless a higher version is there.

        How many entries are as given, or newer, afterwards. What could not be put is deleted, or dirty until
        it can be. At most one document of a name.
        """
        remaining: dict[str, Document] = {}
        to_delete: list[str] = []
        for document in documents:
            key = self._entries.key(document.name)
            if len(self._entries.encode(document)[0]) <= self._context.max_value_bytes:
                remaining[key] = document
            else:
                to_delete.append(key)
        for _ in range(PUT_ROUNDS):
            if not remaining:
                break
            keys = list(remaining)
            results = await self._context.cluster.get_many(keys, cas=True)
            done = await self._put_once(remaining, keys, results)
            for key, result in zip(keys, results, strict=True):
                if key in done:
                    del remaining[key]
                elif result.failure is MissReason.TIMEOUT:
                    to_delete.append(key)
                    del remaining[key]
        to_delete += remaining
        if to_delete:
            await self._writes.delete(to_delete)
        return len(documents) - len(to_delete)

    async def delete(self, names: Sequence[DocumentName]) -> None:
        """Delete entries; what could not be deleted is dirty and tried again."""
        await self._writes.delete(self._entries.keys(names))

    async def _put_once(
        self, remaining: Mapping[str, Document], keys: Sequence[str], results: Sequence[GetResult]
    ) -> set[str]:
        """One attempt; the keys that need no other one."""
        done: set[str] = set()
        adds: list[SetItem] = []
        swaps: list[SetItem] = []
        seen: list[GetResult] = []
        for key, result in zip(keys, results, strict=True):
            document = remaining[key]
            if result.hit or result.cas:  # an entry, or the lease of a reader that is loading one
                if result.hit and _supersedes(result, document):
                    done.add(key)
                else:
                    swaps.append(self._entries.item(key, document, Mode.SET))
                    seen.append(result)
            elif result.failure is not MissReason.TIMEOUT:
                adds.append(self._entries.item(key, document, Mode.ADD))
        now_s = self._context.clock.now()
        written = [
            *(await self._context.cluster.set_many(adds) if adds else ()),
            *(await self._context.cluster.cas_many(swaps, seen) if swaps else ()),
        ]
        for item, outcome in zip((*adds, *swaps), written, strict=True):
            if outcome.ok:
                self._context.records.note(item.key, Record(now_s, now_s + item.ttl_s, outcome.node))
                done.add(item.key)
        return done


def _supersedes(result: GetResult, document: Document) -> bool:
    """Whether what is in the cache is to stay: it is a higher version, or the same document."""
    try:
        cached = decode_document(result.value, result.flags)
    except CorruptValue:
        return False
    if cached.version != document.version:
        return cached.version > document.version
    return bytes(cached.content).decode("utf-8", "replace") == document.content
