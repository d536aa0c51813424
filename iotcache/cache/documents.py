"""Metadata and configuration, read through the cache; `iotcache.cache.document_writes` puts them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iotcache.cache.context import CacheContext
from iotcache.cache.entry_kind import EntryKind
from iotcache.cache.fill_result import FillResult
from iotcache.cache.read_through import ReadThrough
from iotcache.cluster.types import Mode, SetItem
from iotcache.entry_codec import decode_document, document_content, encode_document
from iotcache.errors import CorruptValue
from iotcache.model import Document, DocumentKind, DocumentName, DocumentRead, Source


class DocumentEntries(EntryKind[DocumentName, Document]):
    """``{device}:meta`` and ``{device}:cfg``."""

    fill_leases = False
    """Most of what a fill asks for does not exist, and writers replace what a fill added, by CAS."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context

    def keys(self, names: Sequence[DocumentName]) -> list[str]:
        return [self.key(name) for name in names]

    def key(self, name: DocumentName) -> str:
        """The cache key of a document."""
        keys = self._context.keys
        return keys.meta(name.device) if name.kind is DocumentKind.META else keys.config(name.device)

    def decode(self, name: DocumentName, value: bytes, flags: int) -> Document:
        cached = decode_document(value, flags)
        document_content(cached)  # so that what cannot be read counts as corrupt
        content = bytes(cached.content).decode("utf-8", "replace")
        return Document(name.device, name.kind, cached.version, content, cached.site, cached.at)

    def encode(self, value: Document) -> tuple[bytes, int]:
        return encode_document(value, self._context.compress_min_bytes)

    async def load(self, names: Sequence[DocumentName]) -> Mapping[DocumentName, Document]:
        return await self._context.store.documents.find(names)

    def ttl_s(self, value: Document) -> int:
        return self._context.ttl.jittered(self._mean_ttl_s(value.kind), self._context.rng)

    def item(self, key: str, document: Document, mode: Mode) -> SetItem:
        """The entry of a document, ready to be set."""
        value, flags = self.encode(document)
        return SetItem(key, value, flags, self.ttl_s(document), mode)

    def _mean_ttl_s(self, kind: DocumentKind) -> float:
        ttl = self._context.ttl
        return ttl.meta_s if kind is DocumentKind.META else ttl.config_s


class DocumentCache:
    """Documents as `DeviceCache` reads and fills them."""

    def __init__(self, context: CacheContext, entries: DocumentEntries) -> None:
        self._read_through = ReadThrough(context, entries)

    async def close(self) -> None:
        """Wait for pending loads."""
        await self._read_through.close()

    async def read(self, name: DocumentName) -> DocumentRead:
        """One document, from the cache, else from the store; see `DeviceCache.meta`."""
        answer = await self._read_through.read(name)
        document, source, error = answer.value, answer.source, answer.error
        content = None
        if document is not None:
            try:
                content = document_content(document)
            except CorruptValue as unreadable:  # the store has it, and it cannot be read
                document, source, error = None, Source.NONE, str(unreadable)
        return DocumentRead(
            name.device,
            name.kind,
            None if document is None else document.version,
            content,
            "" if document is None else document.site,
            0 if document is None else document.at_us,
            source=source,
            node=answer.node,
            ttl_s=answer.ttl_s,
            miss_reason=answer.miss_reason,
            latency_ms=answer.latency_ms,
            store_ms=answer.store_ms,
            error=error,
        )

    async def fill(self, names: Sequence[DocumentName]) -> FillResult:
        """Add to the cache what is not there, from the store. Raises `StoreError`."""
        return await self._read_through.fill(names)
