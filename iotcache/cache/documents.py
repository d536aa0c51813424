"""Metadata and configuration in the cache: read through, and put there so that no older version ever wins.

A reading is *set* by its writer, one round trip, as the next one comes in seconds. A configuration may stand
for years: whoever puts one looks at what is there and swaps it by CAS, so that of two writers whose commits
and puts cross the higher version stays, whichever comes last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from iotcache.cache.budget import Budget
from iotcache.cache.fallback import STORE_PATIENCE_S
from iotcache.cache.filled import Filled, account
from iotcache.cache.node_facts import NodeFactsCache
from iotcache.cache.write_through import WriteThrough
from iotcache.clock import Clock
from iotcache.codec import decode_document, document_content, encode_document
from iotcache.errors import CorruptValue, StoreError
from iotcache.keys import Keys
from iotcache.misses import Record, Records, miss_reason
from iotcache.model import (
    Document,
    DocumentKind,
    DocumentName,
    DocumentRead,
    MissReason,
    Reading,
    Source,
    StoredReading,
)
from iotcache.ttl import TtlPolicy

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, GetResult, Mode, SetItem
    from iotcache.store.base import Store

PUT_ROUNDS: Final = 4
"""Tries to put a document that others write at the same moment; then its entry is removed."""
_NODE_OUT: Final = (MissReason.NODE_DOWN, MissReason.TIMEOUT)


class _Loaded(Struct, frozen=True):
    document: Document | None
    ttl_s: float | None = None
    store_ms: float = 0.0
    error: str = ""


class DocumentCache:
    """The documents of `iotcache.cache.DeviceCache`."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        writes: WriteThrough,
        *,
        keys: Keys,
        records: Records,
        ttl: TtlPolicy,
        clock: Clock,
        rng: Random,
        budget: Budget,
        watch: NodeFactsCache,
        compress_min_bytes: int,
        max_value_bytes: int,
        repopulate: bool,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._writes = writes
        self._keys = keys
        self._records = records
        self.ttl = ttl
        self._clock = clock
        self._rng = rng
        self._budget = budget
        self._watch = watch
        self._compress_min_bytes = compress_min_bytes
        self._max_value_bytes = max_value_bytes
        self._repopulate = repopulate
        self._flights: dict[DocumentName, asyncio.Task[_Loaded]] = {}

    def key(self, name: DocumentName) -> str:
        """The cache key of a document."""
        keys = self._keys
        return keys.meta(name.device) if name.kind is DocumentKind.META else keys.config(name.device)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    async def read(self, name: DocumentName) -> DocumentRead:
        """One document, from the cache, else from the store.

        Never raises for a node's or the store's sake.
        """
        began_s = self._clock.monotonic()
        key = self.key(name)
        (got,) = await self._cluster.get_many([key])
        self._watch.nudge()
        failure, now_s = got.failure, self._clock.now()
        if got.hit:
            try:
                kept = decode_document(got.value, got.flags)
                content = document_content(kept)
            except CorruptValue:
                failure = MissReason.CORRUPT
                await self._cluster.delete_many([key])
            else:
                self._records.note(key, Record(now_s, now_s + got.ttl_s, got.node))
                return DocumentRead(
                    name.device, name.kind, kept.version, content, Source.CACHE, kept.site, kept.at,
                    got.node, got.ttl_s, latency_ms=self._since_ms(began_s),
                )  # fmt: skip
        record = self._records.get(key)
        if failure in _NODE_OUT and not self._budget.take(1):
            node = self._cluster.node_of(key)
            text = f"the cache node {node} is out, and store reads on its behalf are limited"
            loaded = _Loaded(None, error=text)
        else:
            wanted = self._repopulate and failure is not MissReason.TIMEOUT
            loaded, _ = await asyncio.gather(self._load(name, key, wanted), self._watch.refresh())
        document = loaded.document
        if document is None and not loaded.error:
            reason = MissReason.NEVER_SET
        else:
            reason = failure or self._reason(key, got, record, document, now_s)
        return DocumentRead(
            name.device,
            name.kind,
            None if document is None else document.version,
            None if document is None else document_content(document),
            Source.NONE if document is None else Source.STORE,
            "" if document is None else document.site,
            0 if document is None else document.at_us,
            got.node,
            loaded.ttl_s,
            reason,
            self._since_ms(began_s),
            loaded.store_ms,
            loaded.error,
        )

    async def put(self, documents: Sequence[Document]) -> int:
        """Put documents that the store has into the cache, each unless a higher version is there.

        How many entries are as given, or newer, afterwards. What could not be put is deleted, or dirty until
        it can be. At most one document of a name.
        """
        left: dict[str, Document] = {}
        hopeless: list[str] = []
        for document in documents:
            key = self.key(document.name)
            if len(encode_document(document, self._compress_min_bytes)[0]) <= self._max_value_bytes:
                left[key] = document
            else:
                hopeless.append(key)
        for _ in range(PUT_ROUNDS):
            if not left:
                break
            keys = list(left)
            gots = await self._cluster.get_many(keys, cas=True)
            done = await self._put_once(left, keys, gots)
            for key, got in zip(keys, gots, strict=True):
                if key in done:
                    del left[key]
                elif got.failure is MissReason.TIMEOUT:
                    hopeless.append(key)
                    del left[key]
        hopeless += left
        if hopeless:
            await self._writes.delete(hopeless)
        return len(documents) - len(hopeless)

    async def _put_once(
        self, left: Mapping[str, Document], keys: Sequence[str], gots: Sequence[GetResult]
    ) -> set[str]:
        """One try; the keys that are done with."""
        from iotcache.cluster import Mode

        done: set[str] = set()
        adds: list[SetItem] = []
        swaps: list[SetItem] = []
        seen: list[GetResult] = []
        for key, got in zip(keys, gots, strict=True):
            document = left[key]
            if not got.hit:
                if got.failure is not MissReason.TIMEOUT:
                    adds.append(self._item(key, document, Mode.ADD))
                continue
            if _beats(got, document):
                done.add(key)
            else:
                swaps.append(self._item(key, document, Mode.SET))
                seen.append(got)
        now_s = self._clock.now()
        outcomes = [
            *(await self._cluster.set_many(adds) if adds else ()),
            *(await self._cluster.cas_many(swaps, seen) if swaps else ()),
        ]
        for item, outcome in zip((*adds, *swaps), outcomes, strict=True):
            if outcome.ok:
                self._records.note(item.key, Record(now_s, now_s + item.ttl_s, outcome.node))
                done.add(item.key)
        return done

    async def fill(self, names: Sequence[DocumentName]) -> Filled:
        """Add to the cache what is not there, from the store. Raises `StoreError`."""
        from iotcache.cluster import Mode

        keys = [self.key(name) for name in names]
        probes = await self._cluster.probe_many(keys)
        missing = {
            name: key for name, key, probe in zip(names, keys, probes, strict=True) if not probe.present
        }
        found = await self._store.documents.find(list(missing)) if missing else {}
        items = [self._item(missing[name], document, Mode.ADD) for name, document in found.items()]
        items = [item for item in items if len(item.value) <= self._max_value_bytes]
        outcomes = await self._cluster.set_many(items) if items else []
        now_s = self._clock.now()
        added: set[str] = set()
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.ok:
                added.add(item.key)
                self._records.note(item.key, Record(now_s, now_s + item.ttl_s, outcome.node))
        left = [missing[name] for name in found if missing[name] not in added]
        return await account(self._cluster, len(names), len(missing), len(found), left)

    async def delete(self, names: Sequence[DocumentName]) -> None:
        """Remove entries; what could not be removed is dirty and tried again."""
        await self._writes.delete([self.key(name) for name in names])

    # Missing ones

    async def _load(self, name: DocumentName, key: str, repopulate: bool) -> _Loaded:
        """The store's answer, asked for once however many wait for it."""
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.create_task(self._fly(name, key, repopulate))
            self._flights[name] = flight
            flight.add_done_callback(lambda _: self._flights.pop(name, None))
        return await asyncio.shield(flight)

    async def _fly(self, name: DocumentName, key: str, repopulate: bool) -> _Loaded:
        from iotcache.cluster import Mode

        began_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                document = (await self._store.documents.find([name])).get(name)
        except (StoreError, TimeoutError) as error:
            text = str(error) or f"the store did not answer within {STORE_PATIENCE_S:g} s"
            return _Loaded(None, None, self._since_ms(began_s), text)
        store_ms = self._since_ms(began_s)
        if document is None or not repopulate:
            return _Loaded(document, None, store_ms)
        item = self._item(key, document, Mode.ADD)
        if len(item.value) > self._max_value_bytes:
            return _Loaded(document, None, store_ms)
        (outcome,) = await self._cluster.set_many([item])
        if not outcome.ok:
            return _Loaded(document, None, store_ms)
        now_s = self._clock.now()
        self._records.note(key, Record(now_s, now_s + item.ttl_s, outcome.node))
        return _Loaded(document, float(item.ttl_s), store_ms)

    def _item(self, key: str, document: Document, mode: Mode) -> SetItem:
        from iotcache.cluster import SetItem

        value, flags = encode_document(document, self._compress_min_bytes)
        return SetItem(key, value, flags, self.ttl.jittered(self._life_s(document.kind), self._rng), mode)

    def _life_s(self, kind: DocumentKind) -> float:
        return self.ttl.meta_s if kind is DocumentKind.META else self.ttl.config_s

    def _reason(
        self, key: str, got: GetResult, record: Record | None, document: Document | None, now_s: float
    ) -> MissReason:
        return miss_reason(
            record,
            None if document is None else self._as_stored(document),
            node=got.node,
            owner=self._cluster.node_of(key),
            history=self._watch.history(got.node),
            now_s=now_s,
        )

    def _as_stored(self, document: Document) -> StoredReading:
        """What the judgement needs: its entry was written when it was said, and was to live from then on."""
        until_us = document.at_us + round(self._life_s(document.kind) * 1e6)
        return StoredReading(Reading("", "", 0, document.at_us, received_us=document.at_us), until_us)

    def _since_ms(self, began_s: float) -> float:
        return (self._clock.monotonic() - began_s) * 1e3


def _beats(got: GetResult, document: Document) -> bool:
    """Whether what is in the cache is to stay."""
    try:
        kept = decode_document(got.value, got.flags)
    except CorruptValue:
        return False
    if kept.version != document.version:
        return kept.version > document.version
    return bytes(kept.content).decode("utf-8", "replace") == document.content
