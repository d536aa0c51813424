"""Births and configurations through a worker, over real servers, to the store and the cache."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from iotcache.cache import DeviceCache
from iotcache.config.schema import OnboardingSettings
from iotcache.errors import StoreError
from iotcache.model import DocumentKind, DocumentName, Reading, Series, Source, StoredReading
from iotcache.model.batches import CommittedBatch
from iotcache.onboarding import push_config
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest.conftest import cached, until

pytestmark = pytest.mark.real("memcached")
Make = Callable[..., Any]
TS_US = 1_795_348_800_000_000


def cfg(version: int, **more: Any) -> bytes:
    return json.dumps({"version": version, **more}).encode()


async def settled(worker: Ingest, messages: int) -> DeviceCache:
    await until(lambda: worker.counters.received >= messages and worker.link.unacked == 0)
    await until(lambda: worker.link.queued == 0)
    assert worker.pipeline is not None and worker.cache is not None
    await worker.pipeline.drained()
    return worker.cache


async def test_a_push_is_stored_and_replaces_what_is_cached(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(broker_port, [memcached]))
    sender = await link(broker_port, "sender")
    for version, every_s in ((1, 10), (3, 30), (2, 20), (3, 31)):
        await sender.publish("iot/north/dev-1/cfg", cfg(version, every_s=every_s), retain=True)
    cache = await settled(made, 4)
    read = await cache.config("dev-1")
    assert (read.source, read.version, read.content) == (Source.CACHE, 3, {"version": 3, "every_s": 30})
    assert cached(memcached, "dev-1:cfg")["version"] == 3
    assert made.counters.dead_letters == made.counters.ignored == 0
    stats = made.stats()
    assert (stats.documents + stats.documents_outdated) >= 1
    await sender.publish("iot/north/dev-1/cfg", b'{"every_s": 1}')
    await until(lambda: made.counters.dead_letters == 1)


async def test_a_push_waits_for_the_store_and_is_not_acknowledged_before(  # noqa: PLR0917
    iotcore_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = await worker(settings_for(iotcore_port, [memcached]))
    assert made.cache is not None
    documents = made.cache.store.documents
    keep, failures = documents.upsert, 2

    async def fails(given: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            assert made.link.unacked == 1
            raise StoreError("the store is away")
        return await keep(given)

    monkeypatch.setattr(documents, "upsert", fails)
    sender = await link(iotcore_port, "sender")
    await sender.publish("iot/north/dev-1/cfg", cfg(1))
    await until(lambda: "the store is away" in made.waiting_for)
    cache = await settled(made, 1)
    assert made.waiting_for == ""
    assert (await cache.config("dev-1")).version == 1


async def test_a_birth_warms_the_cache_for_its_device(
    iotcore_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    """The store knows the device from long ago; the cache is empty, as after a restart of its node."""
    made = await worker(settings_for(iotcore_port, [memcached]))
    assert made.cache is not None
    store = made.cache.store
    sensors = ("temperature", "pressure", "flow")
    await store.commit(
        [
            StoredReading(Reading("dev-1", sensor, 1.5, TS_US, site="north", interval_s=600))
            for sensor in sensors
        ]
    )
    sender = await link(iotcore_port, "sender")
    birth = {"ts": "2026-11-20T12:00:00Z", "metadata": {"model": "x"}}
    await sender.publish("iot/north/dev-1/birth", json.dumps(birth).encode(), retain=True)
    await until(lambda: made.stats().devices_warmed == 1)
    assert cached(memcached, "dev-1:meta")["content"]["metadata"] == {"model": "x"}
    for sensor in sensors:
        assert cached(memcached, f"dev-1:{sensor}:latest")["value"] == 1.5


async def test_first_sight_warms_the_other_sensors_and_documents(
    iotcore_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(iotcore_port, [memcached])
    made = await worker(settings)
    assert made.cache is not None
    store = made.cache.store
    await store.commit([StoredReading(Reading("dev-1", "pressure", 7, TS_US, interval_s=600))])
    from iotcache.model import Document

    await store.documents.upsert([Document("dev-1", DocumentKind.CONFIG, 4, '{"version":4}')])
    sender = await link(iotcore_port, "sender")
    await sender.publish("iot/north/dev-1/temperature", b"21")
    await until(lambda: made.stats().devices_warmed == 1)
    assert cached(memcached, "dev-1:pressure:latest")["value"] == 7
    assert cached(memcached, "dev-1:cfg")["version"] == 4
    await sender.publish("iot/north/dev-1/temperature", b"22")
    await until(lambda: made.counters.stored == 2)
    assert made.stats().devices_waiting == 0, "seen before"


async def test_no_more_devices_wait_than_there_is_room_for(
    iotcore_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = replace(settings_for(iotcore_port, [memcached]), onboarding=OnboardingSettings(queue=3))
    made = await worker(settings)
    assert made.lifecycle is not None
    newest = [StoredReading(Reading(f"d{n}", "t", 1, TS_US)) for n in range(10)]
    made.lifecycle.follow(CommittedBatch([one.reading for one in newest], newest))
    stats = made.stats()
    assert (stats.devices_waiting, stats.devices_skipped) == (3, 7)
    await until(lambda: made.stats().devices_warmed == 3)


async def test_an_empty_birth_takes_a_device_out_of_service_until_its_next_one(
    broker_port: int, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(broker_port, [memcached])
    settings = replace(settings, onboarding=OnboardingSettings(forget_every_s=0.2))
    made = await worker(settings)
    sender = await link(broker_port, "sender")
    await sender.publish("iot/north/dev-1/temperature", b"21")
    await sender.publish("iot/north/dev-1/birth", b'{"model": "x"}', retain=True)
    await sender.publish("iot/north/dev-1/cfg", cfg(1), retain=True)
    cache = await settled(made, 3)
    await until(lambda: made.stats().devices_warmed >= 1)
    assert (await cache.meta("dev-1")).source is Source.CACHE
    await sender.publish("iot/north/dev-1/birth", b"", retain=True)
    await settled(made, 4)
    assert (await cache.meta("dev-1")).source is Source.NONE
    assert (await cache.config("dev-1")).source is Source.NONE
    (read,) = await cache.read_many([Series("dev-1", "temperature")])
    assert (read.source, read.value) == (Source.STORE, 21), "its readings are history, not gone"
    # The read put it back; it is removed again before long.
    await until(lambda: cached(memcached, "dev-1:temperature:latest") is None)
    await sender.publish("iot/north/dev-1/birth", b'{"model": "y"}', retain=True)
    await settled(made, 5)
    assert (await cache.meta("dev-1")).content == {"model": "y"}
    assert (await cache.config("dev-1")).version == 1


async def test_messages_sent_while_no_worker_ran_are_stored_and_an_old_birth_is_no_return(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached])
    sender = await link(mosquitto.port, "sender")
    birth = {"ts": "2026-11-20T12:00:00Z", "model": "x"}
    await sender.publish("iot/north/dev-1/birth", json.dumps(birth).encode(), retain=True)
    await sender.publish("iot/north/dev-2/birth", b'{"model": "z"}', retain=True)
    made = await worker(settings)
    cache = await settled(made, 2)
    meta = [DocumentName(device, DocumentKind.META) for device in ("dev-1", "dev-2")]
    assert len(await cache.store.documents.find(meta)) == 2
    await cache.store.documents.decommission({"dev-1": TS_US, "dev-2": TS_US})
    # The broker sends what it retained once more to a session that subscribes anew.
    other = await worker(replace(settings, ingest=replace(settings.ingest, client_id="other")))
    await settled(other, 2)
    assert await cache.store.documents.decommissioned() == ["dev-1", "dev-2"]


@pytest.mark.real("mosquitto")
async def test_two_workers_and_a_lost_node_leave_the_highest_version_everywhere(  # noqa: PLR0917
    mosquitto: Server, memcached_factory: Make, settings_for: Make, worker: Make, link: Make, open_cache: Make
) -> None:
    nodes = [memcached_factory() for _ in range(2)]
    settings = settings_for(mosquitto.port, nodes, group="g")
    workers = [await worker(settings, instance=f"w{n}") for n in range(2)]
    reader = await open_cache(nodes)
    sender = await link(mosquitto.port, "sender")
    rng = random.Random(3)
    pushes = [(device, version) for device in range(6) for version in range(1, 41)]
    rng.shuffle(pushes)

    async def push(some: list[tuple[int, int]]) -> None:
        await asyncio.gather(
            *(sender.publish(f"iot/s/d{device}/cfg", cfg(version), timeout_s=20) for device, version in some)
        )

    await push(pushes[:80])
    nodes[0].kill()
    await push(pushes[80:160])
    nodes[0].start()
    await push(pushes[160:])
    await until(lambda: sum(one.counters.received for one in workers) >= len(pushes), 20)
    for one in workers:
        await until(lambda: one.link.unacked == 0 and one.link.queued == 0, 20)  # noqa: B023
        await one.pipeline.drained()
    assert all(one.counters.received > 0 for one in workers)
    names = [DocumentName(f"d{device}", DocumentKind.CONFIG) for device in range(6)]
    found = await reader.store.documents.find(names)
    assert {document.version for document in found.values()} == {40}
    assert [(await reader.config(name.device)).version for name in names] == [40] * 6
    assert [(await workers[0].cache.config(name.device)).version for name in names] == [40] * 6


_DIES_BEFORE_THE_CACHE = """
import asyncio, os, signal, sys, msgspec
from iotcache.config.schema import Settings
from iotcache.worker.main import run_ingest
from iotcache.cache import DeviceCache
async def die(self, documents): os.kill(os.getpid(), signal.SIGKILL)
DeviceCache.put_documents = die
settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
asyncio.run(run_ingest(settings, ready=lambda http=None: print("ready", flush=True)))
"""


@pytest.mark.real("mosquitto")
async def test_killed_between_the_store_and_the_cache_the_next_worker_puts_it_right(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, open_cache: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached])
    reader = await open_cache([memcached])
    await push_config(reader, "dev-1", {}, version=1)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _DIES_BEFORE_THE_CACHE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert victim.stdin is not None and victim.stdout is not None
    victim.stdin.write(msgspec.json.encode(settings) + b"\n")
    async with asyncio.timeout(20):
        assert await victim.stdout.readline() == b"ready\n"
        sender = await link(mosquitto.port, "sender")
        await sender.publish("iot/north/dev-1/cfg", cfg(2))
        assert await victim.wait() == -signal.SIGKILL
    assert (await reader.config("dev-1")).version == 1, "the store has the new one, the cache does not know"
    made = await worker(settings)
    await settled(made, 1)
    assert (await reader.config("dev-1")).version == 2
