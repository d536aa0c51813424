"""Pushing a configuration by hand, filling the cache, and taking devices out of service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.errors import KeyFormatError, StoreError, UsageError
from iotcache.model import Document, DocumentKind, Reading, Series, Source, StoredReading
from iotcache.onboarding import fleet_entries, push_config, recommission, retire, warm
from iotcache.onboarding.retire import forget_retired
from tests.cache.conftest import Open
from tests.conftest import Server
from tests.ingest.conftest import cached, until

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
TS_US = 1_795_348_800_000_000
TOPICS = ("iot/{site}/{device}/{sensor}",)


async def test_a_push_takes_the_next_version_and_is_read_at_once(memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    for expected in (1, 2):
        pushed = await push_config(cache, "dev-1", {"every_s": expected})
        assert (pushed.version, pushed.stored, pushed.cached, pushed.topic) == (expected, True, True, "")
    old = await push_config(cache, "dev-1", {"every_s": 9}, version=1)
    assert (old.stored, old.stored_version) == (False, 2)
    again = await push_config(cache, "dev-1", {"every_s": 2}, version=2)
    assert again.stored, "the very same once more is no conflict"
    read = await cache.config("dev-1")
    assert (read.source, read.content) == (Source.CACHE, {"every_s": 2, "version": 2})


async def test_pushes_at_the_same_time_get_versions_of_their_own(memcached: Server, open_cache: Open) -> None:
    caches = [await open_cache([memcached]) for _ in range(4)]
    done = await asyncio.gather(*(push_config(one, "d", {"by": n}) for n, one in enumerate(caches)))
    versions = [one.version for one in done if one.stored]
    assert len(versions) == len(set(versions)) > 0
    last = max(done, key=lambda one: one.stored_version)
    for cache in caches:
        assert (await cache.config("d")).version == last.stored_version


async def test_a_push_over_the_broker_is_retained_and_stored_by_the_worker(
    iotcore_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(iotcore_port, [memcached]))
    assert made.cache is not None
    await made.cache.store.commit([StoredReading(Reading("dev-1", "t", 1, TS_US, site="north"))])
    sender = await link(iotcore_port, "pusher")
    pushed = await push_config(made.cache, "dev-1", {"every_s": 5}, link=sender, topics=TOPICS)
    assert pushed.topic == "iot/north/dev-1/cfg"
    await until(lambda: made.counters.received == 1 and made.link.unacked == 0)
    assert made.counters.dead_letters == 0
    device = await link(iotcore_port, "device", subscriptions=[(pushed.topic, 1)])
    (message,) = await asyncio.wait_for(device.batch(1), 5)
    assert json.loads(message.payload) == {"every_s": 5, "version": 1}


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ({"x": object()}, {}),
        ({"x": "y" * 300_000}, {}),
        ({}, {"version": -1}),
        ({}, {"version": 2**63}),
    ],
)
async def test_what_cannot_be_pushed_is_refused(
    memcached: Server, open_cache: Open, content: dict[str, Any], more: dict[str, Any]
) -> None:
    cache = await open_cache([memcached])
    with pytest.raises(UsageError):
        await push_config(cache, "dev-1", content, **more)
    with pytest.raises(KeyFormatError):
        await push_config(cache, "", {})
    assert (await cache.config("dev-1")).source is Source.NONE


async def test_a_device_without_a_topic_is_refused_before_anything_is_stored(
    iotcore_port: int, memcached: Server, open_cache: Open, link: Make
) -> None:
    cache = await open_cache([memcached])
    sender = await link(iotcore_port, "pusher")
    for device, topics in (("dev-1", TOPICS), ("a/b", TOPICS), ("dev-1", ("x/{device}",))):
        with pytest.raises(UsageError):
            await push_config(cache, device, {}, link=sender, topics=topics)
    assert await cache.store.documents.names() == []


async def test_warm_fills_what_is_missing_of_a_site_and_tells_how_far_it_is(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    readings = [
        StoredReading(Reading(f"d{n}", "t", n, TS_US, site="north" if n % 2 else "south", interval_s=600))
        for n in range(100)
    ]
    await cache.store.commit(readings)
    await cache.store.documents.upsert(
        [Document(f"d{n}", DocumentKind.CONFIG, 1, '{"version":1}') for n in range(100)]
    )
    progress = [one async for one in warm(cache, fleet_entries(cache.store, "north"), batch=30)]
    assert [one.done for one in progress] == [30, 60, 90, 100]
    assert (progress[-1].filled.added, progress[-1].filled.present) == (100, 0)
    assert cached(memcached, "d1:t:latest")["value"] == 1
    assert cached(memcached, "d1:cfg")["version"] == 1
    assert cached(memcached, "d2:t:latest") is None
    again = [one async for one in warm(cache, fleet_entries(cache.store), batch=500)]
    assert (again[-1].filled.added, again[-1].filled.present) == (100, 100)
    assert [one async for one in warm(cache, [])] == []


async def test_warm_keeps_its_pace_and_leaves_newer_entries_alone(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await cache.store.commit(
        [StoredReading(Reading("d", f"s{n}", 1, TS_US, interval_s=600)) for n in range(40)]
    )
    newer = StoredReading(Reading("d", "s0", 2, TS_US + 1, interval_s=600))
    await cache.write_through([newer])
    began_s = asyncio.get_running_loop().time()
    series = [Series("d", f"s{n}") for n in range(40)]
    async for _ in warm(cache, series, batch=10, per_s=200):
        pass
    assert asyncio.get_running_loop().time() - began_s >= 0.19
    assert cached(memcached, "d:s0:latest")["value"] == 2


async def test_devices_out_of_service_leave_the_cache_and_stay_out(
    memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await cache.store.commit(
        [StoredReading(Reading(f"d{n}", "t", n, TS_US, interval_s=600)) for n in range(3)]
    )
    await push_config(cache, "d0", {"x": 1})
    await cache.fill([Series(f"d{n}", "t") for n in range(3)])
    assert await retire(cache, ["d0", "d1"]) == 2 + 4
    assert cached(memcached, "d0:t:latest") is None
    assert cached(memcached, "d0:cfg") is None
    assert cached(memcached, "d2:t:latest")["value"] == 2
    refused = await push_config(cache, "d0", {"x": 2})
    assert (refused.stored, refused.stored_version) == (False, 0)
    await cache.read("d0", "t")
    assert cached(memcached, "d0:t:latest") is not None
    assert await forget_retired(cache) == 2
    assert cached(memcached, "d0:t:latest") is None
    await recommission(cache, ["d0", "d1"])
    assert (await cache.config("d0")).version is not None
    assert await forget_retired(cache) == 0


async def test_warm_says_when_the_store_is_away(
    memcached: Server, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = await open_cache([memcached])

    async def away(*_: object) -> Any:
        raise StoreError("the store is away")

    monkeypatch.setattr(cache.store, "directory", away)
    with pytest.raises(StoreError, match="away"):
        async for _ in warm(cache, fleet_entries(cache.store)):
            pass
