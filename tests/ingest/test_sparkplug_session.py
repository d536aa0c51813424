"""The worker as a host application, with an edge node that follows the specification, over a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.decode.sparkplug.sequence import Sequence
from iotcache.model import Reading, Series
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest.conftest import until
from tests.ingest.edge_node import DOUBLE, EdgeNode, metric, payload
from tests.ingest.test_formats import field

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto")]
Make = Callable[..., Any]
TEMP = Series("G/E/dev1", "temp")
SPARKPLUG = {"topics": ("spBv1.0/#",)}


async def latest(worker: Ingest) -> Reading:
    assert worker.cache is not None
    return (await worker.cache.store.latest_many([TEMP]))[TEMP].reading


async def values(worker: Ingest) -> list[object]:
    assert worker.cache is not None
    return [one.value for one in await worker.cache.store.history(TEMP, 0, 1 << 62)]


async def test_who_joins_late_asks_for_the_births_and_loses_nothing(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    edge = await EdgeNode().start(link, mosquitto.port)
    edge.birth()  # unheard
    made = await worker(settings_for(mosquitto.port, [memcached], **SPARKPLUG))
    began_s = time.monotonic()
    for n in range(1, 4):
        edge.data(20.0 + n)
        await asyncio.sleep(0.002)
    await until(lambda: edge.rebirths == 1 and made.sparkplug.held == 0)
    await until(lambda: made.counters.stored >= 4)
    assert time.monotonic() - began_s < 5
    assert await values(made) == [21.0, 22.0, 23.0, 23.0]
    assert (await latest(made)).unit == "°C"
    assert made.counters.dead_letters == 0
    assert made.link.unacked == 0


async def test_a_window_full_of_data_waits_for_its_births(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    """Data of QoS 1: this broker leaves 20 of them unacknowledged, and births are of QoS 0."""
    edge = await EdgeNode().start(link, mosquitto.port)
    edge.birth()  # unheard
    made = await worker(settings_for(mosquitto.port, [memcached], **SPARKPLUG))
    assert edge.link is not None
    for n in range(1, 19):
        edge.value = 20.0 + n
        content = payload(metric("", 0, field(13, edge.value), alias=7), seq=edge._next())
        await edge.link.publish(edge.topic("DDATA", "dev1"), content)
    await until(lambda: edge.rebirths == 1 and made.sparkplug.held == 0 and made.link.unacked == 0)
    await until(lambda: made.counters.stored >= 19)
    assert set(await values(made)) == {20.0 + n for n in range(1, 19)}
    assert made.counters.dead_letters == 0


async def test_a_gap_is_healed_by_one_rebirth_however_many_are_missing(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(mosquitto.port, [memcached], **SPARKPLUG))
    edge = await EdgeNode().start(link, mosquitto.port)
    edge.birth()
    await until(lambda: made.counters.received == 2)
    began_s = time.monotonic()
    for n in range(1, 30):
        edge.data(float(n), is_lost=n % 2 == 0)
    edge.data(99.0, is_lost=True)
    edge.data(100.0)
    await until(lambda: edge.rebirths == 1)
    assert 0.9 < time.monotonic() - began_s < 5
    await until(lambda: made.counters.received == 2 + 15 + 1 + 3)  # two births, and the command itself
    assert edge.rebirths == made.stats().rebirths_asked == 1
    assert made.counters.dead_letters == 0


async def test_a_death_makes_the_series_stale_until_the_next_birth_and_an_old_one_does_nothing(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(mosquitto.port, [memcached], **SPARKPLUG))
    assert made.cache is not None
    edge = await EdgeNode(bd_seq=4).start(link, mosquitto.port)
    edge.birth()
    edge.data(5.0)
    await until(lambda: made.counters.stored == 2)
    (read,) = await made.cache.read_many([TEMP])
    assert (read.value, read.stale) == (5.0, False)
    await edge.vanish()

    async def is_stale() -> bool:
        assert made.cache is not None
        (read,) = await made.cache.read_many([TEMP])
        return bool(read.stale)

    async with asyncio.timeout(10):
        while not await is_stale():
            await asyncio.sleep(0.02)
    assert (await made.cache.read_many([TEMP]))[0].source == "cache", "it is kept so"
    again = await EdgeNode(bd_seq=5).start(link, mosquitto.port)
    again.value = 6.0
    again.birth()
    async with asyncio.timeout(10):
        while await is_stale():  # stored first, written through right after
            await asyncio.sleep(0.02)
    received = made.counters.received
    assert again.link is not None
    await again.link.publish(edge.topic("NDEATH"), edge.death())  # comes late
    await until(lambda: made.counters.received == received + 1 and made.link.unacked == 0)
    assert not await is_stale()
    again.post("DDEATH", device="dev1")
    async with asyncio.timeout(10):
        while not await is_stale():
            await asyncio.sleep(0.02)


async def test_a_death_ends_the_series_of_births_that_a_worker_never_saw(
    mosquitto: Server, memcached: Server, settings_for: Make, link: Make
) -> None:
    settings = settings_for(mosquitto.port, [memcached], **SPARKPLUG)
    edges = [await EdgeNode(node=node).start(link, mosquitto.port) for node in ("E", "E0")]
    other = Series("G/E0/dev1", "temp")
    async with Ingest(settings) as made:
        await made.ready()
        for edge in edges:
            edge.birth()
            edge.data(5.0)
        await until(lambda: made.counters.stored == 4)
    async with Ingest(settings) as again:
        await again.ready()
        assert again.cache is not None
        await edges[0].vanish()
        async with asyncio.timeout(10):
            while not (await again.cache.read_many([TEMP]))[0].stale:
                await asyncio.sleep(0.02)
        assert not (await again.cache.read_many([other]))[0].stale, "it is of another edge node"


async def test_historical_metrics_enter_history_alone(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    made = await worker(settings_for(mosquitto.port, [memcached], **SPARKPLUG))
    edge = await EdgeNode().start(link, mosquitto.port)
    edge.value = 1.0
    edge.birth()
    await asyncio.sleep(0.002)
    edge.post("DDATA", metric("temp", DOUBLE, field(13, 50.0), more=field(5, 1)), device="dev1")
    await until(lambda: made.counters.stored == 2)
    assert await values(made) == [1.0, 50.0]
    assert (await latest(made)).value == 1.0


@pytest.mark.parametrize("ends", ["leaves", "dies"])
async def test_a_host_application_tells_its_state(
    mosquitto: Server, memcached: Server, settings_for: Make, link: Make, ends: str
) -> None:
    watcher = await link(mosquitto.port, "watcher", subscriptions=[("spBv1.0/STATE/plant-host", 1)])
    seen: list[dict[str, Any]] = []

    async def watch() -> None:
        while True:
            messages = await watcher.batch(10)
            watcher.ack(messages)
            seen.extend(json.loads(message.payload) for message in messages)

    watching = asyncio.create_task(watch())
    settings = settings_for(mosquitto.port, [memcached], sparkplug_host_id="plant-host", **SPARKPLUG)
    async with Ingest(settings) as made:
        await until(lambda: seen)
        assert seen[-1]["online"] is True
        assert abs(seen[-1]["timestamp"] - time.time() * 1e3) < 60_000
        if ends == "dies":
            assert made.host_state is not None
            made.host_state.link.drop("a test")
            await until(lambda: len(seen) >= 3)
            assert [one["online"] for one in seen[:3]] == [True, False, True]
            assert seen[1]["timestamp"] == seen[0]["timestamp"] <= seen[2]["timestamp"]
            await watcher.publish("spBv1.0/STATE/plant-host", b'{"online":false,"timestamp":1}')
            await until(lambda: len(seen) >= 5)
            assert seen[-1]["online"] is True, "another of the same name must not make us seem away"
            # One that came after us: edge nodes pass over whatever is older than its last word.
            later_ms = seen[-1]["timestamp"] + 30_000
            gone = json.dumps({"online": False, "timestamp": later_ms}).encode()
            await watcher.publish("spBv1.0/STATE/plant-host", gone, retain=True)
            await until(lambda: seen[-1]["online"] and seen[-1]["timestamp"] > later_ms)
            now_ms = seen[-1]["timestamp"]
            made.host_state.link.drop("a test")
            await until(lambda: {"online": False, "timestamp": now_ms} in seen)
            await until(lambda: seen[-1]["online"])
    await until(lambda: seen[-1]["online"] is False)
    late = await link(mosquitto.port, "late", subscriptions=[("spBv1.0/STATE/plant-host", 1)])
    (kept,) = await late.batch(1)
    assert kept.retain
    assert json.loads(kept.payload)["online"] is False
    watching.cancel()


def test_messages_that_come_in_another_order_are_no_gap() -> None:
    sequence = Sequence()
    sequence.begin(0, 1)
    for at_us, number in enumerate([1, 3, 2, 5, 4, 6], 2):
        sequence.note(number, at_us)
    assert not sequence.is_overdue(10_000_000, 1_000_000)
    sequence.note(8, 10_000_000)
    assert not sequence.is_overdue(10_500_000, 1_000_000)
    assert sequence.is_overdue(11_000_000, 1_000_000)
    assert not sequence.is_overdue(12_000_000, 1_000_000), "told once"


def test_numbers_go_round_and_a_message_read_again_is_no_gap() -> None:
    sequence = Sequence()
    sequence.begin(250, 1)
    for n in range(1, 600):
        sequence.note((250 + n) % 256, 1 + n)
        sequence.note((250 + n - 1) % 256, n)
    assert not sequence.is_overdue(1 << 60, 0)
    sequence.note(7, 10_000)  # of another session, whose birth was not seen
    assert sequence.is_overdue(1 << 60, 0)
