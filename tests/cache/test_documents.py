"""Metadata and configuration: read through the cache, and never an older version over a newer one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.errors import StoreError
from iotcache.model import Document, DocumentKind, DocumentName, MissReason, Series, Source
from tests.cache.conftest import Open, ingest, stored, talk
from tests.conftest import Server

pytestmark = pytest.mark.real("memcached")
CFG = DocumentName("dev-1", DocumentKind.CONFIG)
META = DocumentName("dev-1", DocumentKind.META)
NOW_US = 1_795_348_800_000_000


def cfg(version: int, device: str = "dev-1", **more: Any) -> Document:
    content = json.dumps({"version": version, **more})
    return Document(device, DocumentKind.CONFIG, version, content, "north", NOW_US)


async def push(cache: DeviceCache, *documents: Document) -> None:
    await cache.put_documents(await cache.store.documents.upsert(documents))


def in_cache(node: Server, key: str) -> Any:
    answer = talk(node, f"get {key}".encode(), b"END\r\n")
    return json.loads(answer.split(b"\r\n")[1]) if answer.startswith(b"VALUE") else None


async def test_a_pushed_document_is_read_from_the_cache(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await push(cache, cfg(3, every_s=10))
    read = await cache.config("dev-1")
    assert (read.version, read.content, read.source) == (3, {"version": 3, "every_s": 10}, Source.CACHE)
    assert (read.site, read.at_us, read.node, read.miss_reason) == ("north", NOW_US, memcached.address, None)
    assert 500_000 < (read.ttl_s or 0) < 700_000
    assert in_cache(memcached, "dev-1:cfg") == {
        "version": 3, "content": {"version": 3, "every_s": 10}, "at": NOW_US, "site": "north",
    }  # fmt: skip
    nothing = await cache.meta("dev-1")
    assert (nothing.source, nothing.version, nothing.miss_reason) == (
        Source.NONE,
        None,
        MissReason.NEVER_SET,
    )


async def test_a_miss_falls_back_with_its_reason_and_the_next_read_hits(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await push(cache, cfg(1))
    await cache.invalidate_documents([CFG])
    first, second = await cache.config("dev-1"), await cache.config("dev-1")
    assert (first.source, first.version, first.miss_reason) == (Source.STORE, 1, MissReason.INVALIDATED)
    assert (first.ttl_s or 0) > 500_000
    assert (second.source, second.version) == (Source.CACHE, 1)
    talk(memcached, b"set dev-1:cfg 0 0 4\r\njunk")
    broken, again = await cache.config("dev-1"), await cache.config("dev-1")
    assert (broken.source, broken.miss_reason, broken.version) == (Source.STORE, MissReason.CORRUPT, 1)
    assert again.source is Source.CACHE


async def test_many_readers_of_a_missing_document_ask_the_store_once(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = await open_cache([memcached])
    await push(cache, cfg(1))
    await cache.invalidate_documents([CFG])
    asked = 0
    find = cache.store.documents.find

    async def counted(names: Sequence[DocumentName]) -> Any:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return await find(names)

    monkeypatch.setattr(cache.store.documents, "find", counted)
    reads = await asyncio.gather(*(cache.config("dev-1") for _ in range(100)))
    assert {read.version for read in reads} == {1}
    assert asked == 1


async def test_a_document_pushed_while_a_reader_loads_the_older_one_stays(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await open_cache([memcached]), await open_cache([memcached])
    await writer.store.documents.upsert([cfg(1)])
    find = reader.store.documents.find
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def held(names: Sequence[DocumentName]) -> Any:
        answer = await find(names)
        has_read.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(reader.store.documents, "find", held)
    reading = asyncio.create_task(reader.config("dev-1"))
    await has_read.wait()  # the reader has its lease, and version 1 in hand
    await push(writer, cfg(2))
    assert in_cache(memcached, "dev-1:cfg")["version"] == 2, "a lease is no reason not to put it"
    go_on.set()
    assert (await reading).version == 1
    read = await reader.config("dev-1")
    assert (read.version, read.source) == (2, Source.CACHE)


async def test_a_document_that_the_store_has_and_nobody_can_read_is_an_error_text(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await cache.store.documents.upsert([Document("dev-1", DocumentKind.CONFIG, 1, "[" * 3_000 + "]" * 3_000)])
    read = await cache.config("dev-1")
    assert (read.source, read.version, read.content) == (Source.NONE, None, None)
    assert "not JSON" in read.error


async def test_an_older_version_put_late_does_not_replace_a_newer_one(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await push(cache, cfg(2))
    assert await cache.put_documents([cfg(1)]) == 1, "the newer one stands, which is as it should be"
    assert (await cache.config("dev-1")).version == 2
    await push(cache, cfg(3))
    assert (await cache.config("dev-1")).version == 3


async def test_of_writers_that_cross_the_highest_version_stays(memcached: Server, open_cache: Open) -> None:
    """Each worker commits, then puts, with pauses at random: whatever comes last, the highest stays."""
    caches = [await open_cache([memcached]) for _ in range(3)]
    rng = random.Random(5)
    versions = list(range(1, 31))
    rng.shuffle(versions)

    async def write(cache: DeviceCache, version: int) -> None:
        await asyncio.sleep(rng.uniform(0, 0.05))
        stored_documents = await cache.store.documents.upsert([cfg(version)])
        await asyncio.sleep(rng.uniform(0, 0.05))
        await cache.put_documents(stored_documents)

    await asyncio.gather(*(write(caches[n % 3], version) for n, version in enumerate(versions)))
    for cache in caches:
        read = await cache.config("dev-1")
        assert (read.source, read.version) == (Source.CACHE, 30)


async def test_what_cannot_be_put_is_dirty_until_its_node_answers(
    memcached_factory: Any, open_cache: Open
) -> None:
    node = memcached_factory()
    cache = await open_cache([node])
    await push(cache, cfg(1))
    node.kill()
    await push(cache, cfg(2))
    read = await cache.config("dev-1")
    assert (read.version, read.source) == (2, Source.STORE)
    assert read.miss_reason in (MissReason.NODE_DOWN, MissReason.TIMEOUT)
    assert cache.counters().dirty == 1


async def test_a_document_too_large_for_the_cache_is_read_from_the_store(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached], max_value_bytes=2_000, compress_min_bytes=0)
    await push(cache, cfg(1))
    await push(cache, cfg(2, text="x" * 3_000))
    read = await cache.config("dev-1")
    assert (read.version, read.source, read.ttl_s) == (2, Source.STORE, None)
    assert in_cache(memcached, "dev-1:cfg") is None


async def test_a_store_that_is_away_is_an_error_text_not_an_exception(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = await open_cache([memcached])

    async def away(names: object) -> Any:
        raise StoreError("the store is away")

    monkeypatch.setattr(cache.store.documents, "find", away)
    read = await cache.config("dev-1")
    assert (read.source, read.error) == (Source.NONE, "the store is away")


async def test_fill_adds_what_is_missing_and_leaves_the_rest(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    await ingest(cache, *(stored(cache, n, device=f"d{n}") for n in range(10)))
    series = [Series(f"d{n}", "temperature") for n in range(12)]
    await cache.invalidate(series[:4])
    result = await cache.fill(series)
    assert (result.asked, result.present, result.added, result.unknown, result.failed) == (12, 6, 4, 2, 0)
    assert (await cache.fill(series[:10])).present == 10
    assert cache.counters().reads == 0, "a fill is no read"
    assert {read.source for read in await cache.read_many(series[:10])} == {Source.CACHE}
    await push(cache, cfg(1), cfg(1, device="dev-2"))
    await cache.invalidate_documents([CFG])
    done = await cache.fill_documents([CFG, DocumentName("dev-2", DocumentKind.CONFIG), META])
    assert (done.asked, done.present, done.added, done.unknown, done.failed) == (3, 1, 1, 1, 0)
    assert (await cache.config("dev-1")).source is Source.CACHE


async def test_fill_while_the_node_is_out_says_so(memcached_factory: Any, open_cache: Open) -> None:
    node = memcached_factory()
    cache = await open_cache([node])
    await ingest(cache, stored(cache))
    node.kill()
    result = await cache.fill([Series("dev-1", "temperature")])
    assert (result.failed, result.reason) == (1, "a cache node did not take it: node_down")
